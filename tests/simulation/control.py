"""The control plane as a process: its ledger, its store, the holds it owes each enforcer."""

import asyncio

from tests.simulation.edge import SUBJECTS, Edge
from tests.simulation.history import History
from tests.simulation.loop import Process
from tests.simulation.machine import Machine, SimulatedHost
from tests.simulation.network import Network, SimulatedConnection

from toolreeve.bus import StreamSettings, ensure_stream
from toolreeve.control.ledger import Ledger
from toolreeve.control.store import LogUnavailableError, Store
from toolreeve.control.translate import write_owed
from toolreeve.decision import Hold
from toolreeve.fleet import Command, CommandError, greet, owed, place_hold, release_hold
from toolreeve.runtime.clock import Clock
from toolreeve.wire.fleet import read_down
from toolreeve.wire.hold_order import HoldOrder


class ControlPlane:
    """The control plane over all its lives. Its state is its log; nothing of it is on its disk."""

    def __init__(
        self, machine: Machine, network: Network, edges: list[Edge], history: History
    ) -> None:
        self.name = "control"
        self.machine = machine
        self.process: Process | None = None
        self.store: Store | None = None
        self._network = network
        self._edges = edges
        self._history = history
        self._clock: Clock | None = None

    async def main(self, process: Process) -> None:
        """One life."""
        host = SimulatedHost(self.machine, process)
        clock = Clock(wall_ns=host.time_ns, elapsed_ns=host.elapsed_ns)
        connection = SimulatedConnection(self._network, "control", process)
        stream, subject = SUBJECTS.control_stream, SUBJECTS.control
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connection.keep())
            await ensure_stream(connection.real, stream, [subject], StreamSettings())
            store = Store(Ledger(connection.real, stream=stream, subject=subject), clock)
            tasks.create_task(store.run())
            await store.caught_up()
            self.process, self.store, self._clock = process, store, clock
            process.when_dead(self._end)
            for edge in self._edges:
                tasks.create_task(self._lead(edge, store, clock))

    async def command(self, command: Command, hold: Hold | str) -> bool:
        """Place a hold, or release the one with this id. Whether it was carried out, surely."""
        store = self.store
        if store is None:
            return False
        try:
            await store.submit(
                lambda state, at: (
                    place_hold(state, command, hold=hold, at=at)
                    if isinstance(hold, Hold)
                    else release_hold(state, command, hold_id=hold, at=at)
                ),
                seconds_max=3.0,
            )
        except (LogUnavailableError, CommandError):
            return False
        return True

    async def _lead(self, edge: Edge, store: Store, clock: Clock) -> None:
        """Keep one enforcer's stream: a snapshot to begin with, then what changes."""
        chance = self.machine.chance
        while True:
            await asyncio.sleep(chance.seconds(0.01, 0.3))
            life = edge.process
            if not self._reaches(edge, life):
                continue
            sent = greet(store.state, edge.name, (), ())
            while self._reaches(edge, life):
                step = owed(store.state, sent, clock.now())
                if step is None:
                    await asyncio.sleep(0.2)
                    continue
                message, sent = step
                await asyncio.sleep(chance.seconds(0.001, 0.02))
                if self._reaches(edge, life):
                    order = read_down(write_owed(message))
                    if isinstance(order, HoldOrder):
                        edge.orders.put_nowait(order)
                if chance.happens(0.02):
                    break  # the stream is lost; what was under way may or may not have come

    def _reaches(self, edge: Edge, life: Process | None) -> bool:
        return edge.serving and edge.process is life and self._network.reachable(edge.name)

    def _end(self) -> None:
        self.store = None
