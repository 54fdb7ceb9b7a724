"""What comes of an import besides the policy: differences in meaning, and what cannot be said."""

from msgspec import Struct

from toolreeve.policy import keys
from toolreeve.policy.reader import Reader
from toolreeve.policy.text import Path

Words = tuple[str, str]
"""What is different, and why."""


class Difference(Struct, frozen=True, kw_only=True):
    """One place where the imported policy does something else than the text it came from.

    `pointer`, `line` and `column` say where in the foreign text.
    """

    pointer: str
    line: int
    column: int
    what: str
    why: str


class Draft:
    """Collects complaints and differences while a foreign document is read."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.notes: list[tuple[Path, Words]] = []
        self._said: set[Words] = set()

    def note(self, path: Path, words: Words, *, once: bool = False) -> None:
        """Report a difference; with `once` only at the first place where it is met."""
        if not (once and words in self._said):
            self.notes.append((path, words))
        self._said.add(words)

    def line(self, value: object, path: Path) -> str | None:
        """A text for people or models, made one line; None for an empty one."""
        if not isinstance(value, str):
            return self.reader.text(value, path)
        shown = "".join(" " if sign < " " or sign == "\x7f" else sign for sign in value)
        shown = " ".join(shown.split())
        if len(shown.split()) and shown != value.strip():
            self.note(path, ("the text is on one line", "texts here hold no line breaks"))
        return self.reader.text(shown, path) if shown else None

    def name(self, value: object, path: Path, *, at_key: bool = False) -> str | None:
        """A tool's exact name. One that would be a pattern here is complained of."""
        name = self.reader.name(value, path)
        if name is not None and ("*" in name or "?" in name or name.startswith("class:")):
            remedy = "name the tools that are meant, one by one"
            self.reader.complain(
                path,
                f'"{name}" is one tool\'s name there and a pattern here',
                remedy,
                at_key=at_key,
            )
            return None
        return name


def max_calls(draft: Draft, count: int, path: Path) -> int:
    """A number of calls; complains of one that no limit here can hold."""
    if count > keys.CALLS_MAX:
        remedy = f"write at most {keys.CALLS_MAX}, or no limit"
        draft.reader.complain(path, f"{count} calls are more than one limit counts", remedy)
    return count
