"""A control plane that speaks TLS, and what comes to it, over real gRPC and NATS."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from msgspec.structs import replace

from toolreeve.control.process import Serving, serving
from toolreeve.control.settings import ControlSettings
from toolreeve.policy.sign import SigningKey
from toolreeve.runtime.credentials import Credentials
from toolreeve.sync.joining import control_name, join
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.v1 import identity_pb2 as pb
from toolreeve.v1 import operator_pb2 as operator
from toolreeve.v1.identity_pb2_grpc import IdentityServiceStub
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub
from toolreeve.wire.fleet import Hello

QUICK = LinkSettings(retry_first_seconds=0.02, retry_seconds_max=0.1, status_seconds=0.05)
SOON = 30.0


class Operator:
    """Somebody with a token, or without one."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self.identity = IdentityServiceStub(channel)
        self.fleet = OperatorServiceStub(channel)
        self.says = (("authorization", f"Bearer {token}"),) if token else ()

    def command(self, command_id: str = "", actor: str = "mallory") -> operator.Command:
        return operator.Command(command_id=command_id or str(uuid4()), actor=actor, reason="a test")

    async def join_token(
        self,
        name: str,
        *,
        kind: "pb.MemberKind.ValueType" = pb.MEMBER_KIND_ENFORCER,
        life_ms: int = 0,
        command_id: str = "",
    ) -> str:
        request = pb.CreateJoinTokenRequest(
            command=self.command(command_id), kind=kind, name=name, life_ms=life_ms
        )
        return (await self.identity.CreateJoinToken(request, metadata=self.says)).token

    async def another(self, name: str, *roles: "pb.Role.ValueType", life_ms: int = 0) -> str:
        request = pb.CreateOperatorRequest(
            command=self.command(), name=name, roles=roles, life_ms=life_ms
        )
        return (await self.identity.CreateOperator(request, metadata=self.says)).token

    async def deny(self, name: str) -> None:
        request = pb.DenyMemberRequest(
            command=self.command(), kind=pb.MEMBER_KIND_ENFORCER, name=name
        )
        await self.identity.DenyMember(request, metadata=self.says)

    async def members(self) -> dict[str, pb.Member]:
        answer = await self.identity.ListMembers(pb.ListMembersRequest(), metadata=self.says)
        return {one.name: one for one in answer.members}


class Place:
    """One test's installation: settings, key, and a folder to keep things in."""

    def __init__(self, folder: Path, nats_url: str, prefix: str) -> None:
        self.folder = folder
        self.key = SigningKey.generate()
        self.settings = ControlSettings(
            listen="127.0.0.1:0",
            listen_members="127.0.0.1:0",
            nats_url=nats_url,
            prefix=prefix,
            data=str(folder / "control"),
            stop_seconds_max=0.2,
        )

    @asynccontextmanager
    async def control(self, **other: object) -> AsyncGenerator["Control"]:
        async with serving(replace(self.settings, **other), self.key) as served:
            yield Control(self, served)


class Control:
    """A control plane that serves, and ways to come to it."""

    def __init__(self, place: Place, served: Serving) -> None:
        self.place = place
        self.served = served
        self.authority = (place.folder / "control" / "authority.pem").read_bytes()
        self.admin_token = (place.folder / "control" / "admin-token").read_text().strip()

    @asynccontextmanager
    async def channel(self, *, members: bool = False) -> AsyncGenerator[grpc.aio.Channel]:
        """A channel without a certificate of one's own."""
        address = self.served.members_address if members else self.served.address
        async with grpc.aio.secure_channel(
            address,
            grpc.ssl_channel_credentials(self.authority),
            options=[
                ("grpc.ssl_target_name_override", control_name(self.authority)),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        ) as channel:
            yield channel

    @asynccontextmanager
    async def operator(self, token: str | None = None) -> AsyncGenerator[Operator]:
        async with self.channel() as channel:
            yield Operator(channel, self.admin_token if token is None else token)

    async def join(self, token: str, *, pin: str = "") -> Credentials:
        return await asyncio.to_thread(
            join, self.served.address, token=token, pin=pin or self.served.pin
        )

    async def joined(self, name: str) -> Credentials:
        async with self.operator() as admin:
            return await self.join(await admin.join_token(name))


class Enforcer:
    """The link of an enforcer, and how often it has tried to stand."""

    def __init__(self, name: str, address: str, shown: Callable[[], Credentials | None]) -> None:
        self.name = name
        self.hellos = 0
        self.link = Link(
            address,
            hello=self._hello,
            on_manifest=self._nothing,
            on_hold=self._nothing,
            credentials=shown,
            settings=QUICK,
        )

    async def turned_away(self) -> None:
        """Return once two more attempts have come to nothing."""
        tried = self.hellos
        await until(lambda: self.hellos > tried + 2)
        assert not self.link.connected

    def _hello(self) -> Hello:
        self.hellos += 1
        return Hello(enforcer_id=self.name, software_version="1", host="h", servers=("vm",))

    async def _nothing(self, _: object) -> None:
        pass


@asynccontextmanager
async def enforcing(
    name: str, address: str, shown: Callable[[], Credentials | None]
) -> AsyncGenerator[Enforcer]:
    enforcer = Enforcer(name, address, shown)
    task = asyncio.create_task(enforcer.link.run())
    try:
        yield enforcer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  (a link does not say that it is lost)
        await asyncio.sleep(0.01)


async def refusal(asked: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await asked
    return raised.value.code(), raised.value.details() or ""


def within(seconds: float, story: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(timed())
