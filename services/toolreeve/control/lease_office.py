"""Answers the fleet's asks for blocks of shared limits.

Asks about one count are answered one batch after another, by one worker; many counts side by side.
An ask that was not answered within a second is refused: whoever asked does not wait any longer.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import NoReturn

import structlog
from msgspec import Struct

from toolreeve.control.lease_ledger import LeaseLedger
from toolreeve.control.ledger import OvertakenError, UnansweredError, heeding
from toolreeve.control.store import Store
from toolreeve.decision.lease import MILLIONTHS, LeaseAsk, LeaseGiven
from toolreeve.fleet.lease import AccountError, Terms
from toolreeve.fleet.teller import Teller
from toolreeve.policy import Align, Limit, PolicyTextError, Scope, canonical_json, parse

log = structlog.get_logger()

WORKERS = 16
QUEUED_MAX = 4_096
BATCH_MAX = 512
TELLERS_MAX = 50_000
POLICIES_MAX = 64
ASK_NS_MAX = 1_000_000_000
RETRY_SECONDS = 0.02
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OFFSETS = Path("/proc/self/timens_offsets")

Give = Callable[[LeaseGiven], None]
"""Tells the enforcer that asked; must not wait and must not fail."""

_Key = tuple[str, str, str, int, bool, bool]
"""Server, counter, owner, window, calendar, amounts instead of calls."""


class Asked(Struct, frozen=True):
    """An ask, whose it is, when it came, and where the answer goes."""

    enforcer: str
    ask: LeaseAsk
    at: int
    give: Give


class LeaseOffice:
    """One replica's office. It keeps nothing that is not in the ledger, but what it has seen."""

    def __init__(
        self,
        ledger: LeaseLedger,
        store: Store,
        *,
        elapsed_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        wall_ns: Callable[[], int] = time.time_ns,
        boot: str | None = None,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._elapsed_ns = elapsed_ns
        self._wall_ns = wall_ns
        self._boot = _clock_name() if boot is None else boot
        self._queues = [asyncio.Queue[Asked](QUEUED_MAX) for _ in range(WORKERS)]
        self._tellers: OrderedDict[_Key, Teller] = OrderedDict()
        self._limits: OrderedDict[str, dict[str, Limit]] = OrderedDict()

    def ask(self, enforcer: str, ask: LeaseAsk, give: Give) -> None:
        """Have an ask answered, soon. Where too many wait, it is refused at once."""
        place = hash((ask.server, ask.counter, ask.owner)) % WORKERS
        try:
            self._queues[place].put_nowait(Asked(enforcer, ask, self._elapsed_ns(), give))
        except asyncio.QueueFull:
            log.warning("lease.queue_full", enforcer=enforcer, counter=ask.counter)
            give(LeaseGiven(lease_id=ask.lease_id, known=False))

    async def run(self) -> NoReturn:
        """Answer for ever. Raises BusError where there can be no ledger."""
        await heeding(self._ledger.open())
        async with asyncio.TaskGroup() as tasks:
            for place, queue in enumerate(self._queues):
                tasks.create_task(self._work(queue), name=f"leases {place}")
        raise AssertionError("workers never end by themselves")

    async def _work(self, queue: asyncio.Queue[Asked]) -> NoReturn:
        while True:
            batch = [await queue.get()]
            while len(batch) < BATCH_MAX and not queue.empty():
                batch.append(queue.get_nowait())
            by_count: dict[_Key, list[tuple[Asked, Terms]]] = {}
            for asked in batch:
                limit = await self._limit(asked.ask)
                if limit is None:
                    asked.give(LeaseGiven(lease_id=asked.ask.lease_id, known=False))
                    continue
                terms = _terms(limit)
                key = (
                    asked.ask.server, asked.ask.counter, asked.ask.owner,
                    terms.window_ns, terms.calendar, limit.amount is not None,
                )  # fmt: skip
                by_count.setdefault(key, []).append((asked, terms))
            for key, together in by_count.items():
                await heeding(self._answer(key, together))

    async def _answer(self, key: _Key, together: list[tuple[Asked, Terms]]) -> None:
        """Answer asks about one count. Their policies may differ in how much they allow."""
        while together:
            terms = together[0][1]
            alike = [asked for asked, other in together if other == terms]
            together = [one for one in together if one[1] != terms]
            answers = await self._draw(key, terms, alike)
            if answers is None:
                answers = [LeaseGiven(lease_id=one.ask.lease_id, known=False) for one in alike]
            for asked, given in zip(alike, answers, strict=True):
                asked.give(given)

    async def _draw(self, key: _Key, terms: Terms, asks: list[Asked]) -> list[LeaseGiven] | None:
        """The answers, and the ledger has them; None where it did not take them in time."""
        account = _account_name(key)
        teller = self._teller(key)
        drawn = [(one.enforcer, one.ask) for one in asks]
        until = min(one.at for one in asks) + ASK_NS_MAX
        while self._elapsed_ns() < until:
            try:
                if teller.must_read:
                    stored = await self._ledger.read(account)
                    teller.read(stored.sequence, stored.raw, now=self._elapsed_ns())
                proposal = teller.propose(
                    drawn, terms, now=self._elapsed_ns(), wall=self._wall_ns()
                )
                if proposal is None:
                    continue
                if proposal.raw is not None:
                    sequence = await self._ledger.write(account, proposal.raw, after=proposal.after)
                    teller.stored(proposal, sequence, now=self._elapsed_ns())
                return list(proposal.answers)
            except OvertakenError:
                teller.doubt()
            except UnansweredError as error:
                teller.doubt()
                log.warning("lease.unanswered", counter=key[1], error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            except AccountError as error:
                log.error("lease.account_unreadable", counter=key[1], error=str(error))
                return None
        return None

    def _teller(self, key: _Key) -> Teller:
        teller = self._tellers.get(key)
        if teller is None:
            teller = self._tellers[key] = Teller(self._boot)
            if len(self._tellers) > TELLERS_MAX:
                self._tellers.popitem(last=False)
        else:
            self._tellers.move_to_end(key)
        return teller

    async def _limit(self, ask: LeaseAsk) -> Limit | None:
        """What the policy that the enforcer names says of the counter."""
        limits = self._limits.get(ask.revision)
        if limits is None:
            revision = self._store.state.revisions.get(ask.revision)
            if revision is None:
                log.warning("lease.unknown_revision", revision=ask.revision, counter=ask.counter)
                return None
            limits = await asyncio.to_thread(shared_limits, revision.body)
            self._limits[ask.revision] = limits
            if len(self._limits) > POLICIES_MAX:
                self._limits.popitem(last=False)
        return limits.get(ask.counter)


def shared_limits(body: bytes) -> dict[str, Limit]:
    """The limits of a policy that a fleet may share, by counter."""
    try:
        policy = parse(body, source="")
    except PolicyTextError:
        return {}
    rules = [*policy.tools, *(() if policy.all_tools is None else (policy.all_tools,))]
    return {
        limit.counter: limit
        for rule in rules
        for limit in rule.limits
        if limit.scope in {Scope.FLEET, Scope.GRANT}
    }


def _terms(limit: Limit) -> Terms:
    unit = 1 if limit.amount is None else MILLIONTHS
    return Terms(
        window_ns=limit.window_ns,
        maximum=int(limit.maximum * unit),
        share=int(limit.maximum * unit) // limit.shares if limit.shares else 0,
        calendar=limit.align is Align.CALENDAR,
    )


def _account_name(key: _Key) -> str:
    return sha256(canonical_json(list(key))).hexdigest()[:40]


def _clock_name() -> str:
    """The clock that elapsed time is read from: one boot of one machine, seen from one namespace.

    Where that cannot be told, a name for this process alone.
    """
    try:
        offsets = _OFFSETS.read_text() if _OFFSETS.exists() else ""
        return f"{_BOOT_ID.read_text().strip()} {' '.join(offsets.split())}"
    except OSError:
        return token_hex(16)
