"""How a command fails: one sentence on stderr that says what is wrong and what to do."""

from __future__ import annotations

FAILED = 1  # what was asked for could not be done
BAD_INPUT = 2  # the command line or a file is wrong; nothing was tried


class CommandError(Exception):
    """Ends a command. `main` prints `toolreeve: problem; remedy` and exits with `exit_code`."""

    def __init__(self, problem: str, remedy: str, *, exit_code: int = FAILED) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.exit_code = exit_code


class Complaints(Exception):  # noqa: N818  # says what is wrong with a file, one line each
    """Ends a command whose input file is wrong: the lines are printed as they are, exit 2."""

    exit_code = BAD_INPUT


def first_of(error: Exception) -> Exception:
    """Return the first plain exception inside groups of groups: the fault that ended the others."""
    nested: tuple[Exception, ...] = getattr(error, "exceptions", ())
    return first_of(nested[0]) if nested else error
