"""Patterns so plain that Python's own engine answers them, as RE2 does and in linear time.

Most patterns of policies are like `[a-z][a-z0-9-]{0,30}`, `/srv/data/.*` or `(prod|stage)-[0-9]+`.
They come down to a few ways, each of them a row of sets of characters with how often each may stand
there. Such a row is written anew for Python's engine, which answers in a tenth of a microsecond and
needs little memory; RE2 takes four times as long, and more where hundreds of patterns take turns.

That is sound because only this much is read, only for texts in ASCII, and only where a row leaves
no choice: a set that may repeat has no character in common with what may follow it. So the engine
never has two ways to go on, and going back costs no more than the text is long. Everything else,
which is whatever is not understood here to the last character, stays with RE2.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from string import ascii_letters, digits
from typing import NamedTuple

WAYS_MAX = 16
DEPTH_MAX = 8
LENGTH_MAX = 1_000
"""How many characters a way may ask for; RE2 has no difficulty with so many."""

_ALL = frozenset(map(chr, range(128)))
_META = frozenset(r"\.+*?()|[]{}^$")
_LITERAL = frozenset(map(chr, range(32, 127))) - _META
_DIGITS = frozenset(digits)
_WORD = frozenset(ascii_letters + digits + "_")
_SPACE = frozenset("\t\n\f\r ")
_CLASSES = {
    "d": _DIGITS,
    "D": _ALL - _DIGITS,
    "w": _WORD,
    "W": _ALL - _WORD,
    "s": _SPACE,
    "S": _ALL - _SPACE,
}
_COUNT = re.compile(r"\{(0|[1-9][0-9]{0,3})(,(0|[1-9][0-9]{0,3})?)?\}")
_COUNTS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Run(NamedTuple):
    """Characters of one set, at least so many and at most so many; None: any number."""

    members: frozenset[str]
    least: int
    most: int | None


Way = tuple[Run, ...]


class _NotPlainError(Exception):
    """There is something in the pattern that is left to RE2."""


def plain_match(text: str) -> Callable[[str], object] | None:
    """What says of a text in ASCII whether a pattern matches all of it; None: ask RE2.

    The function returns None for no. A pattern for which there is one is a pattern of RE2's too.
    """
    try:
        ways = _Reading(text).whole()
    except _NotPlainError:
        return None
    if not all(map(_is_certain, ways)):
        return None
    return re.compile("|".join("".join(map(_written, way)) for way in ways)).fullmatch


def _is_certain(way: Way) -> bool:
    """Whether each run ends where it must: no character of its set may come next."""
    if sum(run.least if run.most is None else run.most for run in way) > LENGTH_MAX:
        return False
    return not any(
        run.members & _next(way[place + 1 :])
        for place, run in enumerate(way)
        if run.least != run.most
    )


def _next(way: Sequence[Run]) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for run in way:
        found |= run.members
        if run.least > 0:
            break
    return found


def _written(run: Run) -> str:
    """A run in Python's syntax, where no character means anything but itself."""
    spans = "".join(f"\\x{first:02x}-\\x{last:02x}" for first, last in _spans(run.members))
    if run.least == run.most == 1:
        return f"[{spans}]"
    return f"[{spans}]{{{run.least},{'' if run.most is None else run.most}}}"


def _spans(members: frozenset[str]) -> Iterator[tuple[int, int]]:
    """The numbers of characters that follow one upon the other: the first and the last of each."""
    numbers = sorted(map(ord, members))
    first = numbers[0]
    for one, following in pairwise([*numbers, -1]):
        if following != one + 1:
            yield first, one
            first = following


class _Reading:
    """Reads a pattern from the left, as RE2 does. Raises _NotPlainError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0

    def whole(self) -> list[Way]:
        ways = self._ways(outermost=True)
        if self._place != len(self._text):
            raise _NotPlainError
        return ways

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self, expected: str) -> bool:
        if not self._text.startswith(expected, self._place):
            return False
        self._place += len(expected)
        return True

    def _ways(self, *, outermost: bool = False) -> list[Way]:
        """Alternatives, up to the end or the parenthesis that closes them."""
        ways = list(self._row(outermost=outermost))
        while self._take("|"):
            ways += self._row(outermost=outermost)
            if len(ways) > WAYS_MAX:
                raise _NotPlainError
        return ways

    def _row(self, *, outermost: bool) -> Iterator[Way]:
        """What stands one after the other: every way through it."""
        parts: list[list[Way]] = []
        if outermost and not self._take("^"):
            self._take(r"\A")
        ways = 1
        while self._peek() not in {"", "|", ")"}:
            if outermost and (self._take("$") or self._take(r"\z")):
                break  # whoever asked for this row sees whether it ends here
            parts.append(self._part())
            ways *= len(parts[-1])
            if ways > WAYS_MAX:
                raise _NotPlainError
        for chosen in product(*parts):
            yield tuple(run for way in chosen for run in way)

    def _part(self) -> list[Way]:
        """A group, or a set of characters, and how often it may stand here."""
        if self._take("("):
            self._depth += 1
            if self._depth > DEPTH_MAX or (self._peek() == "?" and not self._take("?:")):
                raise _NotPlainError
            ways = self._ways()
            self._depth -= 1
            if not self._take(")"):
                raise _NotPlainError
            if self._take("?"):
                ways = [*ways, ()]
            return ways
        members = self._set()
        least, most = self._count()
        return [(Run(members, least, most),)]

    def _count(self) -> tuple[int, int | None]:
        found = _COUNT.match(self._text, self._place)
        if found is not None:
            self._place = found.end()
            least = int(found[1])
            most = least if found[2] is None else None if found[3] is None else int(found[3])
        elif self._peek() in _COUNTS:
            least, most = _COUNTS[self._peek()]
            self._place += 1
        else:
            return 1, 1
        if most is not None and most < least:
            raise _NotPlainError
        return least, most

    def _set(self) -> frozenset[str]:
        if self._take("."):
            return _ALL - {"\n"}
        if self._take("["):
            return self._class()
        return self._character()

    def _class(self) -> frozenset[str]:
        negated = self._take("^")
        members: frozenset[str] = frozenset()
        while not self._take("]"):
            if self._peek() == "-" and members and not self._text.startswith("-]", self._place):
                raise _NotPlainError  # it may mean itself or a range: let RE2 say
            first = self._character(r"\.+*?()|{}$-")
            members |= first
            if self._peek() == "-" and not self._text.startswith("-]", self._place):
                self._place += 1
                last = self._character(r"\.+*?()|{}$")
                if len(first) > 1 or len(last) > 1 or min(first) > min(last):
                    raise _NotPlainError
                members |= set(map(chr, range(ord(min(first)), ord(min(last)) + 1)))
        found = _ALL - members if negated else members
        if not members or not found:
            raise _NotPlainError
        return found

    def _character(self, plain_here: str = "") -> frozenset[str]:
        """One character that means itself, or an escape: `plain_here` mean themselves here too."""
        one = self._peek()
        self._place += 1
        if one == "\\":
            escaped = self._peek()
            self._place += 1
            if escaped in _CLASSES:
                return _CLASSES[escaped]
            if escaped in _LITERAL | _META and not escaped.isalnum():
                return frozenset(escaped)
        elif one in _LITERAL or (one and one in plain_here):
            return frozenset(one)
        raise _NotPlainError
