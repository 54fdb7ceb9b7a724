"""From one agent to a thousand: what each way still does, and how long a call then takes."""

import asyncio
import time
from contextlib import ExitStack

from parts.figures import Point
from parts.load import LoadError, crowd
from parts.measure import FAULTS, Stage, say
from parts.way import Running, Way

AGENTS = (1, 3, 10, 30, 100, 300, 1_000)
QUICK = (1, 30, 1_000)
UP_SECONDS_MAX = 90.0
PADDING = 1_000


async def measure_growth(
    stage: Stage, ways: list[Way], *, seconds: float, agents_of: tuple[int, ...]
) -> list[Point]:
    """All ways with the same number of agents one after the other, then with the next number."""
    points: list[Point] = []
    with ExitStack() as stack:
        runs: dict[str, Running] = {}
        for way in ways:
            if way.http is None or way.why_not is not None:
                why = way.why_not or "it does not speak HTTP"
                points.append(Point(way=way.name, kind=way.kind, agents=0, error=why))
                continue
            home = stage.home(way.name)
            try:
                if way.prepare is not None and not (home / "token").exists():
                    await way.prepare(home, stage.upstream)
                running = stack.enter_context(way.http(home, stage.upstream))
                await _until_up(running)
                runs[way.name] = running
            except FAULTS as error:
                points.append(Point(way=way.name, kind=way.kind, agents=0, error=str(error)))
        for agents in agents_of:
            for way in ways:
                if way.name in runs:
                    points.append(await _point(way, runs[way.name], agents, seconds))
                    if points[-1].error is not None:
                        del runs[way.name]
    return points


async def _until_up(running: Running) -> None:
    began = time.perf_counter()
    while True:
        try:
            async with crowd(running.target, agents=1, padding=10) as them:
                await them.call(0.0)
        except FAULTS as error:
            if time.perf_counter() - began > UP_SECONDS_MAX or not running.alive():
                raise LoadError(f"it did not come up: {error}") from error
            await asyncio.sleep(0.02)
        else:
            return


async def _point(way: Way, running: Running, agents: int, seconds: float) -> Point:
    try:
        async with crowd(running.target, agents=agents, padding=PADDING) as them:
            load = await them.call(seconds)
    except FAULTS as error:
        say(f"  growth {agents:5} {way.name:34} {error}")
        return Point(way=way.name, kind=way.kind, agents=agents, error=str(error))
    point = Point(
        way=way.name,
        kind=way.kind,
        agents=agents,
        calls_per_second=load.calls_per_second,
        p50_us=load.percentile_us(50),
        p99_us=load.percentile_us(99),
    )
    say(
        f"  growth {agents:5} {way.name:34}{point.calls_per_second:9,.0f} calls/s"
        f"  p50 {point.p50_us / 1e3:9,.1f} ms  p99 {point.p99_us / 1e3:9,.1f} ms"
    )
    return point
