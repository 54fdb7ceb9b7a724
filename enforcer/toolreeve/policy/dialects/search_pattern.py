"""A pattern that may match anywhere, as one that must match the whole text."""

import re

_ANY = "(?s:.*)"
_ALTERNATIVES = re.compile(r"[|]|\(\?|\\[QEAzZ]")


def whole(pattern: str) -> str:
    """The RE2 pattern that matches all of a text in which `pattern` matches somewhere."""
    if _ALTERNATIVES.search(pattern):
        return f"{_ANY}(?:{pattern}){_ANY}"
    before = after = _ANY
    if pattern.startswith("^"):
        before, pattern = "", pattern[1:]
    if pattern.endswith("$") and not _escaped(pattern):
        after, pattern = "", pattern[:-1]
    return f"{before}{pattern}{after}"


def _escaped(pattern: str) -> bool:
    """Whether the last character is written with a backslash."""
    before = pattern[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1
