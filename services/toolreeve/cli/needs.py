"""What a command says when a part of the product is not installed."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from toolreeve.cli.failure import BAD_INPUT, CommandError

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def needs_extra(extra: str, *modules: str) -> Generator[None]:
    """Say which extra to install where a module is missing that it would have brought.

    Each of `modules` is looked for before the body runs, also where the body loads it later.
    """
    try:
        for module in modules:
            import_module(module)
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in modules:
            raise
        raise CommandError(
            f"{missing} is not installed",
            f"run \"pip install 'toolreeve[{extra}]'\"",
            exit_code=BAD_INPUT,
        ) from error
