"""A station whose call waits for a person: the record is real, the control plane is played."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

from toolreeve.decision.approval import (
    ApprovalAsk,
    ApprovalNews,
    ApprovalState,
    PermitAnswer,
    PermitClaim,
)
from toolreeve.decision.grant import Grant, Grants, Token
from toolreeve.enforcement import PolicyOffered, Sampling
from toolreeve.gateway.admission import Granted
from toolreeve.gateway.opening import open_station
from toolreeve.gateway.station import Station
from toolreeve.outbox import OutboxSettings
from toolreeve.policy import parse
from toolreeve.proxy import gate as ask

POLICY = b'{"version":"1","default":"deny","tools":{"vm_delete":{"action":"require_approval"}}}'
GRANT = Grant(
    grant="night",
    agent="robot",
    servers=(),
    tokens=(Token(sha256(b"token").hexdigest(), None),),
    expires_at=None,
)
CALL = ask.ToolCall(
    server="s",
    caller=ask.Caller("night", "robot"),
    session="",
    request_id="1",
    wire_name="vm_delete",
    arguments={"id": 7},
    protocol_version="2026-07-28",
    request_bytes=10,
)


def played(folder: Path, story: Callable[[Station, Granted], Awaitable[None]]) -> None:
    async def play() -> None:
        admission = Granted(Grants((GRANT,)))
        opened = await open_station(
            folder,
            name="e",
            servers=("s",),
            policies={
                "s": PolicyOffered(server="s", policy=parse(POLICY, source="p"), origin="file")
            },
            admission=admission,
            keep_arguments=(),
            outbox_settings=OutboxSettings(),
            sampling=Sampling(),
            waits=True,
            tell=lambda _: None,
        )
        try:
            async with asyncio.timeout(20):
                await story(opened.station, admission)
        finally:
            await opened.outbox.close()

    asyncio.run(play())


def approving(station: Station, *, before_permit: Callable[[], None]) -> None:
    """A control plane that approves everything at once."""

    def send(message: ApprovalAsk | PermitClaim) -> bool:
        if isinstance(message, ApprovalAsk):
            said: ApprovalNews | PermitAnswer = ApprovalNews(
                approval_id="appr-1", state=ApprovalState.APPROVED, ask_id=message.ask_id
            )
        else:
            before_permit()
            said = PermitAnswer(claim_id=message.claim_id, granted=True)
        asyncio.get_running_loop().call_soon(station.approving.hear, said)
        return True

    station.approving.send = send


async def decided(station: Station) -> ask.Forward | ask.Refusal:
    asked = station.decide(CALL)
    assert asked.held is not None
    assert asked.written is not None
    await asked.written
    return asked.verdict()


def test_an_approved_call_goes_through(tmp_path: Path) -> None:
    async def story(station: Station, _: Granted) -> None:
        approving(station, before_permit=lambda: None)
        assert isinstance(await decided(station), ask.Forward)

    played(tmp_path, story)


def test_a_grant_that_is_revoked_while_its_call_is_held_calls_nothing(tmp_path: Path) -> None:
    async def story(station: Station, admission: Granted) -> None:
        def revoke() -> None:
            admission.grants = Grants((replace(GRANT, revoked=True),))

        approving(station, before_permit=revoke)
        assert isinstance(await decided(station), ask.Refusal)

    played(tmp_path, story)


def test_without_anybody_to_ask_the_call_is_refused_at_once(tmp_path: Path) -> None:
    async def story(station: Station, _: Granted) -> None:
        asked = station.decide(CALL)
        assert asked.held is None
        assert asked.written is not None
        await asked.written
        assert isinstance(asked.verdict(), ask.Refusal)

    played(tmp_path, story)
