"""What an outbox refuses with."""

from pathlib import Path


class OutboxError(Exception):
    """The outbox cannot do what it promises; nothing that was durable before is touched.

    `segment` and `offset` name the place on disk where there is one, so that an operator can look
    at the evidence.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        folder: Path,
        segment: str | None = None,
        offset: int | None = None,
    ) -> None:
        place = str(folder if segment is None else folder / segment)
        if offset is not None:
            place += f" at offset {offset}"
        super().__init__(f"{place}: {problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.folder = folder
        self.segment = segment
        self.offset = offset


class NoRoomError(OutboxError):
    """The room that is left is kept for records that must not be lost to ordinary ones."""


class DamageError(OutboxError):
    """Something that was durable cannot be read as it was written, or is not there any more.

    Opening the outbox again sets the folder aside as evidence and goes on with what can be read.
    """
