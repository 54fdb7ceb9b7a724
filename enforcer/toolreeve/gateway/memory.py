"""What the history comes to, written down now and then, so that a start need not read all of it.

The outbox stays the only truth: a memory is the fold of everything up to one position, and a start
reads what stands behind it. One that is missing, old or unreadable only makes the start longer.
"""

import asyncio
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from toolreeve.audit import Draft
from toolreeve.enforcement import Memory
from toolreeve.outbox import Outbox, OutboxError

log = structlog.get_logger()

FILE = "memory"
LOOK_SECONDS = 5.0
EVENTS_BETWEEN = 20_000
"""A memory is due after so many events, which bounds what a start has to take apart."""

_FORMAT = 1
_DIGEST_BYTES = sha256().digest_size


class Kept(Struct, frozen=True, kw_only=True):
    """What stands in the file, behind its SHA-256."""

    format: int
    owner: str
    memory: Memory


def recall(path: Path, *, owner: str) -> Memory | None:
    """What was written down last; None where there is nothing that can be believed."""
    try:
        content = path.read_bytes()
        digest, text = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if sha256(text).digest() != digest:
            raise ValueError("its checksum is wrong")  # noqa: TRY301  all end the same way
        kept = msgspec.msgpack.decode(text, type=Kept)
        if (kept.format, kept.owner) != (_FORMAT, owner):
            raise ValueError(f"it is of format {kept.format}, of {kept.owner!r}")  # noqa: TRY301
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning("memory.not_used", file=str(path), problem=str(error))
        return None
    return kept.memory


def keep(path: Path, memory: Memory, *, owner: str) -> None:
    """Write a memory down in place of the one before. Raises OSError, and then that one stays."""
    text = msgspec.msgpack.encode(Kept(format=_FORMAT, owner=owner, memory=memory))
    partial = path.with_name(f"{path.name}.part")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(sha256(text).digest() + text)
        file.flush()
        os.fsync(handle)
    partial.replace(path)


class Rememberer:
    """Writes a memory down whenever enough has happened. `remember` gives what is to be kept.

    It is asked on the loop and returns at once what is true of everything that was appended
    before; the rest waits until that is durable.
    """

    def __init__(
        self,
        path: Path,
        outbox: Outbox[Draft],
        *,
        owner: str,
        remember: "Callable[[], asyncio.Future[Memory] | None]",
    ) -> None:
        self._path = path
        self._outbox = outbox
        self._owner = owner
        self._remember = remember
        self._since = outbox.appended

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._outbox.appended - self._since >= EVENTS_BETWEEN:
                await self.write()

    async def write(self) -> None:
        """Write a memory down now; where that fails the one before goes on to serve."""
        appended = self._outbox.appended
        coming = self._remember()
        if coming is None:
            return
        try:
            memory = await coming
            await asyncio.to_thread(keep, self._path, memory, owner=self._owner)
        except (OSError, OutboxError) as error:
            log.warning("memory.not_written", problem=str(error))
        else:
            self._since = appended
