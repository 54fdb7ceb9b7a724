"""The log of all histories, and a signed checkpoint over it every few seconds.

The log is a Merkle tree whose leaves are the groups of every outbox, in the order in which they
were loaded. A checkpoint is an event of the worker, so it is durable, travels through the stream
and comes back into the warehouse like any other; what it says was added is all that the log's
order follows from, also in a warehouse that was made anew. With a witness, every checkpoint is
also kept where the worker's own disk is not: then even whoever can rewrite everything here cannot
make the log say something else than it said before.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from toolreeve.audit import AlertRaised, CheckpointMade, Draft, HeadSealed, Position
from toolreeve.audit.merkle import EMPTY_ROOT, Frontier
from toolreeve.audit.note import (
    Checkpoint,
    NamedKey,
    NoteError,
    read_checkpoint,
    sign_note,
    verify_note,
)
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox, OutboxError
from toolreeve.policy.sign import PublicKey
from toolreeve.runtime.identity import Identity
from toolreeve.warehouse import merkle_log
from toolreeve.warehouse.loads import LoadReport
from toolreeve.warehouse.merkle_log import Leaf
from toolreeve.warehouse.rows_trail import LOGGED_AT_ONCE_MAX
from toolreeve.warehouse.store import Warehouse
from toolreeve.worker import arrived
from toolreeve.worker.holes import walk
from toolreeve.worker.watch import Watch

log = structlog.get_logger()

RULE = "audit-log-changed"
LOOK_SECONDS = 0.5
AWAITED_SECONDS_MAX = 60.0
GROUPS_DUE = 1_000
"""So many groups are due for a checkpoint before its time."""

_WITNESS_READ_BYTES = 64 << 10


class Witnessed(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a witness's file."""

    note: str


