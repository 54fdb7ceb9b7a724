"""A gateway under agents that misbehave, for long: does it keep anything that it should let go?

    python benchmarks/soak_gateway.py [--seconds 3600] [--seed N] [--save FILE]

First its saturation is measured; then agents call at half of that, on an upstream over HTTP and on
one on stdio, under the full policy, with every decision on disk and published to NATS where there
is a nats-server. Beside them others come and go, some twenty a second: they vanish while a call is
under way, cancel, send rubbish, half a request or a body byte by byte, hold streams open, subscribe
and leave, open sessions and never close them. All that time memory, descriptors, threads and
children of the gateway are looked at from outside. In the end all agents leave, the owners of
abandoned sessions with a server process end them, and the counts must be what they were.

Ends with 1 and says what leaked (parts/soak_verdict.py holds the bounds), what was answered
wrongly, or that the gateway ended or kept somebody waiting for a sign of health.
"""

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import Struct

from parts.bus import groups_published, nats_server
from parts.http_wire import BrokenConnectionError, HttpWire
from parts.load import LoadError, Target, crowd
from parts.ours import gateway
from parts.policies import truenas_policy
from parts.processes import HERE, NotStartedError, keep_beside, patient_upstream
from parts.soak_agents import BEHAVIOURS, Book, Place, call_once, comes_back
from parts.soak_verdict import Leak, Sample, leaks, memory_rise_mb, sample
from toolreeve.runtime import log

AGENTS = 16
VISITS_A_SECOND = 20.0
VISITS_AT_ONCE_MAX = 150
TO_PROCESSES = 0.15
"""The share of visits that go to the stdio server: many of them start a process."""
SESSIONS_REMEMBERED = 10_000
HEALTH_SECONDS_MAX = 10.0
SETTLE_SECONDS_MAX = 90.0
RESTING_SECONDS = 6
STUCK_SECONDS = 25
WRONG_SHOWN = 10


class Soak(Struct, kw_only=True):
    """Everything a soak has seen."""

    seconds: float
    saturation: float
    calls: int
    visits: dict[str, int]
    turned_away: dict[str, int]
    wrong: list[str]
    slowest_health_seconds: float
    memory_rise_mb: float
    memory_rise_mb_max: float
    before: Sample
    after: Sample
    leaks: list[Leak]
    samples: list[Sample]


class Gateway:
    """The gateway under test and what stands around it."""

    def __init__(self, port: int, pid: int, upstream_pid: int) -> None:
        self.port = port
        self.pid = pid
        self.upstream_pid = upstream_pid
        self.web = Place("web", port, processes=False)
        self.shell = Place("shell", port, processes=True)
        self.book = Book()
        self.calls = 0
        self.slowest_health = 0.0

    def look(self, began: float) -> Sample:
        return sample(self.pid, self.upstream_pid, time.monotonic() - began, self.calls)


async def saturation(under: Gateway, seconds: float) -> float:
    """Calls a second that it does at most, for well-behaved agents."""
    target = Target(port=under.port, path=under.web.path)
    async with crowd(target, agents=AGENTS, padding=200) as them:
        return (await them.call(seconds)).calls_per_second


async def steady(under: Gateway, place: Place, each_second: float, until: float) -> None:
    """One agent that calls in an even rhythm until then, in the stateless era."""
    agent = place.agent(stateless=True)
    await agent.open()
    due = time.monotonic()
    try:
        while (now := time.monotonic()) < until:
            due = max(due + 1 / each_second, now - 1.0)
            await asyncio.sleep(max(0.0, due - now))
            await call_once(agent, next(place.ids))
            under.calls += 1
    except (LoadError, BrokenConnectionError) as error:
        under.book.wrong.append(f"steady agent at {place.name}: {error}")
    finally:
        agent.wire.close()


