"""From what lies on disk to an enforcer that may be asked.

In this order: the outbox is locked, the policies that were last known good are taken up again, the
counters are rebuilt from admitted calls, and a new epoch begins that names the head of the one
before and settles what it left open. Of the outbox only what is not yet published is read, and what
came after the last memory; where that is damaged, everything is read and the damage is set aside.
"""

import os
import platform
import secrets
import socket
import stat
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import structlog
from msgspec import Struct

from toolreeve.audit import (
    Decided,
    Draft,
    EnforcerStarted,
    LostEvents,
    OutboxDamaged,
    Position,
    Redaction,
    RequestRefused,
)
from toolreeve.decision import Counters
from toolreeve.decision.lease_book import LeaseBook
from toolreeve.enforcement import (
    CallEnded,
    Enforcer,
    Memory,
    PolicyOffered,
    Recovered,
    Recovery,
    Sampling,
)
from toolreeve.gateway.admission import Admission
from toolreeve.gateway.memory import FILE, Rememberer, recall
from toolreeve.gateway.station import Station, Tell
from toolreeve.gateway.tally import Tally
from toolreeve.outbox import HERE, DamageError, Host, Outbox, OutboxSettings, Salvage, Sealer
from toolreeve.policy import Scope
from toolreeve.runtime import hashkeys
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.identity import Identity, identity
from toolreeve.runtime.settings import SettingsError
from toolreeve.runtime.version import VERSION
from toolreeve.wire import WireError, pack, read_event, unpack

log = structlog.get_logger()

COUNTER_KEY_BYTES = 32
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Opened(Struct, frozen=True):
    """An enforcer at work."""

    station: Station
    enforcer: Enforcer
    outbox: Outbox[Draft]
    clock: Clock
    epoch: int
    sealer: Sealer
    tally: Tally
    rememberer: Rememberer