class Checkpointer:
    """Keeps the log of one worker. Its name is the log's origin."""

    def __init__(
        self,
        origin: str,
        *,
        who: Identity,
        warehouse: Warehouse,
        outbox: Outbox[Draft],
        watch: Watch,
        now: Callable[[], Instant],
        seconds: float,
        witness: Path | None,
    ) -> None:
        self._origin = origin
        self._key = NamedKey(origin, who.public_key, PublicKey.from_raw(who.public_key).verifies)
        self._sign = who.signer()
        self._warehouse = warehouse
        self._outbox = outbox
        self._watch = watch
        self._now = now
        self._seconds = seconds
        self._witness = witness
        self._frontier = Frontier()
        self._pending: list[Leaf] = []
        self._logged_load = 0
        self._grown = False

    def loaded(self, report: LoadReport) -> None:
        """Hear of a load. What only this log itself caused asks for no further checkpoint."""
        self._grown = self._grown or any(
            event.enforcer != self._origin
            or not isinstance(event.body, CheckpointMade | HeadSealed)
            for event in report.events
        )

    async def run(self) -> None:
        """Make checkpoints, for ever; begins when what this worker has said before is loaded."""
        waited = 0.0
        began = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS
            if not began:
                if not await asyncio.to_thread(self._caught_up, waited):
                    continue
                await self._take_up()
                began = True
            grown, self._grown = self._grown, False  # what is loaded from here on grows it again
            await self._gather()
            due = waited >= self._seconds or len(self._pending) >= GROUPS_DUE
            if due and grown and self._pending:
                await self._make()
                waited = 0.0
            else:
                self._grown |= grown

    def _caught_up(self, waited: float) -> bool:
        """Whether everything that this worker's outbox held at its start is in the warehouse, and
        the groups that its checkpoints name.

        The newest of it is not enough: where the stream was lost too, what came before is still on
        its way, and the log would be taken up without some of its leaves. For groups of others
        nobody waits longer than AWAITED_SECONDS_MAX: then the log is not what it was. Blocks.
        """
        last = self._outbox.recovered.last
        if last is None:
            return True
        standing = self._outbox.status()
        loaded = arrived.runs(self._warehouse, {self._origin: 0})[self._origin]
        found = walk(
            loaded,
            kept_after=standing.kept_after or Position(0, 0),
            kept_after_head=standing.kept_after_head,
            was_head=lambda head: arrived.was_head(self._warehouse, self._origin, head),
        )
        return found.has(last) and (
            waited > AWAITED_SECONDS_MAX or not merkle_log.awaited(self._warehouse, self._origin)
        )

    async def _take_up(self) -> None:
        """Go on where the log stands, after a look at whether it is still what it was."""
        self._logged_load = self._warehouse.last_load
        stands = await asyncio.to_thread(
            merkle_log.newest_checkpoint, self._warehouse, self._origin
        )
        seen = await asyncio.to_thread(self._witnessed)
        self._frontier, then = await asyncio.to_thread(
            self._read_log, -1 if seen is None else seen.size
        )
        self._pending = await asyncio.to_thread(
            merkle_log.unlogged, self._warehouse, self._origin, up_to=self._logged_load
        )
        self._grown |= any(leaf.enforcer != self._origin for leaf in self._pending)
        now = Checkpoint(self._origin, self._frontier.size, self._frontier.root)
        if stands is not None and stands != now:
            await self._alarm("its newest checkpoint", stands)
        if seen is not None and seen != then:
            await self._alarm("the witness", seen)

    def _read_log(self, size: int) -> tuple[Frontier, Checkpoint | None]:
        """The log as it is loaded, and as it stood when it had `size` leaves, if it ever had."""
        frontier = Frontier()
        then = Checkpoint(self._origin, 0, EMPTY_ROOT) if size == 0 else None
        for leaf in merkle_log.leaves(self._warehouse, self._origin):
            frontier = frontier.append([leaf.hash])
            if frontier.size == size:
                then = Checkpoint(self._origin, size, frontier.root)
        return frontier, then

    async def _gather(self) -> None:
        up_to = self._warehouse.last_load
        if up_to > self._logged_load:
            self._pending += await asyncio.to_thread(
                merkle_log.loaded, self._warehouse, after=self._logged_load, up_to=up_to
            )
            self._logged_load = up_to

    async def _make(self) -> None:
        """One checkpoint, or several where more is pending than one may add."""
        while self._pending:
            added = self._pending[:LOGGED_AT_ONCE_MAX]
            frontier = self._frontier.append(leaf.hash for leaf in added)
            checkpoint = Checkpoint(self._origin, frontier.size, frontier.root)
            note = sign_note(checkpoint.text, self._key, self._sign)
            made = CheckpointMade(note=note, added=merkle_log.neighbours(added))
            try:
                await self._outbox.append(Draft(self._now(), made))
            except OutboxError as error:
                log.error("checkpoint.not_recorded", problem=str(error))
                self._grown = True
                return
            self._frontier = frontier
            del self._pending[: len(added)]
            await asyncio.to_thread(self._tell_witness, note)

    def _tell_witness(self, note: str) -> None:
        """Keep the note where the witness is. A witness that is away holds nothing up."""
        if self._witness is None:
            return
        try:
            with self._witness.open("ab") as file:
                file.write(msgspec.json.encode(Witnessed(note)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            log.error("witness.away", file=str(self._witness), problem=str(error))

    def _witnessed(self) -> Checkpoint | None:
        """The newest checkpoint that the witness has; a line that we never signed says nothing."""
        if self._witness is None:
            return None
        try:
            with self._witness.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _WITNESS_READ_BYTES))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("witness.away", file=str(self._witness), problem=str(error))
            return None
        for line in reversed(lines):
            with suppress(msgspec.MsgspecError, NoteError):
                note = msgspec.json.decode(line, type=Witnessed).note
                return read_checkpoint(verify_note(note, [self._key])[0])
        return None

    async def _alarm(self, who: str, said: Checkpoint) -> None:
        """Somebody holds a checkpoint that this log does not lead to."""
        ours = f"{self._frontier.size} groups with root {self._frontier.root.hex()}"
        now = self._now()
        log.error("audit_log.changed", said_by=who, size=said.size, root=said.root.hex())
        name = sha256(f"{RULE}\n{self._origin}\n{said.size}\n{said.root.hex()}".encode())
        raised = AlertRaised(
            alert_id=name.hexdigest()[:32],
            rule=RULE,
            detector="integrity",
            severity="critical",
            summary=f"the audit log of {self._origin} is not what {who} says it was: {ours}",
            labels=(("origin", self._origin), ("size", str(said.size))),
            since_at=now,
            crossed_at=now,
            observed=float(self._frontier.size),
            threshold=float(said.size),
            query=f"FROM checkpoints WHERE origin = '{self._origin}' ORDER BY size",
        )
        await self._watch.record([raised])
