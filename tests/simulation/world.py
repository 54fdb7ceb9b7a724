"""One seed, one history: the whole fleet on one loop, its agents, its operator and its nemesis."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Protocol, cast
from unittest.mock import patch

from msgspec.structs import replace
from tests.simulation.chance import Chance
from tests.simulation.checker import check
from tests.simulation.control import ControlPlane
from tests.simulation.disk import Folder
from tests.simulation.edge import GRANTS, OUTBOX, SERVER, TOOLS, Edge, token_of
from tests.simulation.faults import Nemesis
from tests.simulation.history import Heard, History
from tests.simulation.jetstream import JetStreamServer
from tests.simulation.loop import PROCESS, Process, VirtualLoop, bury
from tests.simulation.machine import Machine
from tests.simulation.network import Network
from tests.simulation.tables import AnalyticsWorker

from toolreeve.bus import backoff
from toolreeve.decision import Hold
from toolreeve.fleet import Command
from toolreeve.proxy import gate

ANSWER_SECONDS_MAX = 30.0
QUIET_SECONDS_MAX = 180.0
CALLS_OF_AN_AGENT = 12
AGENTS = 4
HOLDS = 3


class Actor(Protocol):
    """Something that runs as a process, dies, and is started again."""

    name: str
    machine: Machine
    process: Process | None

    async def main(self, process: Process) -> None: ...


class World:
    """Everything there is in one history."""

    def __init__(self, seed: int) -> None:
        self.chance = Chance(seed)
        self.loop = VirtualLoop(self.chance)
        self.history = History(seed)
        self.server = JetStreamServer(self.loop, self.chance)
        self.network = Network(self.server, self.loop, self.chance)
        bound = 160_000 if self.chance.happens(0.1) else 4 << 20
        settings = replace(OUTBOX, bytes_on_disk_max=bound)
        self.edges = [
            Edge(name, self._machine(name), self.network, self.history, settings)
            for name in ("edge-1", "edge-2")
        ]
        self.worker = AnalyticsWorker(self._machine("worker"), self.network, self.history)
        self.control = ControlPlane(
            self._machine("control"), self.network, self.edges, self.history
        )
        self.nemesis = Nemesis(self)
        self.healing = False
        self._processes: list[Process] = []

    @property
    def actors(self) -> "list[Actor]":
        return [*self.edges, self.worker, self.control]

    async def story(self) -> None:
        """Everything happens, everything is mended, everything comes to rest."""
        actors = [asyncio.ensure_future(self._keep_alive(actor)) for actor in self.actors]
        nemesis = asyncio.ensure_future(self.nemesis.run())
        agents = [self._agent(number) for number in range(AGENTS)]
        await asyncio.gather(*agents, self._operator())
        nemesis.cancel()
        self.healing = True
        self.nemesis.heal()
        at_rest = await self._rest()
        for actor in actors:
            if actor.done():
                actor.result()
            actor.cancel()
        check(self, at_rest=at_rest)

    def bury(self) -> None:
        """Let go of everything, so that nothing of this history happens in the next one."""
        for process in self._processes:
            process.kill()
            bury(process)
        self.loop.close()

    def begin(
        self, process: Process, main: Callable[[Process], Awaitable[None]]
    ) -> "asyncio.Task[None]":
        """Run `main` as a process."""
        self._processes.append(process)
        context = copy_context()
        context.run(PROCESS.set, process)
        task = self.loop.create_task(main(process), context=context)
        task.add_done_callback(self._look_for_faults_of_our_own)
        return task

    def _look_for_faults_of_our_own(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else _first(task.exception())
        if isinstance(
            error, (TypeError, AttributeError, LookupError, AssertionError, NameError, ValueError)
        ):
            self.history.violate("the program", "".join(traceback.format_exception(error)))

    def note(self, step: str) -> None:
        self.history.note(self.loop.time(), step)

    async def _keep_alive(self, actor: Actor) -> None:
        """Start it whenever it does not run."""
        lives = 0
        while True:
            lives += 1
            process = Process(f"{actor.name}.{lives}")
            dead = asyncio.Event()
            process.when_dead(dead.set)
            actor.machine.process = process
            self.note(f"{actor.name:9} starts")
            self.nemesis.at_birth(actor, process)
            life = self.begin(process, actor.main)
            life.add_done_callback(process.ended)
            await dead.wait()
            why = "killed"
            if life.done() and not life.cancelled():
                why = repr(_first(life.exception()))
            self.note(f"{actor.name:9} is dead: {why[:300]}")
            self.nemesis.at_death(actor)
            actor.process = None
            await asyncio.sleep(self.chance.seconds(0.05, 1.0))

    async def _agent(self, number: int) -> None:
        chance = self.chance
        for count in range(CALLS_OF_AN_AGENT):
            await asyncio.sleep(chance.seconds(0.0, 2.5))
            burst = chance.choice([1, 1, 1, 2, 5])
            calls = [self._call(f'"{number}-{count}-{one}"') for one in range(burst)]
            await asyncio.gather(*calls)

    async def _call(self, request_id: str) -> None:
        chance = self.chance
        edge = chance.choice(self.edges)
        grant = chance.choice(GRANTS)
        tool = chance.choice(TOOLS)
        token = token_of(grant) if not chance.happens(0.08) else f"forged-{grant}"
        begun = self.loop.time()
        if not edge.serving or edge.process is None:
            self.history.heard.append(Heard(request_id=request_id, answer="closed", seconds=0))
            return
        request = gate.ToolCall(
            server=SERVER,
            caller=gate.Caller(grant, f"agent-{grant}"),
            session="",
            request_id=request_id,
            wire_name=tool,
            arguments={"id": chance.randint(1, 3)},
            protocol_version="2026-07-28",
            request_bytes=100,
        )
        answered: asyncio.Future[str] = self.loop.create_future()
        process = edge.process
        process.when_dead(lambda: None if answered.done() else answered.set_result("closed"))

        async def serve(_: Process) -> None:
            answer = await edge.call(request, token, begun)
            if not answered.done():
                answered.set_result(answer)

        self.begin(process, serve)
        answer: str | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                answer = await answered
        except TimeoutError:
            pass
        seconds = self.loop.time() - begun
        self.history.heard.append(Heard(request_id=request_id, answer=answer, seconds=seconds))

    async def _operator(self) -> None:
        """Places holds and releases some of them, each command until it is heard."""
        for number in range(HOLDS):
            await asyncio.sleep(self.chance.seconds(0.5, 8.0))
            tool = self.chance.choice(TOOLS[:3])
            hold = Hold(hold_id=f"hold-{number}", tool=tool, actor="ann", reason="test")
            await self._order(Command(command_id=f"c{number}", actor="ann", reason="test"), hold)
            if self.chance.happens(0.7):
                await asyncio.sleep(self.chance.seconds(0.5, 6.0))
                command = Command(command_id=f"r{number}", actor="ann", reason="over")
                await self._order(command, hold.hold_id)

    async def _order(self, command: Command, hold: Hold | str) -> None:
        for _ in range(8):
            if self.control.process is None or self.control.store is None:
                await asyncio.sleep(0.2)
            elif await self._ask(self.control.process, command, hold):
                self.note(f"operator  {command.command_id} is carried out")
                return

    async def _ask(self, process: Process, command: Command, hold: Hold | str) -> bool:
        done: asyncio.Future[bool] = self.loop.create_future()

        def say(carried_out: bool) -> None:
            if not done.done():
                done.set_result(carried_out)

        async def ask(_: Process) -> None:
            say(await self.control.command(command, hold))

        process.when_dead(lambda: say(False))
        self.begin(process, ask)
        return await done

    async def _rest(self) -> bool:
        """Return once nothing is under way any more; False where that never comes."""
        calm = 0
        ends = self.loop.time() + QUIET_SECONDS_MAX
        while self.loop.time() < ends:
            await asyncio.sleep(0.5)
            calm = calm + 1 if self._at_rest() else 0
            if calm >= 4:
                return True
        return False

    def _at_rest(self) -> bool:
        outboxes = [edge.opened.outbox for edge in self.edges if edge.opened is not None]
        if self.worker.outbox is None or len(outboxes) < len(self.edges):
            return False
        standing = [outbox.status() for outbox in (*outboxes, self.worker.outbox)]
        if any(one.waiting or one.published != one.last for one in standing):
            return False
        stream = self.server.streams.get("SIM_AUDIT")
        consumer = None if stream is None else stream.consumers.get("worker")
        return (
            stream is not None and consumer is not None and consumer.floor == len(stream.messages)
        )

    def _machine(self, name: str) -> Machine:
        machine = Machine(name, self.loop, self.chance)
        folder = machine.disk.root
        folder.change((name, Folder()))
        folder.sync()
        return machine


def play(seed: int) -> History:
    """Play the history of a seed and check it."""
    world = World(seed)
    try:
        with patch.object(backoff, "_random", world.chance):
            world.loop.play(world.story())
    except AssertionError as error:
        world.history.violate("the simulation", repr(error))
    finally:
        world.bury()
    return world.history


def _first(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
