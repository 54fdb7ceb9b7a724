"""Everything that runs, with a nats-server of the test's own: a control plane, a worker's process,
and an enforcer as the gateway runs it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from toolreeve.audit import Arguments, Decided, Draft, Effect
from toolreeve.bus import Subjects
from toolreeve.control.process import running
from toolreeve.control.settings import ControlSettings as ControlPlaneSettings
from toolreeve.decision import Instant
from toolreeve.gateway.enforcing import enforcing
from toolreeve.gateway.settings import (
    BusSettings,
    ControlSettings,
    GatewaySettings,
    UpstreamSettings,
)
from toolreeve.gateway.station import Station
from toolreeve.policy.sign import SigningKey
from toolreeve.runtime.process import Stopping

EDGE = "edge-1"
MADE = f"SELECT count(*), count(DISTINCT request_id) FROM decisions WHERE enforcer = '{EDGE}'"


class Server(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def store(self) -> Path: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Worker(Protocol):
    @property
    def log(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def rows(self, sql: str) -> list[list[Any]]: ...
    def wait_for(self, sql: str, wanted: list[list[Any]], seconds: float = 20.0) -> None: ...


class Scene:
    """Everything that runs, and how many calls were decided."""

    def __init__(
        self, server: Server, prefix: str, folder: Path, start_worker: Callable[..., Worker]
    ) -> None:
        self.server = server
        self.prefix = prefix
        self.folder = folder
        self.calls = 0
        self._start_worker = start_worker
        self.worker: Worker
        self.control = ""
        self.station: Station

    @property
    def stream(self) -> str:
        return Subjects(self.prefix).audit_stream

    @asynccontextmanager
    async def played(self) -> AsyncGenerator["Scene"]:
        key = SigningKey.generate()
        listening = ControlPlaneSettings(
            plaintext=True,
            listen="127.0.0.1:0",
            nats_url=self.server.url,
            prefix=self.prefix,
            durable_seconds=0.0,
            stop_seconds_max=0.2,
        )
        async with running(listening, key) as self.control:
            self.worker = await asyncio.to_thread(
                self._start_worker,
                nats_url=self.server.url,
                control=self.control,
                control_plaintext=True,
                reconcile={"seconds": 0.2, "behind_seconds": 3.0},
                checkpoints={"seconds": 0.5},
            )
            async with enforcing(self._gateway(key), Stopping()) as enforcer:
                self.station = enforcer.station
                yield self

    def _gateway(self, key: SigningKey) -> GatewaySettings:
        return GatewaySettings(
            enforcer=EDGE,
            data=self.folder / "edge",
            upstreams={"vm": UpstreamSettings(url="http://127.0.0.1:9/mcp")},
            control=ControlSettings(address=self.control, keys=(key.public.text,), plaintext=True),
            bus=BusSettings(url=self.server.url, prefix=self.prefix),
            status_seconds=0.2,
        )

    async def decide(self, calls: int) -> None:
        """Decide so many calls, a few at a time."""
        for _ in range(calls):
            self.calls += 1
            decided = Decided(
                server="vm",
                grant="g",
                agent="a",
                request_id=str(self.calls),
                tool="vm_list",
                wire_tool="vm_list",
                effect=Effect.DENY,
                code="not_listed",
                arguments=Arguments(),
            )
            await self.station.note(Draft(Instant(time.time_ns()), decided))

    async def all_there(self, seconds: float = 30.0, *, whole: bool = True) -> None:
        """Return when every decision is in the warehouse once; `whole`: and nothing else is odd."""
        wanted = [[self.calls, self.calls]]
        await asyncio.to_thread(self.worker.wait_for, MADE, wanted, seconds)
        assert not whole or self.worker.rows("FROM integrity") == []

    async def alerts(self, rule: str, seconds: float = 10.0) -> list[str]:
        """What was raised under this rule, at least once."""
        sql = f"SELECT summary FROM alerts WHERE rule = '{rule}'"
        deadline = time.monotonic() + seconds
        while not (found := await asyncio.to_thread(self.worker.rows, sql)):
            assert time.monotonic() < deadline, f"no {rule}: {self.worker.log[-3000:]}"
            await asyncio.sleep(0.1)
        return [summary for (summary,) in found]

    async def all_over(self, seconds: float = 30.0) -> None:
        """Return when no alert is open."""
        still_open = "SELECT rule, summary FROM alerts WHERE resolved IS NULL"
        await asyncio.to_thread(self.worker.wait_for, still_open, [], seconds)

    @asynccontextmanager
    async def admin(self) -> AsyncGenerator[JetStreamContext]:
        client = await nats.connect(self.server.url)  # pyright: ignore[reportUnknownMemberType]
        try:
            yield client.jetstream()  # pyright: ignore[reportUnknownMemberType]
        finally:
            await client.close()

    async def published(self) -> None:
        """Return when everything that was decided has left for the stream."""
        async with self.admin() as jetstream:
            while True:
                with suppress(NotFoundError):
                    info = await jetstream.stream_info(self.stream)
                    if info.state.last_seq:
                        break
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # and a heartbeat has said so


@pytest.fixture
def scene(
    private_nats: Callable[[], Server],
    prefix: str,
    tmp_path: Path,
    start_worker: Callable[..., Worker],
) -> Scene:
    return Scene(private_nats(), prefix, tmp_path, start_worker)


@pytest.fixture
def play(scene: Scene) -> Callable[..., None]:
    """Plays a story while everything runs."""

    def play(story: Callable[[], Coroutine[Any, Any, None]], seconds: float = 90) -> None:
        async def whole() -> None:
            async with asyncio.timeout(seconds), scene.played():
                await story()

        asyncio.run(whole())

    return play
