"""Regular expressions that take time linear in the text, whatever the pattern: RE2."""

from functools import cache
from importlib import import_module
from typing import Any


@cache
def _engine() -> tuple[Any, Any]:
    """RE2 and the options to use it with; loaded by the first policy that holds a pattern."""
    re2: Any = import_module("re2")  # has no types
    options = re2.Options()
    options.log_errors = False  # or it writes to standard error by itself
    return re2, options


class PatternError(ValueError):
    """A text is not an RE2 expression. Says why."""


class Pattern:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Compile `text`. Raises PatternError: RE2 has no look-around and no back-references."""
        re2, options = _engine()
        try:
            self._expression: Any = re2.compile(text, options)
        except re2.error as error:
            detail: Any = error.args[0] if error.args else ""
            said = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
            raise PatternError(said) from error

    def matches(self, text: str) -> bool:
        """Whether the expression matches all of `text`, a trailing newline included."""
        return self._expression.fullmatch(text) is not None
