"""A word to the next opening: something here could not be read, so read everything.

It is a file in the folder. Whoever finds damage while the outbox is at work leaves it; an opening
that finds one proves every group, sets the folder aside where one is damaged, and else takes it
away.
"""

import os
from contextlib import suppress
from pathlib import Path

import structlog

from toolreeve.outbox.host import Host

log = structlog.get_logger()

NAME = "suspect"


def suspect(directory: int, host: Host) -> None:
    """Leave the word, for good."""
    try:
        descriptor = host.open(
            NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory
        )
        host.close(descriptor)
        host.fsync(directory)
    except OSError as error:  # a full disk may be why; whoever reads there again tries again
        log.warning("outbox.suspicion_not_kept", error=str(error))


def suspected(folder: Path, host: Host) -> bool:
    """Whether somebody left it."""
    return host.exists(folder / NAME)


def cleared(directory: int, host: Host) -> None:
    """Everything was read and is as it was written."""
    with suppress(OSError):  # then the next opening reads everything too
        host.unlink(NAME, dir_fd=directory)
