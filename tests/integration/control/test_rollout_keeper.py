"""Rollouts on two control planes over one log: what either hears, both act on, once."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.integration.control.test_push import ALLOW_STATUS, DENY_ALL, Operator, Place, within

from toolreeve.decision.evidence import Evidence
from toolreeve.policy.cohort import Cohort
from toolreeve.policy.sign import Envelope, Manifest, read_manifest
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.v1.rollout_pb2 import (
    ROLLOUT_STATE_DONE,
    ROLLOUT_STATE_HALTED,
    ROLLOUT_STATE_RUNNING,
    RolloutPlan,
)
from toolreeve.wire.fleet import Ack, Hello, Stage
from toolreeve.wire.hold_order import HoldOrder

QUICK = LinkSettings(retry_first_seconds=0.02, retry_seconds_max=0.1, evidence_seconds=0.05)
PLAN = RolloutPlan(
    stages=[1, 10_000],
    soak_ms=1_000,
    patience_ms=60_000,
    tightened_max=0,
    drift_max=0.01,
    alpha=0.01,
    decisions_min=1,
)


class Member:
    """An enforcer's end of the stream that believes everything, and says what it is told to."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.taken: list[Manifest] = []
        self._moved = asyncio.Event()
        self.seen = Evidence(rollout="", server="vm", revision="", activated=True)
        self.link = Link(
            address,
            hello=lambda: Hello(
                enforcer_id=name, software_version="1", host="h", servers=("vm",), epoch=7
            ),
            on_manifest=self.on_manifest,
            on_hold=self.on_hold,
            evidence=self.evidence,
            settings=QUICK,
        )
        self._running = asyncio.create_task(self.link.run())

    async def leave(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def until_taken(self, sequence: int) -> None:
        while not self.taken or self.taken[-1].sequence < sequence:
            self._moved.clear()
            await self._moved.wait()

    async def on_hold(self, _: HoldOrder) -> None:
        pass

    async def on_manifest(self, envelope: Envelope) -> None:
        manifest = read_manifest(envelope)
        self.taken.append(manifest)
        self._moved.set()
        if manifest.rollout:
            self.seen = replace(self.seen, rollout=manifest.rollout, revision=manifest.revision)
        ack = Ack(
            server="vm",
            policy=manifest.policy,
            revision=manifest.revision,
            manifest_sequence=manifest.sequence,
            stage=Stage.ACTIVATED,
        )
        self.link.send(ack)

    def evidence(self) -> list[Evidence]:
        return [self.seen] if self.seen.rollout else []

    def decide(self, calls: int, *, tightened: int = 0) -> None:
        self.seen = replace(
            self.seen, decisions=calls, pairs=calls, denials=tightened, tightened=tightened
        )


async def begun(operator: Operator) -> pb.Rollout:
    await operator.publish(ALLOW_STATUS)
    request = pb.StartRolloutRequest(
        command=operator.command(), server="vm", text=DENY_ALL, plan=PLAN
    )
    return (await operator.stub.StartRollout(request)).rollout


async def until(
    operator: Operator, rollout_id: str, holds: Callable[[pb.Rollout], bool]
) -> pb.Rollout:
    while True:
        request = pb.GetRolloutRequest(rollout_id=rollout_id)
        found = (await operator.stub.GetRollout(request)).rollout
        if holds(found):
            return found
        await asyncio.to_thread(lambda: None)


@pytest.fixture
def place(tmp_path: Path, nats_url: str, prefix: str) -> Place:
    return Place(tmp_path, nats_url, prefix)


def test_what_one_replica_hears_the_other_knows_and_each_step_is_taken_once(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one, place.control() as two:
            members = [Member(f"e{number}", (one, two)[number % 2].address) for number in range(4)]
            await asyncio.gather(*(member.link.wait_connected() for member in members))
            await one.until_fleet(lambda fleet: len(fleet) == 4)
            rollout = await begun(one)
            assert (rollout.enforcers_wanted, rollout.enforcers) == (1, 4)
            for member in members:
                member.decide(3)
            done = await until(
                two, rollout.rollout_id, lambda found: found.state == ROLLOUT_STATE_DONE
            )
            assert [step.stage_index for step in done.steps] == [0, 1, 1]
            for member in members:
                await member.until_taken(4)
            first = [member for member in members if member.taken[1].sequence == 2]
            assert [manifest.sequence for manifest in first[0].taken] == [1, 2, 3, 4]
            for member in members:
                for manifest in member.taken:
                    cohort = Cohort.parse(manifest.cohort) if manifest.cohort else None
                    assert cohort is None or cohort.includes(member.name, {})
            for member in members:
                await member.leave()

    within(40, story)


def test_a_call_that_speaks_against_it_halts_it_wherever_it_is_heard_and_once(
    place: Place,
) -> None:
    async def story() -> None:
        async with place.control() as one, place.control() as two:
            member = Member("e1", two.address)
            await member.link.wait_connected()
            await one.until_fleet(lambda fleet: len(fleet) == 1)
            rollout = await begun(one)
            member.decide(3)
            await until(one, rollout.rollout_id, lambda found: found.decisions == 3)
            member.decide(5, tightened=1)
            halted = await until(
                one, rollout.rollout_id, lambda found: found.state == ROLLOUT_STATE_HALTED
            )
            assert "1 of 5 calls are denied by the new revision alone" in halted.reason
            assert [step.state for step in halted.steps] == [
                ROLLOUT_STATE_RUNNING,
                ROLLOUT_STATE_HALTED,
            ]
            await asyncio.gather(*(one.stub.GetFleet(pb.GetFleetRequest()) for _ in range(20)))
            again = await until(two, rollout.rollout_id, lambda found: len(found.steps) > 1)
            assert len(again.steps) == 2
            await member.leave()

    within(40, story)


def test_evidence_that_one_replica_had_is_told_to_the_next(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one:
            async with place.control() as two:
                member = Member("e1", f"ipv4:{two.address},{one.address}")
                await member.link.wait_connected()
                await one.until_fleet(lambda fleet: len(fleet) == 1)
                request = pb.ChangeRolloutRequest(
                    command=one.command(),
                    rollout_id=(rollout := await begun(one)).rollout_id,
                    change=pb.ROLLOUT_CHANGE_PAUSE,
                )
                await one.stub.ChangeRollout(request)
                await until(one, rollout.rollout_id, lambda found: found.enforcers_activated == 1)
            member.decide(9)
            found = await until(one, rollout.rollout_id, lambda found: found.decisions == 9)
            assert (found.pairs, found.enforcers_decided) == (9, 1)
            await member.leave()

    within(40, story)
