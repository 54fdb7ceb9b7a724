"""One scene: every way started, then measured in turns, round by round.

A turn is two loads on one way: one agent whose calls follow one another, for latency; then so many
agents at once, for throughput and processor time. A way that fails says why and takes no further
turns; the others go on.
"""

import asyncio
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from msgspec import Struct, structs

from parts.figures import SceneSeen, Seen
from parts.load import Load, LoadError, crowd
from parts.processes import NotStartedError, last_words
from parts.proctree import cpu_seconds, memory_mb, tree
from parts.stdio_load import StdioAgent
from parts.way import Running, Scene, Upstream, Way

UP_SECONDS_MAX = 90.0
LISTS = 5
FAULTS = (LoadError, NotStartedError, OSError)


class Pace(Struct, frozen=True, kw_only=True):
    """How long a run takes."""

    rounds: int
    alone_seconds: float
    together_seconds: float
    starts: int
    agents: int = 16


class Runner(Protocol):
    """A way that is up, whatever it speaks."""

    @property
    def pid(self) -> int: ...
    async def list_tools(self) -> tuple[list[int], int]: ...
    async def alone(self, seconds: float) -> Load: ...
    async def together(self, agents: int, seconds: float) -> tuple[Load, float]:
        """The load, and the processor time it took the way's processes."""
        ...


class HttpRunner:
    def __init__(self, running: Running, scene: Scene) -> None:
        self._target = structs.replace(running.target, stateless=scene.stateless)
        self._padding = scene.padding
        self.pid = running.pid

    async def list_tools(self) -> tuple[list[int], int]:
        async with crowd(self._target, agents=1, padding=0) as them:
            taken = [await them.agents[0].list_tools() for _ in range(LISTS)]
        return [one for one, _ in taken], taken[0][1]

    async def alone(self, seconds: float) -> Load:
        async with crowd(self._target, agents=1, padding=self._padding) as them:
            return await them.call(seconds)

    async def together(self, agents: int, seconds: float) -> tuple[Load, float]:
        async with crowd(self._target, agents=agents, padding=self._padding) as them:
            before = cpu_seconds(self.pid) if self.pid else 0.0
            load = await them.call(seconds)
            used = cpu_seconds(self.pid) - before if self.pid else 0.0
        return load, used


class StdioRunner:
    def __init__(self, agent: StdioAgent) -> None:
        self._agent = agent
        self.pid = agent.process.pid

    async def list_tools(self) -> tuple[list[int], int]:
        taken = [self._agent.list_tools() for _ in range(LISTS)]
        return [one for one, _ in taken], taken[0][1]

    async def alone(self, seconds: float) -> Load:
        return self._agent.call(seconds, 1)

    async def together(self, agents: int, seconds: float) -> tuple[Load, float]:
        before = cpu_seconds(self.pid)
        load = self._agent.call(seconds, agents)
        return load, cpu_seconds(self.pid) - before


class Stage(Struct, frozen=True, kw_only=True):
    """What is the same for all ways of a scene while it is measured."""

    scene: Scene
    upstream: Upstream
    folder: Path
    pace: Pace

    def home(self, way: str) -> Path:
        """A way's own folder."""
        home = self.folder / "".join(filter(str.isalnum, way))
        home.mkdir(exist_ok=True)
        return home


async def measure_scene(stage: Stage, ways: list[Way]) -> SceneSeen:
    """Start every way and measure them in turns."""
    scene, pace = stage.scene, stage.pace
    seen = [Seen(name=way.name, kind=way.kind, error=way.why_not) for way in ways]
    server = _server(stage.upstream)
    with ExitStack() as stack:
        runners: dict[str, Runner] = {}
        for way, one in zip(ways, seen, strict=True):
            if one.error is not None:
                continue
            say(f"  {scene.name}: starting {way.name}")
            try:
                runners[way.name] = await _start(stage, way, one, stack)
            except FAULTS as error:
                one.error = _why(error, stage.home(way.name))
                say(f"  {scene.name}: {way.name}: {one.error}")
        for number in range(pace.rounds):
            for one in seen:
                if one.error is None:
                    await _turn(stage, runners[one.name], one, number)
        for one in seen:
            if one.name in runners and one.error is None and one.kind != "direct":
                one.loaded_mb = memory_mb(runners[one.name].pid, without=server)
                one.processes = len(tree(runners[one.name].pid))
    return SceneSeen(name=scene.name, title=scene.title, agents=pace.agents, ways=seen)


