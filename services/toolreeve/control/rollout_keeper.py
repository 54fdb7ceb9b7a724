"""Keeps rollouts going: writes down what enforcers have seen, and what follows from it.

Every replica does so for all rollouts. What enforcers count changes with every call, so it is
gathered and written now and then; the more enforcers speak, the rarer.
"""

import asyncio
from collections.abc import Mapping
from typing import NoReturn
from uuid import uuid4

import structlog

from toolreeve.control.ledger import EntryTooLargeError
from toolreeve.control.store import Decide, Store
from toolreeve.decision import Instant
from toolreeve.decision.evidence import Evidence
from toolreeve.fleet import (
    Commit,
    Report,
    Rollout,
    State,
    Unchanged,
    advance,
    report_evidence,
)
from toolreeve.fleet.rollout_fold import joined
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

TICK_SECONDS = 0.5
REPORTS_PER_SECOND = 100
"""How many mere counts are written down a second: about 8 kB, or 30 MB an hour."""
REPORTS_PER_COMMIT = 1_500

Heard = dict[str, dict[str, Report]]
"""Reports by rollout and by their keys."""


class RolloutKeeper:
    """Hears evidence and asks, twice a second, what each rollout does next."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._heard: Heard = {}

    def hear(self, enforcer_id: str, epoch: int, evidence: Evidence) -> None:
        """Take note of what an enforcer has seen. Of a rollout that is over nobody wants to know.

        One that this replica has not read of yet is told of again by the next report.
        """
        rollout = self._store.state.rollouts.by_id.get(evidence.rollout)
        if rollout is None or rollout.state.over:
            return
        report = Report(enforcer_id=enforcer_id, epoch=epoch, evidence=evidence)
        heard = self._heard.setdefault(evidence.rollout, {})
        heard[report.key] = joined(heard.get(report.key), report)

    async def run(self) -> NoReturn:
        """Keep them going for ever."""
        pause = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            pause -= TICK_SECONDS
            written = await self._write_down(counts=pause <= 0)
            if pause <= 0:
                pause = written / REPORTS_PER_SECOND
            await self._go_on()

    async def _write_down(self, *, counts: bool) -> int:
        """Write down what is news, with or without mere counts; returns how many reports."""
        under_way = {
            rollout_id: rollout
            for rollout_id, rollout in self._store.state.rollouts.by_id.items()
            if not rollout.state.over
        }
        due, self._heard = split(self._heard, under_way, counts=counts)
        for rollout_id, said in due:
            for first in range(0, len(said), REPORTS_PER_COMMIT):
                batch = said[first : first + REPORTS_PER_COMMIT]
                try:
                    await self._store.submit(_reporting(rollout_id, batch), seconds_max=None)
                except EntryTooLargeError:
                    log.exception("evidence.dropped", rollout=rollout_id, count=len(batch))
        return sum(len(said) for _, said in due)

    async def _go_on(self) -> None:
        state = self._store.state
        for rollout_id in tuple(state.rollouts.under_way.values()):
            rollout = state.rollouts.by_id[rollout_id]
            command_id = f"{rollout_id}-step-{len(rollout.steps)}"
            ahead = advance(
                state, rollout_id=rollout_id, at=self._clock.now(), command_id=command_id
            )
            if isinstance(ahead, Unchanged):
                continue  # asked without the store's turn, since that is so nearly always
            await self._store.submit(_advancing(rollout_id, command_id), seconds_max=None)
            now = self._store.state.rollouts.by_id[rollout_id]
            log.info(
                "rollout.stepped",
                rollout=rollout_id,
                state=now.state.value,
                stage=now.stage,
                reason=now.reason,
            )


def split(
    heard: Heard, under_way: Mapping[str, Rollout], *, counts: bool
) -> tuple[list[tuple[str, tuple[Report, ...]]], Heard]:
    """What is to be written now, and what waits on: mere counts, unless it is their turn."""
    due: list[tuple[str, tuple[Report, ...]]] = []
    waits: Heard = {}
    for rollout_id, reports in heard.items():
        rollout = under_way.get(rollout_id)
        if rollout is None:
            continue
        said = {key: one for key, one in reports.items() if counts or _tells(rollout, one)}
        due.append((rollout_id, tuple(said.values())))
        waits[rollout_id] = {key: one for key, one in reports.items() if key not in said}
    return due, waits


def _tells(rollout: Rollout, report: Report) -> bool:
    """Whether a report has more in it than counts that have risen."""
    known = rollout.reports.get(report.key)
    return known is None or known.evidence.signs != report.evidence.signs


def _reporting(rollout_id: str, reports: tuple[Report, ...]) -> Decide:
    command_id = f"evidence-{uuid4()}"

    def decide(state: State, at: Instant) -> Commit | Unchanged:
        return report_evidence(state, {rollout_id: reports}, command_id=command_id, at=at)

    return decide


def _advancing(rollout_id: str, command_id: str) -> Decide:
    def decide(state: State, at: Instant) -> Commit | Unchanged:
        rollout = state.rollouts.by_id.get(rollout_id)
        if rollout is None or f"{rollout_id}-step-{len(rollout.steps)}" != command_id:
            return Unchanged()  # another replica, or an operator, was quicker: look again
        return advance(state, rollout_id=rollout_id, at=at, command_id=command_id)

    return decide
