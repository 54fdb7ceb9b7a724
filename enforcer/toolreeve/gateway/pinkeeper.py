"""Keeps pins on disk and in the enforcement alike: what servers list, and what people approve."""

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from toolreeve.audit import Draft, Position, ToolApproved, ToolChanged, ToolPinned
from toolreeve.enforcement import (
    Action,
    Announce,
    Append,
    Enforcer,
    KeepPins,
    PinsRead,
    ToolsListed,
)
from toolreeve.gateway.pinfile import Kept, PinFile, PinFileError, Untold, untold
from toolreeve.outbox import Outbox
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

LOOK_SECONDS = 0.5
LAST_WORD_SECONDS = 2.0


class PinKeeper:
    """The pins of an enforcer's servers, in `folder`.

    What a listing brings is on disk before the listing is shown, and in the outbox soon after: it
    may come there twice where the process is killed in between, and never not at all. `announce`
    is called where other tools may be called than before.
    """

    def __init__(
        self,
        folder: Path,
        servers: Sequence[str],
        *,
        name: str,
        enforcer: Enforcer,
        outbox: Outbox[Draft],
        clock: Clock,
        announce: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._files = {server: PinFile(folder, server) for server in servers}
        self._name = name
        self._enforcer = enforcer
        self._outbox = outbox
        self._clock = clock
        self._announce = announce
        self._telling: dict[str, dict[Untold, Future[Position]]] = {}
        self._again: set[str] = set()  # servers of which something could not be recorded
        self._stuck: set[str] = set()  # those whose file could not be written

    def begin(self) -> None:
        """Take what is on disk, and record what was left unrecorded."""
        for server in self._files:
            self._take(server)

    def listed(self, server: str, tools: Sequence[object], more: bool) -> None:
        """A server has answered `tools/list`. Blocks on the disk where there is something new."""
        before = self._enforcer.pins_of(server)
        listed = ToolsListed(server=server, tools=tools, more=more)
        if not self._enforcer.receive(listed, self._clock.now()):
            return
        self._enforcer.receive(PinsRead(server, before), self._clock.now())
        file = self._files[server]
        try:
            with file.locked():
                kept = self._take(server)
                if kept is not None:
                    self._keep(file, kept, self._enforcer.receive(listed, self._clock.now()))
        except OSError as error:
            self._enforcer.receive(PinsRead(server, before), self._clock.now())
            remedy = "until then tools that are new or changed are not pinned"
            log.error("pins.not_kept", server=server, error=str(error), remedy=remedy)

    async def run(self) -> None:
        """See what others write, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for server, file in self._files.items():
                if file.changed or server in self._again:
                    self._again.discard(server)
                    self._take(server)
            await self._forget()

    async def settle(self) -> None:
        """Give what is under way a moment, so that the next start does not record it again."""
        waiting = [done for telling in self._telling.values() for done in telling.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=LAST_WORD_SECONDS)
        await self._forget()

    def _take(self, server: str) -> Kept | None:
        """Read a server's file, and go by it; None where it is damaged."""
        file = self._files[server]
        try:
            kept = file.read()
        except PinFileError as error:
            log.error(
                "pins.damaged",
                server=server,
                file=str(file.path),
                problem=error.problem,
                remedy=error.remedy,
            )
            self._hear(PinsRead(server, None))
            return None
        self._hear(PinsRead(server, kept.pins))
        self._tell(server, kept.untold)
        return kept

    def _keep(self, file: PinFile, kept: Kept, actions: Sequence[Action]) -> None:
        """Have new pins on disk, then record what is new."""
        keep = next((one for one in actions if isinstance(one, KeepPins)), None)
        if keep is None:  # somebody else was quicker
            return
        news = tuple(
            untold(action.draft.body, action.draft.at, self._name)
            for action in actions
            if isinstance(action, Append)
            and isinstance(action.draft.body, ToolPinned | ToolChanged | ToolApproved)
        )
        file.keep(Kept(pins=keep.pins, untold=(*kept.untold, *news)))
        if keep.left_out:
            log.warning("pins.too_many", server=file.server, left_out=keep.left_out)
        self._tell(file.server, news)

    def _hear(self, read: PinsRead) -> None:
        for action in self._enforcer.receive(read, self._clock.now()):
            assert isinstance(action, Announce)
            self._announce(action.server)

    def _tell(self, server: str, entries: Sequence[Untold]) -> None:
        """Append to the outbox what is ours to append, and is not on its way already."""
        telling = self._telling.setdefault(server, {})
        now = self._clock.now()
        mine = [one for one in entries if one.by in {"", self._name} and one not in telling]
        for entry in mine:
            telling[entry] = self._outbox.append(Draft(now, entry.draft.body))
        _log(server, mine)

    async def _forget(self) -> None:
        """Take from the files what is on record by now."""
        for server, telling in self._telling.items():
            told: list[Untold] = []
            for entry in [entry for entry, done in telling.items() if done.done()]:
                error = telling[entry].exception()
                if error is None:
                    told.append(entry)
                else:
                    del telling[entry]
                    self._again.add(server)
                    log.error("pins.not_recorded", server=server, error=str(error))
            if told and await self._forget_in(server, tuple(told)):
                for entry in told:
                    del telling[entry]

    async def _forget_in(self, server: str, told: tuple[Untold, ...]) -> bool:
        # A file object of its own: the other one is to notice what has changed beside this.
        file = PinFile(self._folder, server)
        try:
            await asyncio.to_thread(file.told, told)
        except (OSError, PinFileError) as error:
            if server not in self._stuck:  # it is tried again and again
                log.error("pins.not_kept", server=server, error=str(error))
            self._stuck.add(server)
            return False
        self._stuck.discard(server)
        return True


def _log(server: str, entries: Sequence[Untold]) -> None:
    pinned = sum(entry.pinned is not None for entry in entries)
    if pinned:
        log.info("tools.pinned", server=server, count=pinned)
    for entry in entries:
        if entry.pinned is not None and entry.pinned.looks_like:
            body = entry.pinned
            log.warning("tool.looks_alike", server=server, tool=body.tool, like=body.looks_like)
        if entry.changed is not None:
            one = entry.changed
            back = one.digest == one.approved_digest
            log.warning("tool.changed", server=server, tool=one.tool, digest=one.digest, back=back)
        if entry.approved is not None:
            said = entry.approved
            log.info("tool.approved", server=server, tool=said.tool, actor=said.actor)
