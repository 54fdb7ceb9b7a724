"""What is wrong with a policy's text, said so that its author can mend it."""

from collections.abc import Sequence

from msgspec import Struct


class Complaint(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, where it stands, and what to do about it.

    `line` and `column` count from 1; `pointer` is a JSON Pointer into the document, `""` for the
    document itself.
    """

    source: str
    line: int
    column: int
    pointer: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.problem}; {self.remedy}"


SHOWN_MAX = 200


class PolicyTextError(ValueError):
    """A policy's text cannot be taken. Carries every complaint, in the order of the text.

    As text it shows the first two hundred, and says how many more there are.
    """

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        self.complaints = tuple(sorted(complaints, key=lambda found: (found.line, found.column)))
        lines = [str(complaint) for complaint in self.complaints[:SHOWN_MAX]]
        if len(self.complaints) > SHOWN_MAX:
            lines.append(f"and {len(self.complaints) - SHOWN_MAX} more; mend these first")
        super().__init__("\n".join(lines))
