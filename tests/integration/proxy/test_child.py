"""A server process: heard no faster than it may talk, and gone with all it has started."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from toolreeve.proxy.child import Child, ChildBounds
from toolreeve.proxy.pace import PaceBounds

HIDING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
for line in sys.stdin:
    pass
"""
TALKING = """
import sys
for number in range({lines}):
    print(str(number).rjust(2000), flush=True)
for line in sys.stdin:
    print(line, end="", flush=True)
"""


class Heard:
    """A child, and what it has said so far."""

    def __init__(self, program: str, bounds: ChildBounds | None = None) -> None:
        self.lines: list[bytes] = []
        self.bad: list[str] = []
        self.said = asyncio.Event()
        self.child = Child(
            [sys.executable, "-c", program],
            os.environ,
            server="talking",
            on_line=self._on_line,
            on_end=self.said.set,
            on_bad=lambda code, _reason, _size: self.bad.append(code),
            bounds=bounds,
        )

    def _on_line(self, line: bytes) -> None:
        self.lines.append(line)
        self.said.set()

    async def until(self, count: int) -> None:
        while len(self.lines) < count:
            self.said.clear()
            await self.said.wait()


def runs(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_what_a_server_has_started_and_hidden_is_gone_when_it_has_ended() -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            heard = Heard(HIDING, ChildBounds(stop_seconds_max=1.0))
            await heard.until(1)
            hidden = int(heard.lines[0])
            assert os.getsid(hidden) not in (0, os.getsid(0))
            assert runs(hidden)
            await heard.child.stop()
            assert not runs(hidden)

    asyncio.run(main())


def test_another_server_of_the_same_kind_is_left_alone() -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            bounds = ChildBounds(stop_seconds_max=1.0)
            one, other = Heard(HIDING, bounds), Heard(HIDING, bounds)
            await one.until(1)
            await other.until(1)
            await one.child.stop()
            assert runs(int(other.lines[0]))
            await other.child.stop()
            assert not runs(int(other.lines[0]))

    asyncio.run(main())


def test_a_server_that_says_more_than_it_may_waits_in_its_own_pipe() -> None:
    async def main() -> None:
        pace = PaceBounds(per_second=100, burst=10)
        async with asyncio.timeout(20):
            heard = Heard(TALKING.format(lines=200), ChildBounds(pace=pace, stop_seconds_max=1.0))
            await heard.until(1)
            began = time.monotonic()
            await heard.until(200)
            # A pipe holds some thirty such lines, which come at once when it is read.
            assert time.monotonic() - began >= (200 - 10 - 64) / 100
            await heard.child.stop()

    asyncio.run(main())


def test_answers_that_were_asked_for_are_no_flood() -> None:
    async def main() -> None:
        pace = PaceBounds(per_second=1, burst=5)
        async with asyncio.timeout(20):
            heard = Heard(TALKING.format(lines=0), ChildBounds(pace=pace, stop_seconds_max=1.0))
            began = time.monotonic()
            for number in range(200):
                assert heard.child.send(b"%d" % number)
                await heard.until(number + 1)
            assert time.monotonic() - began < 5
            assert not heard.child.floods
            await heard.child.stop()

    asyncio.run(main())


def test_a_server_is_read_only_when_nobody_has_a_reason_against_it() -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            heard = Heard(TALKING.format(lines=0), ChildBounds(stop_seconds_max=1.0))
            heard.child.pause("one")
            heard.child.pause("other")
            heard.child.send(b"1")
            heard.child.resume("one")
            assert not await said_within(heard, 0.1)
            heard.child.resume("other")
            await heard.until(1)
            await heard.child.stop()

    asyncio.run(main())


async def said_within(heard: Heard, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await heard.until(1)
    except TimeoutError:
        return False
    return True


def test_a_message_goes_as_one_line_to_every_reader() -> None:
    program = "import sys\nprint(ascii(sys.stdin.buffer.readline().decode()), flush=True)\n"

    async def main() -> None:
        async with asyncio.timeout(10):
            heard = Heard(program, ChildBounds(stop_seconds_max=1.0))
            heard.child.send('{"a":"1\u2028 2\u2029 3\u0085 4é"}'.encode())
            await heard.until(1)
            got = heard.lines[0].decode()
            assert "\\\\u2028 2\\\\u2029 3\\\\u0085 4\\xe9" in got
            await heard.child.stop()

    asyncio.run(main())
