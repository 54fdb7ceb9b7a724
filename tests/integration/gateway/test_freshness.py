"""When the control plane was last heard of, and that a restart does not make it sooner."""

import asyncio
import json
import os
import time
from pathlib import Path

from toolreeve.audit import Redaction
from toolreeve.decision import HOUR, SECOND, Counters, Instant
from toolreeve.enforcement import Enforcer, PolicyOffered
from toolreeve.gateway.freshness import FILE, Heard
from toolreeve.policy import parse
from toolreeve.runtime.clock import Clock

POLICY = parse(
    json.dumps({"version": "1", "default": "deny", "max_staleness": "hour", "on_stale": "keep"}),
    source="test",
)


def started(clock: Clock) -> Enforcer:
    enforcer = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    enforcer.receive(PolicyOffered(server="vm", policy=POLICY, origin="disk"), clock.now())
    return enforcer


def stale_at_start(folder: Path) -> bool:
    """Whether an enforcer that begins now takes its policy for stale."""
    clock = Clock()
    enforcer = started(clock)
    Heard(enforcer, clock, folder).begin()
    return enforcer.freshness.of(enforcer.policy_of("vm"), clock.now()) == "keep"


def test_one_that_starts_while_it_is_cut_off_is_as_stale_as_before(tmp_path: Path) -> None:
    assert stale_at_start(tmp_path), "nobody knows that it was ever heard of"
    (tmp_path / FILE).touch()
    assert not stale_at_start(tmp_path)
    two_hours_ago = time.time() - 7_200
    os.utime(tmp_path / FILE, (two_hours_ago, two_hours_ago))
    assert stale_at_start(tmp_path)


def test_a_file_of_tomorrow_is_no_older_than_now_allows(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    tomorrow = time.time() + 86_400
    os.utime(tmp_path / FILE, (tomorrow, tomorrow))
    clock = Clock()
    enforcer = started(clock)
    Heard(enforcer, clock, tmp_path).begin()
    later = Instant(clock.now() + HOUR + SECOND)
    assert enforcer.freshness.of(enforcer.policy_of("vm"), later) == "keep"


def test_as_long_as_it_is_there_it_is_noted_and_no_longer(tmp_path: Path) -> None:
    async def story(*, connected: bool) -> None:
        clock = Clock()
        heard = Heard(started(clock), clock, tmp_path)
        heard.begin()
        running = asyncio.create_task(heard.run(("vm",), lambda: connected))
        try:
            async with asyncio.timeout(5):
                while connected and not (tmp_path / FILE).exists():
                    await asyncio.to_thread(time.sleep, 0.01)
            await asyncio.sleep(0)
        finally:
            running.cancel()

    asyncio.run(story(connected=False))
    assert not (tmp_path / FILE).exists()
    asyncio.run(story(connected=True))
    assert not stale_at_start(tmp_path)
