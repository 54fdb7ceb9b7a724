"""The nemesis: each seed has faults of its own choosing, and how often they come."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.disk import File, Folder
from tests.simulation.edge import OUTBOX, Edge
from tests.simulation.loop import Process
from tests.simulation.machine import SECOND_NS, SimulatedHost

from toolreeve.audit import Draft
from toolreeve.outbox import Outbox, OutboxError
from toolreeve.outbox.segment import IDENTITY_BYTES, segment_number
from toolreeve.wire import pack

if TYPE_CHECKING:
    from tests.simulation.world import Actor, World

DAY_NS = 86_400 * SECOND_NS


class Nemesis:
    """Draws a mix of faults at the start; does one of them now and then until it is stopped."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chance = world.chance
        kinds: list[Callable[[], None]] = [
            self.kill,
            self.kill_in_a_call,
            self.kill_at_the_disk,
            self.cut_power,
            self.cut_power_in_a_write,
            self.fill_disk,
            self.fail_writes,
            self.slow_disk,
            self.flip_a_bit,
            self.stop_nats,
            self.cut_off,
            self.break_sessions,
            self.slow_network,
            self.kill_in_a_load,
            self.set_clock,
            self.intrude,
        ]
        self._mix = [kind for kind in kinds if self._chance.happens(0.35)]
        self._pause = self._chance.choice([0.4, 1.0, 2.5])
        world.server.id_seconds = self._chance.choice([120.0, 0.5])
        world.server.twice = self._chance.choice([0.0, 0.0, 0.2])
        self._dies_young = self._chance.choice([0.0, 0.0, 0.4])
        self._to_flip: set[str] = set()

    async def run(self) -> None:
        """Do harm."""
        while True:
            await asyncio.sleep(self._chance.seconds(0.05, 2 * self._pause))
            if self._mix:
                self._chance.choice(self._mix)()

    def heal(self) -> None:
        """Mend what would not mend by itself; what was armed and never went off is void."""
        network = self._world.network
        network.up, network.slow = True, 1.0
        network.cut_off.clear()
        self._world.server.twice = 0.0
        self._world.worker.tables.kill_at_load = -1
        for actor in self._world.actors:
            actor.machine.kill_at_step = actor.machine.cut_at_write = -1
            disk = actor.machine.disk
            disk.full, disk.bad_writes, disk.slow = False, 0, 1.0
            if actor.process is not None:
                actor.process.fuse = -1
        self._note("healed")

    def at_birth(self, actor: "Actor", process: Process) -> None:
        """Some die while they recover."""
        if not self._world.healing and self._chance.happens(self._dies_young):
            process.fuse = self._chance.randint(0, 60)
            if self._chance.happens(0.5):
                actor.machine.kill_at_step = self._chance.randint(1, 80)

    def at_death(self, actor: "Actor") -> None:
        """What can only be done to files that nobody works with."""
        if actor.name in self._to_flip:
            self._to_flip.discard(actor.name)
            self._flip(actor)

    # Processes and machines

    def kill(self) -> None:
        actor = self._chance.choice(self._world.actors)
        if actor.process is not None:
            self._note("kill", actor)
            actor.process.kill()

    def kill_in_a_call(self) -> None:
        """After so many more steps of its own, wherever that is."""
        edge = self._edge()
        if edge.process is not None:
            self._note("kill_in_a_call", edge)
            edge.process.fuse = self._chance.randint(0, 60)

    def kill_at_the_disk(self) -> None:
        edge = self._edge()
        self._note("kill_at_the_disk", edge)
        edge.machine.kill_at_step = self._chance.randint(1, 20)
        if self._chance.happens(0.5):  # what the kernel had, and the disk not, is gone then
            self._later(0.1, 2.0, edge.machine.cut_power)

    def cut_power(self) -> None:
        actor = self._chance.choice(self._world.actors)
        self._note("cut_power", actor)
        actor.machine.cut_power()

    def cut_power_in_a_write(self) -> None:
        edge = self._edge()
        self._note("cut_power_in_a_write", edge)
        edge.machine.cut_at_write = self._chance.randint(0, 4)

    def kill_in_a_load(self) -> None:
        self._note("kill_in_a_load")
        self._world.worker.tables.kill_at_load = self._chance.randint(1, 3)

    def set_clock(self) -> None:
        edge = self._edge()
        by = self._chance.choice([-DAY_NS, -5 * SECOND_NS, 5 * SECOND_NS, DAY_NS])
        self._note(f"set_clock_by_{by // SECOND_NS}s", edge)
        edge.machine.skew_ns += by
        self._world.history.set_forward |= by > 0

    def intrude(self) -> None:
        """A second process takes up the outbox of one that serves."""
        edge = self._edge()
        if not edge.serving:
            return
        self._note("intrude", edge)
        other = Process("intruder")
        try:
            Outbox[Draft].open(
                Path(edge.name) / "outbox",
                owner=edge.name,
                pack=pack(edge.name),
                settings=OUTBOX,
                host=SimulatedHost(edge.machine, other),
            )
        except OutboxError:
            pass
        else:
            self._world.history.intruders.append(f"{edge.name} let a second process in")
        other.kill()

    # Disks

    def fill_disk(self) -> None:
        disk = self._edge().machine.disk
        disk.full = True
        self._note("fill_disk")
        self._later(0.2, 4.0, lambda: setattr(disk, "full", False))

    def fail_writes(self) -> None:
        edge = self._edge()
        self._note("fail_writes", edge)
        edge.machine.disk.bad_writes = self._chance.randint(1, 2)

    def slow_disk(self) -> None:
        disk = self._edge().machine.disk
        disk.slow = self._chance.choice([10.0, 100.0])
        self._note("slow_disk")
        self._later(0.2, 3.0, lambda: setattr(disk, "slow", 1.0))

    def flip_a_bit(self) -> None:
        """In a segment that is full, once the process that wrote it is dead."""
        edge = self._edge()
        if edge.process is not None:
            self._to_flip.add(edge.name)
            edge.process.kill()

    def _flip(self, actor: "Actor") -> None:
        folder = actor.machine.disk.root.names[actor.name]
        assert isinstance(folder, Folder)
        outbox = folder.names.get("outbox")
        if not isinstance(outbox, Folder):
            return
        segments = sorted(name for name in outbox.names if segment_number(name) is not None)[:-1]
        if not segments:
            return
        file = outbox.names[self._chance.choice(segments)]
        assert isinstance(file, File)
        used = len(bytes(file.media).rstrip(b"\0"))
        if used > IDENTITY_BYTES:
            self._note("flip_a_bit", actor)
            self._world.history.flipped.add(actor.name)
            file.flip(self._chance.randrange(IDENTITY_BYTES * 8, used * 8))

    # The network

    def stop_nats(self) -> None:
        self._note("stop_nats")
        self._world.network.stop()
        self._later(0.1, 4.0, lambda: setattr(self._world.network, "up", True))

    def cut_off(self) -> None:
        actor = self._chance.choice(self._world.actors)
        self._note("cut_off", actor)
        self._world.network.cut(actor.name)
        self._later(0.1, 4.0, lambda: self._world.network.cut_off.discard(actor.name))

    def break_sessions(self) -> None:
        self._note("break_sessions")
        chance = self._chance
        self._world.network.break_sessions(lambda _: chance.happens(0.5), silent=False)

    def slow_network(self) -> None:
        network = self._world.network
        network.slow = self._chance.choice([10.0, 300.0])
        self._note("slow_network")
        self._later(0.2, 3.0, lambda: setattr(network, "slow", 1.0))

    def _edge(self) -> Edge:
        return self._chance.choice(self._world.edges)

    def _later(self, least: float, most: float, mend: Callable[[], None]) -> None:
        self._world.loop.call_later(self._chance.seconds(least, most), mend)

    def _note(self, name: str, actor: "Actor | None" = None) -> None:
        where = "" if actor is None else actor.name
        self._world.history.fault(self._world.loop.time(), name, where)