async def visitors(under: Gateway, chance: random.Random, until: float) -> None:
    """Agents that come, misbehave and go."""
    names = list(BEHAVIOURS)
    room = asyncio.Semaphore(VISITS_AT_ONCE_MAX)

    async def one(name: str, place: Place, seed: int) -> None:
        async with room:
            go = BEHAVIOURS[name](place, random.Random(seed))
            await under.book.visit(name, place, go)

    async with asyncio.TaskGroup() as visits:
        while time.monotonic() < until:
            place = under.shell if chance.random() < TO_PROCESSES else under.web
            visits.create_task(one(chance.choice(names), place, chance.getrandbits(32)))
            await asyncio.sleep(chance.expovariate(VISITS_A_SECOND))


async def rehearse(under: Gateway) -> None:
    """Every behaviour once at each server, so that what is made at first use is made."""
    async with asyncio.TaskGroup() as visits:
        for place in (under.web, under.shell):
            for name, behaviour in BEHAVIOURS.items():
                go = behaviour(place, random.Random(name))
                visits.create_task(under.book.visit(name, place, go))
    await bring_back(under)


async def bring_back(under: Gateway) -> None:
    while under.shell.left:
        await comes_back(under.shell.left.pop())


async def fill_sessions(under: Gateway) -> None:
    """Open as many sessions as the gateway remembers, so that what it forgets keeps the balance.

    Each calls once: a session is also a head of requests, of which some are remembered too.
    """

    async def some(count: int) -> None:
        for _ in range(count):
            agent = under.web.agent(stateless=False)
            await agent.open()
            await call_once(agent, next(under.web.ids))
            agent.wire.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AGENTS):
            tasks.create_task(some(SESSIONS_REMEMBERED // AGENTS))


async def settled(under: Gateway, goal: Sample | None) -> Sample:
    """Its counts once they rest; with a `goal`, once they are also down to that.

    To rest takes longer than an unused connection to an upstream is kept.
    """
    began = time.monotonic()
    seen = under.look(began)
    same = 0
    while time.monotonic() - began < SETTLE_SECONDS_MAX:
        await asyncio.sleep(1.0)
        now = under.look(began)
        same = same + 1 if _counts(now) == _counts(seen) else 0
        seen = now
        down = goal is None or not leaks([], goal, now)
        if same >= (RESTING_SECONDS if down else STUCK_SECONDS):
            break
    return seen


def _counts(one: Sample) -> tuple[int, ...]:
    return (one.descriptors, one.threads, one.children, one.upstream_descriptors)


async def watch(under: Gateway, samples: list[Sample], every: float, until: float) -> None:
    """Look at it from outside, ask for its health, and say how it goes."""
    began = time.monotonic()
    said = began
    while time.monotonic() < until:
        await asyncio.sleep(every)
        asked = time.monotonic()
        await healthy(under)
        under.slowest_health = max(under.slowest_health, time.monotonic() - asked)
        samples.append(under.look(began))
        if time.monotonic() - said >= 10.0:
            said = time.monotonic()
            one = samples[-1]
            say(
                f"{one.second:6.0f} s  {one.rss_mb:6.1f} MiB  {one.descriptors:5} descriptors"
                f"  {one.threads:3} threads  {one.children:3} children  {one.calls:,} calls"
                f"  {sum(under.book.visits.values()):,} visits"
            )


async def healthy(under: Gateway) -> None:
    """Raises LoadError where it does not say so in time."""
    wire = HttpWire()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(HEALTH_SECONDS_MAX):
            await loop.create_connection(lambda: wire, "127.0.0.1", under.port)
            request = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{under.port}\r\n\r\n"
            status, _, _ = await wire.ask(request.encode())
    except (TimeoutError, OSError, BrokenConnectionError) as error:
        raise LoadError(f"no sign of health: {type(error).__name__} {error}") from error
    finally:
        if wire.open:
            wire.close()
    if status != 200:
        raise LoadError(f"health: HTTP {status}")


async def soak(under: Gateway, seconds: float, seed: int) -> Soak:
    chance = random.Random(seed)
    measured = await saturation(under, min(5.0, max(2.0, seconds / 20)))
    say(f"saturation: {measured:,.0f} calls/s; half of it for {seconds:,.0f} s, seed {seed}")
    await rehearse(under)
    say(f"opening {SESSIONS_REMEMBERED:,} sessions, as many as it remembers")
    await fill_sessions(under)
    before = await settled(under, None)
    samples: list[Sample] = []
    until = time.monotonic() + seconds
    each = measured / 2 / AGENTS
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(AGENTS):
                place = under.shell if number % 4 == 0 else under.web
                tasks.create_task(steady(under, place, each, until))
            tasks.create_task(visitors(under, chance, until))
            tasks.create_task(watch(under, samples, max(0.5, seconds / 600), until))
    except* LoadError as group:
        under.book.wrong += [str(error) for error in group.exceptions]
    await bring_back(under)
    after = await settled(under, before)
    rise, allowed = memory_rise_mb(samples)
    return Soak(
        seconds=seconds,
        saturation=measured,
        calls=under.calls,
        visits=dict(under.book.visits),
        turned_away=dict(under.book.turned_away),
        wrong=under.book.wrong,
        slowest_health_seconds=under.slowest_health,
        memory_rise_mb=rise,
        memory_rise_mb_max=allowed,
        before=before,
        after=after,
        leaks=leaks(samples, before, after),
        samples=samples,
    )


async def run(seconds: float, seed: int) -> Soak:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url: str | None = None
        try:
            url = stack.enter_context(nats_server(folder))
            await groups_published(url)
        except NotStartedError as error:
            say(f"without a bus: {error}")
        port, upstream = stack.enter_context(patient_upstream(folder))
        command = [sys.executable, str(HERE / "patient_server.py"), "--stdio"]
        upstreams: dict[str, dict[str, object]] = {
            "web": {"url": f"http://127.0.0.1:{port}/mcp"},
            "shell": {"command": command},
        }
        listening, pid = stack.enter_context(
            gateway(folder / "gateway", truenas_policy(5), upstreams, url)
        )
        return await soak(Gateway(listening, pid, upstream.pid), seconds, seed)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def tell(seen: Soak) -> None:
    print(f"{seen.calls:,} calls at half of {seen.saturation:,.0f}/s, and visits:")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in sorted(seen.visits.items())))
    if seen.turned_away:
        away = ", ".join(f"{name} {count:,}" for name, count in sorted(seen.turned_away.items()))
        print(f"  turned away because the house was full: {away}")
    print(
        f"memory: {seen.before.rss_mb:.1f} MiB before, {seen.after.rss_mb:.1f} after; rose by "
        f"{seen.memory_rise_mb:.2f} over the last two thirds, {seen.memory_rise_mb_max:.1f} allowed"
    )
    print(
        f"descriptors {seen.before.descriptors} -> {seen.after.descriptors}, threads "
        f"{seen.before.threads} -> {seen.after.threads}, children {seen.before.children} -> "
        f"{seen.after.children}, upstream {seen.before.upstream_descriptors} -> "
        f"{seen.after.upstream_descriptors}; slowest sign of health "
        f"{seen.slowest_health_seconds * 1e3:.0f} ms"
    )
    for wrong in seen.wrong[:WRONG_SHOWN]:
        print(f"WRONG: {wrong}")
    if len(seen.wrong) > WRONG_SHOWN:
        print(f"WRONG: and {len(seen.wrong) - WRONG_SHOWN} more")
    for leak in seen.leaks:
        print(f"LEAKED: {leak.what}: {leak.seen}")
    if not seen.wrong and not seen.leaks:
        print("nothing leaked")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3_600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, help="keep all samples in this file, as JSON")
    options = parser.parse_args()
    log.configure(process="soak", level="warning")
    keep_beside()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seen = asyncio.run(run(options.seconds, options.seed))
    if options.save is not None:
        options.save.write_bytes(msgspec.json.format(msgspec.json.encode(seen)))
    tell(seen)
    return 1 if seen.leaks or seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
