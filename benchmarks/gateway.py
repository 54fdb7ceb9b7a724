"""What stands between an agent and its server, side by side: directly, through us, through peers.

    python benchmarks/gateway.py [--quick] [--peers] [--scenes http,stdio,growth]
                                 [--save FILE] [--json | --markdown]
    python benchmarks/gateway.py --show FILE --markdown          the tables of a saved run
    python benchmarks/gateway.py --show FILE --into docs/performance.md

Method. One run, one machine, loopback. In a scene all ways lead to the same upstream and are asked
for the same calls by the same load, in turns, round by round, so that a slow moment of the machine
meets all of them; figures are medians over the rounds, ratios are taken within a round. One agent
whose calls follow one another gives latency; sixteen at once give calls a second and, from that
saturated part alone, processor time: of the whole process tree of a way, children included. What
is measured has one core for itself, and the load, the upstream and the bus share another. Every
answer is read: it must hold the text that this very call has sent. The raw upstream answers in
about ten microseconds, so it is not the limit. Ours writes every decision and outcome to a real
outbox (`fdatasync` before a call is forwarded); "and NATS" publishes them to a JetStream that syncs
every write. Peers are there with `--peers`, when `make bench-peers` has fetched them; one that is
missing or fails is a row that says so.
"""

import argparse
import asyncio
import os
import platform
import resource
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from parts import growth, ways_ours
from parts.bus import groups_published, nats_server
from parts.figures import Point, Run, SceneSeen, Seen
from parts.measure import Pace, Stage, measure_scene, say
from parts.processes import (
    NotStartedError,
    fsync_us,
    keep_beside,
    stdio_upstream,
    upstream,
)
from parts.report import tables
from parts.way import SCENES, Scene, Upstream, Way
from peers import ways as peers_ways
from peers.install import problem, table
from toolreeve.runtime import log

FULL_PACE = Pace(rounds=5, alone_seconds=1.0, together_seconds=1.5, starts=3)
QUICK_PACE = Pace(rounds=2, alone_seconds=0.4, together_seconds=0.6, starts=1)
GROWTH = "growth"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def ways(scene: Scene, pid: int, nats_url: str | None, *, peers: bool) -> list[Way]:
    def url() -> str:
        if nats_url is None:
            raise NotStartedError("there is no nats-server here")
        return nats_url

    found = ways_ours.ways(scene, pid, url)
    return [*found, *peers_ways.ways(scene)] if peers else found


async def run_scene(scene: Scene, pace: Pace, nats_url: str | None, *, peers: bool) -> SceneSeen:
    say(f"{scene.name}: {scene.title}")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        end, pid = _upstream(scene, folder, stack)
        before = await groups_published(nats_url) if nats_url is not None else 0
        stage = Stage(scene=scene, upstream=end, folder=folder, pace=pace)
        seen = await measure_scene(stage, ways(scene, pid, nats_url, peers=peers))
        for one in seen.ways:
            mine = one.name == ways_ours.WITH_BUS and one.error is None and nats_url is not None
            if mine and await groups_published(nats_url or "") == before:
                one.error = "nothing came into the stream"
        return seen


async def run_growth(nats_url: str | None, *, peers: bool, quick: bool) -> list[Point]:
    scene = next(one for one in SCENES if one.name == "http")
    say("growth: from one agent to a thousand")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        end, pid = _upstream(scene, folder, stack)
        stage = Stage(scene=scene, upstream=end, folder=folder, pace=QUICK_PACE)
        return await growth.measure_growth(
            stage,
            ways(scene, pid, nats_url, peers=peers),
            seconds=0.6 if quick else 3.0,
            agents_of=growth.QUICK if quick else growth.AGENTS,
        )


def _upstream(scene: Scene, folder: Path, stack: ExitStack) -> tuple[Upstream, int]:
    if scene.server == "stdio":
        return Upstream(command=tuple(stdio_upstream(scene.upstream, scene.tools))), 0
    arguments = ["--tools", str(scene.tools), "--answers", scene.answers]
    if scene.stateless and scene.upstream == "raw":
        arguments.append("--stateless")
    started = upstream(folder, scene.upstream, *arguments)
    port, process = stack.enter_context(started)
    return Upstream(url=f"http://127.0.0.1:{port}/mcp"), process.pid


async def run(names: list[str], pace: Pace, *, peers: bool, quick: bool, save: Path | None) -> Run:
    """All scenes asked for. After each of them `save` holds what there is so far."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        versions = {one: peer.version for one, peer in table().items() if problem(one) is None}
        whole = Run(
            machine=f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
            f"Python {platform.python_version()}",
            fsync_p50_us=fsync_us(folder),
            rounds=pace.rounds,
            turn_seconds=pace.alone_seconds + pace.together_seconds,
            peers=versions if peers else {},
            scenes=[],
            growth=[],
            load_average=os.getloadavg()[0],
        )
        nats_url: str | None = None
        try:
            nats_url = stack.enter_context(nats_server(folder))
            await groups_published(nats_url)
        except NotStartedError as error:
            say(str(error))
        for scene in SCENES:
            if scene.name in names:
                try:
                    whole.scenes.append(await run_scene(scene, pace, nats_url, peers=peers))
                except NotStartedError as error:
                    none = Seen(name="direct", kind="direct", error=str(error))
                    whole.scenes.append(
                        SceneSeen(
                            name=scene.name, title=scene.title, agents=pace.agents, ways=[none]
                        )
                    )
                _keep(whole, save)
        if GROWTH in names:
            whole.growth = await run_growth(nats_url, peers=peers, quick=quick)
            _keep(whole, save)
    return whole


def _keep(whole: Run, save: Path | None) -> None:
    if save is not None:
        save.write_bytes(msgspec.json.format(msgspec.json.encode(whole)))


def put_into(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{page} has no marks: {BEGIN} and {END}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def _options() -> argparse.Namespace:
    names = [scene.name for scene in SCENES] + [GROWTH]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two short rounds: a look, no figures")
    parser.add_argument("--peers", action="store_true", help="other gateways too")
    parser.add_argument("--rounds", type=int, help=f"rounds of turns ({FULL_PACE.rounds})")
    parser.add_argument("--scenes", default=",".join(names), help="of: " + ", ".join(names))
    parser.add_argument("--save", type=Path, help="keep the run in this file, as JSON")
    parser.add_argument("--show", type=Path, help="measure nothing; show a saved run")
    parser.add_argument("--json", action="store_true", help="print every round")
    parser.add_argument("--markdown", action="store_true", help="print tables for the docs")
    parser.add_argument("--into", type=Path, help="put those tables into this page, at its marks")
    options = parser.parse_args()
    unknown = set(options.scenes.split(",")) - set(names)
    if unknown:
        parser.error(f"no such scene: {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    options = _options()
    if options.show is not None:
        whole = msgspec.json.decode(options.show.read_bytes(), type=Run)
    else:
        log.configure(process="benchmark", level="warning")
        keep_beside()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        pace = QUICK_PACE if options.quick else FULL_PACE
        if options.rounds:
            pace = msgspec.structs.replace(pace, rounds=options.rounds)
        names = options.scenes.split(",")
        go = run(names, pace, peers=options.peers, quick=options.quick, save=options.save)
        try:
            import uvloop
        except ImportError:
            whole = asyncio.run(go)
        else:
            whole = uvloop.run(go)
    if options.into is not None:
        put_into(options.into, tables(whole, markdown=True))
    elif options.json:
        print(msgspec.json.format(msgspec.json.encode(whole)).decode())
    else:
        print(tables(whole, markdown=options.markdown))


if __name__ == "__main__":
    main()
