"""What the bus reports."""


class BusError(Exception):
    """NATS does not do what was asked, now or ever; says what would help."""

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class StreamLosesError(BusError):
    """The stream is there, and would lose what is published."""


class PublishRefusedError(BusError):
    """The server answered that it did not store a message. `code` is JetStream's err_code."""

    def __init__(self, problem: str, *, remedy: str, code: int) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code


class PublishUnknownError(BusError):
    """No answer came: the message may be stored, or may be stored later.

    Only the same bytes under the same message id may be sent again.
    """