async def open_station(
    folder: Path,
    *,
    name: str,
    servers: tuple[str, ...],
    policies: Mapping[str, PolicyOffered],
    admission: Admission,
    keep_arguments: tuple[str, ...],
    outbox_settings: OutboxSettings,
    sampling: Sampling,
    waits: bool,
    tell: Tell,
    shared: frozenset[Scope] = frozenset(),
) -> Opened:
    """Open the enforcer `name` whose state lies in `folder`.

    `policies` are what it starts with, by server; limits of the scopes that are `shared` are
    counted by leases from the control plane. Raises OutboxError when another process has the
    folder, and SettingsError when its keys cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    who = identity(folder, "enforcer")
    return await take_up(
        folder / "outbox",
        name=name,
        who=who,
        redaction=Redaction(
            keep=keep_arguments,
            key=hashkeys.newest_or_first(folder / hashkeys.FILE, time.time()).key,
        ),
        counter_key=_counter_key(folder / "audit.key"),
        servers=servers,
        policies=policies,
        admission=admission,
        outbox_settings=outbox_settings,
        sampling=sampling,
        waits=waits,
        tell=tell,
        shared=shared,
    )


async def take_up(
    folder: Path,
    *,
    name: str,
    who: Identity,
    redaction: Redaction,
    counter_key: bytes,
    servers: tuple[str, ...],
    policies: Mapping[str, PolicyOffered],
    admission: Admission,
    outbox_settings: OutboxSettings,
    sampling: Sampling,
    waits: bool,
    tell: Tell,
    shared: frozenset[Scope] = frozenset(),
    host: Host = HERE,
    stopwatch: Callable[[], int] = time.perf_counter_ns,
) -> Opened:
    """Go on from the outbox in `folder`, on `host`. Raises OutboxError."""
    tally = Tally(name)
    secret = host.urandom(32)

    def opened(*, whole: bool) -> Outbox[Draft]:
        return Outbox[Draft].open(
            folder,
            owner=name,
            pack=pack(name, secret),
            settings=outbox_settings,
            reserved=_is_reserved,
            on_durable=tally.note,
            whole=whole,
            host=host,
        )

    kept_in = folder.with_name(FILE)
    memory = recall(kept_in, owner=name)
    outbox = opened(whole=False)
    counters = Counters(counter_key)
    try:
        recovered = _recover(outbox, Recovery(counters), memory)
    except DamageError:  # which the other way of opening sets aside
        await outbox.close()
        outbox = opened(whole=True)
        counters = Counters(counter_key)
        recovered = _recover(outbox, Recovery(counters), memory)
    clock = Clock(not_before=recovered.latest_at, wall_ns=host.time_ns, elapsed_ns=host.elapsed_ns)
    last = outbox.recovered.last
    epoch = max(int(host.time()), outbox.recovered.next_epoch)
    outbox.begin(epoch)
    if shared:
        counters.share(
            LeaseBook(f"{epoch:x}", share=sha256(who.public_key).hexdigest()[:16]), shared
        )
    enforcer = Enforcer(
        redaction=redaction,
        counters=counters,
        stopwatch=stopwatch,
        sampling=sampling,
    )
    station = Station(
        name=name,
        enforcer=enforcer,
        outbox=outbox,
        clock=clock,
        admission=admission,
        waits=waits,
        tell=tell,
        summary_seconds=sampling.summary_seconds,
    )
    started = EnforcerStarted(
        software_version=VERSION,
        host=socket.gethostname(),
        servers=servers,
        previous_epoch=0 if last is None else last.epoch,
        previous_head=b"" if last is None else outbox.recovered.head,
        boot_id=BOOT_ID.read_text().strip() if BOOT_ID.exists() else platform.node(),
        public_key=who.public_key,
    )
    await station.note(Draft(clock.now(), started))
    if outbox.recovered.salvaged is not None:
        await station.note(Draft(clock.now(), damaged(outbox.recovered.salvaged)))
        outbox.reported()
    for completed in recovered.unknown:
        await station.hear(CallEnded(completed))
    for offered in policies.values():
        await station.hear(offered)
    log.info("enforcer.started", enforcer=name, epoch=epoch, unknown=len(recovered.unknown))
    sealer = Sealer(name, outbox, epoch=epoch, now=clock.now, signer=who.signer)
    rememberer = Rememberer(kept_in, outbox, owner=name, remember=station.memory)
    return Opened(station, enforcer, outbox, clock, epoch, sealer, tally, rememberer)


def _recover(outbox: Outbox[Draft], recovery: Recovery, memory: Memory | None) -> Recovered:
    """What the history comes to: the memory, and what was recorded behind it."""
    after = None
    if memory is not None:
        recovery.take_up(memory)
        after = memory.position
    read = 0
    for group in outbox.groups(after):
        try:
            for raw in unpack(group.payload).raws:
                event = read_event(raw)
                if after is None or Position(event.epoch, event.sequence) > after:
                    recovery.read(event)
                    read += 1
        except WireError as error:  # written by a newer version: it is kept and sent as it is
            log.warning("event.not_understood", position=str(group.first), error=str(error))
    log.debug("history.read", events=read, remembered=memory is not None)
    return recovery.finish()


def damaged(salvage: Salvage) -> OutboxDamaged:
    """What was found of damage, as it is recorded."""
    lost = tuple(
        LostEvents(
            segment=one.segment,
            offset=one.offset,
            reason=one.reason,
            after=one.after,
            before=one.before,
        )
        for one in salvage.lost
    )
    return OutboxDamaged(kept_in=salvage.evidence, groups=salvage.groups, lost=lost)


def _is_reserved(draft: Draft) -> bool:
    """What agents cause by asking must not take the room of what follows from it."""
    return not isinstance(draft.body, Decided | RequestRefused)


def _counter_key(path: Path) -> bytes:
    """The key of the values that limits are kept by: made at the first start, readable by us alone.

    It stays, whatever becomes of the keys of hashes: counters are rebuilt with it.
    """
    if not path.exists():
        partial = path.with_suffix(".part")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(COUNTER_KEY_BYTES))
            file.flush()
            os.fsync(handle)
        partial.replace(path)
    mode = path.stat().st_mode
    key = path.read_bytes()
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(str(path), "the key can be read by others", f"chmod 600 {path}")
    if len(key) != COUNTER_KEY_BYTES:
        raise SettingsError(str(path), f"the key has {len(key)} bytes", "restore it, or delete it")
    return key
