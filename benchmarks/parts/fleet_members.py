"""Simulated enforcers: real links to a real control plane, in a process of their own.

    python fleet_members.py ADDRESS FIRST COUNT [CREDENTIALS]

Each is the product's own `Link`, and does with what it hears as little as an enforcer can: it
fetches a revision's body if it lacks it, compares its hash, and says that it runs. (A real one has
a host of its own to check signatures and compile rules on.) What happens is printed, one line each:
`up NAME TIME`, `ran NAME TIME SEQUENCE`, `held NAME TIME SEQUENCE`, with the monotonic clock's
nanoseconds, which all processes of a machine share.
"""

import asyncio
import resource
import sys
import time
from hashlib import sha256
from pathlib import Path

import msgspec
import structlog

from toolreeve.policy.sign import Envelope, Manifest
from toolreeve.runtime.credentials import Credentials
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.sync.receive import FetchError
from toolreeve.wire.fleet import Ack, Hello, RunningPolicy, Stage
from toolreeve.wire.hold_order import HoldOrder

SERVER = "vm"


class Member:
    """One enforcer, as far as the control plane can tell."""

    def __init__(self, address: str, name: str, credentials: Credentials | None) -> None:
        self._name = name
        self._running: RunningPolicy | None = None
        self._hello = Hello(
            enforcer_id=name, software_version="1", host="bench", servers=(SERVER,), epoch=1
        )
        self.link = Link(
            address,
            hello=self._say_hello,
            on_manifest=self._on_manifest,
            on_hold=self._on_hold,
            credentials=lambda: credentials,
            settings=LinkSettings(retry_seconds_max=2.0, connect_seconds_max=60.0),
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.link.run())
            while True:
                await self.link.wait_connected()
                _say("up", self._name)
                while self.link.connected:  # noqa: ASYNC110  (a link says no more than this)
                    await asyncio.sleep(0.05)

    def _say_hello(self) -> Hello:
        running = () if self._running is None else (self._running,)
        return msgspec.structs.replace(self._hello, running=running)

    async def _on_manifest(self, envelope: Envelope) -> None:
        manifest = msgspec.json.decode(envelope.payload, type=Manifest)
        if self._running is None or self._running.revision != manifest.revision:
            try:
                body = await self.link.fetch(manifest.revision)
            except FetchError:
                return  # the next hello is offered it again
            assert manifest.revision == "sha256:" + sha256(body).hexdigest()
        self._running = RunningPolicy(
            server=SERVER,
            policy=manifest.policy,
            revision=manifest.revision,
            manifest_sequence=manifest.sequence,
        )
        _say("ran", self._name, manifest.sequence)
        ack = Ack(
            server=SERVER,
            policy=manifest.policy,
            revision=manifest.revision,
            manifest_sequence=manifest.sequence,
            stage=Stage.ACTIVATED,
        )
        self.link.send(ack)

    async def _on_hold(self, order: HoldOrder) -> None:
        if order.place is not None:
            _say("held", self._name, order.sequence)


def _say(what: str, name: str, *more: int) -> None:
    print(what, name, time.monotonic_ns(), *more, flush=True)


async def main(address: str, first: int, count: int, credentials: list[Credentials]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(first, first + count):
            proof = credentials[number] if credentials else None
            tasks.create_task(Member(address, f"edge-{number:05}", proof).run())
            if number % 50 == 0:
                await asyncio.sleep(0.02)  # they are not all switched on in one moment


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    given: list[Credentials] = []
    if len(sys.argv) > 4:
        given = msgspec.json.decode(Path(sys.argv[4]).read_bytes(), type=list[Credentials])
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), given))
