"""What enforcers say of themselves is compared with what arrived, and what arrived is told them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

from toolreeve.decision import Instant
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.wire.durable import Durable, Resend
from toolreeve.wire.fleet import Hello, Status

EDGE = "edge-1"
Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


class Worker(Protocol):
    @property
    def log(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def rows(self, sql: str) -> list[list[Any]]: ...
    def wait_for(self, sql: str, wanted: list[list[Any]], seconds: float = 20.0) -> None: ...


class Scene(Protocol):
    control: str
    calls: int
    worker: Worker

    async def decide(self, calls: int) -> None: ...
    async def all_there(self, seconds: float = 30.0) -> None: ...
    async def alerts(self, rule: str, seconds: float = 10.0) -> list[str]: ...
    async def all_over(self, seconds: float = 30.0) -> None: ...


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  (what is waited for has no event of its own)
        await asyncio.sleep(0.05)


@asynccontextmanager
async def liar(
    control: str, said: Status | None, *, name: str = EDGE
) -> AsyncGenerator[list[Durable]]:
    """Somebody who says hello under this name, in the place of whoever has it."""
    heard: list[Durable] = []

    async def ignore(_: object) -> None:
        pass

    def keep(message: Durable | Resend) -> None:
        if isinstance(message, Durable):
            heard.append(message)

    link = Link(
        control,
        hello=lambda: Hello(enforcer_id=name, software_version="1", host="h", servers=()),
        on_manifest=ignore,
        on_hold=ignore,
        status=None if said is None else lambda: said,
        on_refill=keep,
        settings=LinkSettings(status_seconds=0.1, retry_first_seconds=0.02, retry_seconds_max=0.05),
    )
    speaking = asyncio.create_task(link.run())
    try:
        yield heard
    finally:
        speaking.cancel()
        await asyncio.wait([speaking])


def test_an_enforcer_whose_account_differs_is_told_of_until_it_agrees(
    scene: Scene, play: Play
) -> None:
    async def story() -> None:
        await scene.decide(10)
        await scene.all_there()
        sql = f"SELECT epoch, sequence FROM fleet WHERE enforcer = '{EDGE}'"
        ((epoch, sequence),) = await asyncio.to_thread(scene.worker.rows, sql)
        said = Status(
            epoch=epoch,
            sequence=sequence,
            head=bytes(32),
            published_sequence=sequence,
            outbox_bytes=0,
            allowed=3,
            denied=scene.calls,
            at=Instant(0),
        )
        async with liar(scene.control, said):
            (head,) = await scene.alerts("audit-head-differs")
            (counts,) = await scene.alerts("audit-counts-differ", seconds=20.0)
        assert f"{epoch}:{sequence}" in head
        assert f"allowed 3 calls and refused {scene.calls}" in counts
        await scene.all_over()  # the enforcer itself is heard again

    play(story)


def test_events_that_do_not_leave_an_outbox_are_told_of(scene: Scene, play: Play) -> None:
    async def story() -> None:
        await scene.decide(10)
        await scene.all_there()
        said = Status(
            epoch=2_000_000_000,
            sequence=7,
            head=bytes(32),
            published_sequence=0,
            outbox_bytes=0,
            at=Instant(0),
        )
        async with liar(scene.control, said, name="edge-2"):
            (summary,) = await scene.alerts("audit-behind")
        assert "edge-2" in summary
        assert "7 of its events have not left its outbox" in summary

    play(story)


def test_an_outbox_hears_what_is_materialised(scene: Scene, play: Play) -> None:
    async def story() -> None:
        await scene.decide(10)
        async with liar(scene.control, None, name="edge-1") as heard:
            async with asyncio.timeout(10):
                await until(lambda: any(one.last > 10 for said in heard for one in said.spans))

    play(story)
