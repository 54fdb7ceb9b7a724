"""Every point at which an outbox can be killed, with a power cut to follow."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from tests.simulation.chance import Chance
from tests.simulation.loop import KilledError, Process, VirtualLoop
from tests.simulation.machine import Machine, SimulatedHost

from toolreeve.audit import Position
from toolreeve.outbox import OutboxSettings
from toolreeve.outbox.frame import Group
from toolreeve.outbox.journal import Journal

SMALL = OutboxSettings(segment_bytes=8192, bytes_max=2000, retry_seconds=0.0)


def life(machine: Machine, told: list[Group], writes: int) -> None:
    """One life of a process: everything that was told is there, and more is told."""
    process = Process("outbox")
    machine.process = process
    try:
        host = SimulatedHost(machine, process)
        journal = Journal(Path("data/outbox"), owner="edge-1", settings=SMALL, host=host)
        there = list(journal.groups(None))
        assert [group for group in told if group not in there] == []
        for _ in range(writes):
            last = journal.view.last
            first = Position(1, 1 if last is None else last.sequence + 1)
            payload = machine.chance.randbytes(1_500)
            head = sha256(journal.view.head + payload).digest()
            journal.write(Group(first, 1, head, payload))
            told.append(Group(first, 1, head, payload))
    finally:
        process.kill()


@pytest.mark.parametrize("step", range(1, 70))
def test_a_kill_anywhere_and_a_power_cut_after_the_next_life_lose_nothing(step: int) -> None:
    for seed in range(12):
        chance = Chance(seed)
        loop = VirtualLoop(chance)
        machine = Machine("edge-1", loop, chance)
        told: list[Group] = []
        machine.kill_at_step = step
        with suppress(KilledError):
            life(machine, told, writes=6)
        machine.kill_at_step = -1
        life(machine, told, writes=1)
        machine.cut_power()
        life(machine, told, writes=1)
        loop.close()
