"""What can be wrong with a warehouse, a history that is loaded, or a query."""

from pathlib import Path

_DAMAGE = (
    "corrupt database file",
    "not a valid duckdb database file",
    "could not read enough bytes",
    "checksum",
    "failed to deserialize",
)
"""What DuckDB says of a file that is not as it was written, in lower case."""


class WarehouseError(Exception):
    """The warehouse cannot be opened or used. `remedy` says what to do next."""

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class WarehouseDamagedError(WarehouseError):
    """The file is not as it was written: bits have changed, or a piece is missing."""

    def __init__(self, path: Path, found: str) -> None:
        remedy = "start the worker again: it sets the file aside and makes a new one"
        super().__init__(f"{path} is damaged: {found}", remedy=remedy)
        self.path = path


def is_damage(error: Exception) -> bool:
    """Whether DuckDB says that a file is damaged, and not that it cannot be had."""
    return any(words in str(error).lower() for words in _DAMAGE)


def why_closed(path: Path, error: Exception) -> WarehouseError:
    """What to say of a file that DuckDB did not open."""
    text = str(error).splitlines()[0][:300]
    if is_damage(error):
        return WarehouseDamagedError(path, text)
    if "lock" in text.lower():
        return WarehouseError(
            f"another process has {path} open", remedy="stop the other worker, or use another file"
        )
    return WarehouseError(f"{path} cannot be opened: {text}", remedy="see to it and start again")


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
