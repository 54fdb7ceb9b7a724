"""A stream that loses what was in it: everything is in the warehouse in the end, once."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from toolreeve.audit import Position
from toolreeve.bus import Subjects

EDGE = "edge-1"
Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


class Worker(Protocol):
    @property
    def log(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def rows(self, sql: str) -> list[list[Any]]: ...
    def wait_for(self, sql: str, wanted: list[list[Any]], seconds: float = 20.0) -> None: ...


class Server(Protocol):
    @property
    def store(self) -> Path: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Scene(Protocol):
    server: Server
    prefix: str
    folder: Path
    calls: int
    worker: Worker

    @property
    def stream(self) -> str: ...
    async def decide(self, calls: int) -> None: ...
    async def all_there(self, seconds: float = 30.0, *, whole: bool = True) -> None: ...
    async def alerts(self, rule: str, seconds: float = 10.0) -> list[str]: ...
    async def all_over(self, seconds: float = 30.0) -> None: ...
    async def published(self) -> None: ...
    def admin(self) -> AbstractAsyncContextManager[JetStreamContext]: ...


async def change(jetstream: JetStreamContext, config: StreamConfig) -> None:
    await jetstream.update_stream(config)  # pyright: ignore[reportUnknownMemberType]  (nats-py)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  (what is waited for has no event of its own)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["deleted", "purged"])
def test_what_was_in_a_stream_that_is_gone_is_sent_again(
    scene: Scene, play: Play, how: str
) -> None:
    async def story() -> None:
        await scene.decide(50)
        await scene.all_there()
        scene.worker.kill()
        await scene.decide(150)
        await scene.published()
        async with scene.admin() as jetstream:
            if how == "deleted":
                await jetstream.delete_stream(scene.stream)
            else:
                await jetstream.purge_stream(scene.stream)
        await asyncio.to_thread(scene.worker.start)
        await scene.decide(20)
        await scene.all_there()
        assert "history.asked_for" in scene.worker.log

    play(story)


def test_a_stream_that_is_deleted_under_the_workers_eyes_is_made_again_and_said(
    scene: Scene, play: Play
) -> None:
    async def story() -> None:
        await scene.decide(50)
        async with scene.admin() as jetstream:
            deciding = asyncio.create_task(scene.decide(400))
            await asyncio.sleep(0.2)
            await jetstream.delete_stream(scene.stream)
            await deciding
        await scene.alerts("audit-stream-lost")
        await scene.all_there()
        await scene.all_over()

    play(story)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_bound_on_messages_is_told_within_five_seconds_and_costs_nothing(
    scene: Scene, play: Play, restarts: bool
) -> None:
    async def story() -> None:
        await scene.decide(50)
        await scene.all_there()
        async with scene.admin() as jetstream:
            config = (await jetstream.stream_info(scene.stream)).config
            if restarts:
                scene.worker.kill()
            await change(jetstream, replace(config, max_msgs=1))
            if restarts:
                await asyncio.to_thread(scene.worker.start)
            # Its own stream takes nothing now: who is told is in the log and at the webhooks.
            async with asyncio.timeout(5):
                await until(lambda: '"rule": "audit-stream-changed"' in scene.worker.log)
            await scene.decide(100)
            await change(jetstream, config)
        await scene.all_there()
        (summary,) = await scene.alerts("audit-stream-changed")
        assert "max_msgs" in summary
        await scene.all_over()

    play(story)


@pytest.mark.parametrize("how", ["deleted", "flipped", "put back"])
def test_a_store_that_was_damaged_while_the_server_was_down_is_filled_again(
    scene: Scene, play: Play, how: str
) -> None:
    async def story() -> None:
        await scene.decide(50)
        await scene.all_there()
        scene.worker.kill()
        (stored,) = scene.server.store.rglob(scene.stream)
        copy = scene.folder / "copy"
        if how == "put back":
            scene.server.stop()
            shutil.copytree(stored, copy)
            scene.server.start()
        await scene.decide(150)
        await scene.published()
        scene.server.stop()
        match how:
            case "flipped":
                for block in stored.rglob("*.blk"):
                    content = bytearray(block.read_bytes())
                    content[len(content) // 2] ^= 0x10
                    block.write_bytes(content)
                for index in stored.rglob("index.db"):
                    index.unlink()
            case "put back":
                shutil.rmtree(stored)
                shutil.copytree(copy, stored)
            case _:
                shutil.rmtree(stored)
        scene.server.start()
        await scene.decide(20)
        await asyncio.to_thread(scene.worker.start)
        await scene.all_there()
        assert "history.asked_for" in scene.worker.log
        if how == "deleted":
            await scene.alerts("audit-stream-lost")

    play(story)


def test_a_warehouse_and_a_stream_that_are_lost_together_are_filled_from_the_outbox(
    scene: Scene, play: Play, tmp_path: Path
) -> None:
    async def story() -> None:
        await scene.decide(200)
        await scene.all_there()
        scene.worker.kill()
        for lost in tmp_path.glob("data/*"):
            if lost.is_dir() and lost.name in {"archive", "parts"}:
                shutil.rmtree(lost)
            elif lost.name.startswith("warehouse"):
                lost.unlink()
        async with scene.admin() as jetstream:
            await jetstream.delete_stream(scene.stream)
        await asyncio.to_thread(scene.worker.start)
        await scene.all_there()

    play(story)


def test_a_purge_is_told_also_where_everything_was_loaded(scene: Scene, play: Play) -> None:
    async def story() -> None:
        await scene.decide(50)
        await scene.all_there()
        async with scene.admin() as jetstream:
            await asyncio.sleep(2.5)  # the worker has looked
            await jetstream.purge_stream(scene.stream)
        (summary,) = await scene.alerts("audit-stream-lost")
        assert "begins at message" in summary
        await scene.all_there()

    play(story)


def test_an_event_whose_id_somebody_else_has_used_arrives_under_another(
    scene: Scene, play: Play
) -> None:
    async def story() -> None:
        await scene.decide(10)
        await scene.all_there()
        sql = f"SELECT epoch, sequence FROM fleet WHERE enforcer = '{EDGE}'"
        ((epoch, sequence),) = await asyncio.to_thread(scene.worker.rows, sql)
        at = Position(epoch, sequence)
        async with scene.admin() as jetstream:
            for ahead in range(1, 30):
                taken = f"{EDGE}:{at.epoch}:{at.sequence + ahead}"
                headers = {"Nats-Msg-Id": taken}
                subject = Subjects(scene.prefix).audit("mallory")
                await jetstream.publish(subject, b"not a group", headers=headers)
        await scene.decide(10)
        await scene.all_there(whole=False)  # what was not a group is in quarantine
        (summary,) = await scene.alerts("audit-id-foreign")
        assert "mallory" in summary

    play(story)
