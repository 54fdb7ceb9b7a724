"""What can be wrong with a warehouse, a history that is loaded, or a query."""


class WarehouseError(Exception):
    """The warehouse cannot be opened or used. `remedy` says what to do next."""

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class EventUnreadableError(Exception):
    """An event that follows the contract, and yet cannot be put into its table."""


class QueryError(Exception):
    """A query was refused, failed, or was cut.

    `code` is "refused" (not something that may be run), "invalid" (the query is wrong), "cut" (it
    reached a bound on time or memory) or "unavailable" (nothing was wrong with it). `line` and
    `column` count from 1 and are None where no one place is at fault.
    """

    def __init__(
        self, code: str, problem: str, *, line: int | None = None, column: int | None = None
    ) -> None:
        place = "" if line is None else f"line {line}, column {column}: "
        super().__init__(place + problem)
        self.code = code
        self.problem = problem
        self.line = line
        self.column = column