async def _start(stage: Stage, way: Way, seen: Seen, stack: ExitStack) -> Runner:
    """Start it so many times, keep the last, and let it answer some calls that do not count."""
    pace = stage.pace
    if way.prepare is not None:
        await way.prepare(stage.home(way.name), stage.upstream)
    starts = 1 if way.kind == "direct" and way.http is not None else pace.starts
    if way.prepare is not None:
        starts = 1  # it takes many seconds, each time about as many
    for _ in range(starts - 1):
        with ExitStack() as short:
            await _up(stage, way, seen, short)
    runner = await _up(stage, way, seen, stack)
    if way.kind != "direct":
        seen.idle_mb = memory_mb(runner.pid, without=_server(stage.upstream))
    lists, seen.tools_listed = await runner.list_tools()
    seen.list_ms = [taken / 1e6 for taken in lists[1:]]
    await runner.alone(0.3)
    await runner.together(pace.agents, 0.3)
    return runner


async def _up(stage: Stage, way: Way, seen: Seen, keep: ExitStack) -> Runner:
    """One start, timed until the first call through it is answered."""
    home = stage.home(way.name)
    began = time.perf_counter()
    if way.stdio is not None:
        start = way.stdio(home, stage.upstream)
        began = time.perf_counter()
        agent = StdioAgent(start, home / "log", padding=stage.scene.padding)
        keep.callback(agent.close)
        agent.call(60.0, 1, calls_max=1)
        seen.start_ms.append((time.perf_counter() - began) * 1e3)
        return StdioRunner(agent)
    assert way.http is not None
    running = keep.enter_context(way.http(home, stage.upstream))
    runner = HttpRunner(running, stage.scene)
    while True:
        try:
            await runner.alone(0.0)
        except FAULTS as error:
            late = time.perf_counter() - began > UP_SECONDS_MAX
            if late or not running.alive():
                raise LoadError(f"it did not come up: {error}") from error
            await asyncio.sleep(0.005)
        else:
            break
    if way.kind != "direct":
        seen.start_ms.append((time.perf_counter() - began) * 1e3)
    return runner


async def _turn(stage: Stage, runner: Runner, seen: Seen, number: int) -> None:
    scene, pace = stage.scene, stage.pace
    try:
        alone = await runner.alone(pace.alone_seconds)
        together, used = await runner.together(pace.agents, pace.together_seconds)
    except FAULTS as error:
        seen.error = f"in round {number + 1}: {_why(error, stage.home(seen.name))}"
        say(f"  {scene.name}: {seen.name}: {seen.error}")
        return
    seen.p50_us.append(alone.percentile_us(50))
    seen.p99_us.append(alone.percentile_us(99))
    seen.calls_per_second.append(together.calls_per_second)
    seen.busy_p50_us.append(together.percentile_us(50))
    seen.cpu_us.append(used / len(together.latencies_ns) * 1e6)
    seen.calls += len(alone.latencies_ns) + len(together.latencies_ns)
    say(
        f"  {scene.name} {number + 1}/{pace.rounds} {seen.name:34}"
        f"{seen.p50_us[-1]:10,.0f} us {seen.calls_per_second[-1]:9,.0f} calls/s"
        f"{seen.cpu_us[-1]:9,.0f} us of CPU"
    )


def _server(upstream: Upstream) -> str:
    """By what a server on stdio is known, whose memory is not the way's."""
    return Path(upstream.command[1]).name if upstream.command else "\n"


def _why(error: BaseException, home: Path) -> str:
    """What went wrong in one line; what the process said last, where it says more."""
    said = str(error) or type(error).__name__
    words = last_words(home / "log")
    return f"{said} ({words})" if words and words not in said else said


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
