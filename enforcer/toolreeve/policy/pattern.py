"""Regular expressions that take time linear in the text, whatever the pattern: RE2.

Plain ones are answered by Python's own engine, where that is certain to say the same (see
`plain_pattern`). The others ask a set of RE2's that holds the one expression: a set says yes or
no, and has no match object to build, which takes six times as long as the match. A set has no
second engine to fall back on where its automaton runs out of memory, so the few expressions that
are as large as that are asked themselves.
"""

from functools import cache
from importlib import import_module
from typing import Any
from weakref import WeakValueDictionary

from toolreeve.policy.plain_pattern import plain_match

PROGRAM_MAX = 10_000  # instructions: the automaton's memory then holds a hundred states and more


@cache
def _engine() -> tuple[Any, Any]:
    """RE2 and the options to use it with; loaded by the first pattern that is not plain."""
    re2: Any = import_module("re2")  # has no types
    options = re2.Options()
    options.log_errors = False  # or it writes to standard error by itself
    return re2, options


class PatternError(ValueError):
    """A text is not an RE2 expression. Says why."""


class Pattern:
    """A compiled expression."""

    __slots__ = ("__weakref__", "_expression", "_plain", "_text")

    def __init__(self, text: str) -> None:
        """Compile `text`. Raises PatternError: RE2 has no look-around and no back-references."""
        self._text = text
        self._plain = plain_match(text)
        self._expression: Any = _expression(text) if self._plain is None else None

    def matches(self, text: str) -> bool | None:
        """Whether the expression matches all of `text`, a trailing newline included.

        None where it cannot be said: `text` holds half of a surrogate pair, and is no Unicode.
        """
        if self._plain is not None and text.isascii():
            return self._plain(text) is not None
        if self._expression is None:
            self._expression = _expression(self._text)
        try:
            return self._expression(text) is not None
        except UnicodeEncodeError:
            return None


def _expression(text: str) -> Any:
    """What RE2 says of a text: None for no."""
    re2, options = _engine()
    try:
        expression = re2.compile(text, options)
    except re2.error as error:
        detail: Any = error.args[0] if error.args else ""
        said = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        raise PatternError(said) from error
    if expression.programsize > PROGRAM_MAX:
        return expression.fullmatch
    only = re2.Set.FullMatchSet(options)
    only.Add(text)
    only.Compile()
    return only.Match


_alive: WeakValueDictionary[str, Pattern] = WeakValueDictionary()


def pattern(text: str) -> Pattern:
    """The expression of a text, shared by all who hold it: its automaton grows once."""
    found = _alive.get(text)
    if found is None:
        found = _alive[text] = Pattern(text)
    return found
