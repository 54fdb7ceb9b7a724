"""Approvals by signed messages over HTTP, against a real control plane and a real receiver."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.integration.control.test_approvals import Place, hold, question, shown, vote, within

from toolreeve.control.process import running
from toolreeve.control.settings import ApprovalHookSettings
from toolreeve.control.webhook_signature import SecretError, problem_of, read_secret, sign
from toolreeve.decision.approval import ApprovalState
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.settings import SettingsError

SECRET = bytes(range(32))
TEXT = "whsec_" + base64.b64encode(SECRET).decode()


class Receiver:
    """Keeps what it is sent; answers with the statuses it is given, then with 204."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.news = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        status = self.statuses.pop(0) if self.statuses else 204
        if status < 300:
            self.got.append((headers, body))
            self.news.set()
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status)
        writer.close()

    async def of_state(self, state: str) -> dict[str, Any]:
        while True:
            for headers, body in self.got:
                content = json.loads(body)
                if content["type"] == f"approval.{state}":
                    assert not problem_of(
                        SECRET,
                        message_id=headers["webhook-id"],
                        timestamp=headers["webhook-timestamp"],
                        signatures=headers["webhook-signature"],
                        body=body,
                        now=int(headers["webhook-timestamp"]),
                    )
                    return dict(content["data"])
            self.news.clear()
            await self.news.wait()


class Hooked:
    def __init__(self, place: Place, control: str, port: int, receiver: Receiver) -> None:
        self.place = place
        self.control = control
        self.port = port
        self.receiver = receiver
        self.clock = Clock()

    async def post(
        self,
        content: Any,
        *,
        message_id: str = "m-1",
        secret: bytes = SECRET,
        seconds_ago: int = 0,
        path: str = "/approvals",
    ) -> tuple[int, dict[str, Any]]:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        seconds = self.clock.now() // 10**9 - seconds_ago
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"webhook-id: {message_id}\r\nwebhook-timestamp: {seconds}\r\n"
            f"webhook-signature: v1,bm8= {sign(secret, message_id, seconds, body)}\r\n\r\n"
        )
        return await self.raw(head.encode() + body)

    async def raw(self, raw: bytes) -> tuple[int, dict[str, Any]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


@asynccontextmanager
async def hooked(place: Place, folder: Path) -> AsyncGenerator[Hooked]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    secret = folder / "secret"
    secret.write_text(TEXT)
    secret.chmod(0o600)
    hook = ApprovalHookSettings(
        secret_file=secret,
        url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/told",
        listen=f"127.0.0.1:{port}",
    )
    settings = replace(place.settings, approval_hook=hook)
    async with server, running(settings, place.key) as control:
        yield Hooked(place, control, port, receiver)


@pytest.fixture
def place(nats_url: str, prefix: str) -> Place:
    return Place(nats_url, prefix)


def test_a_receiver_is_told_what_waits_and_decides_it_by_a_signed_message(
    place: Place, tmp_path: Path
) -> None:
    async def story() -> None:
        async with hooked(place, tmp_path) as it, place.member("e1", it.control) as member:
            it.receiver.statuses = [503]  # and then it is back
            approval_id = (await member.ask(question())).approval_id
            told = await it.receiver.of_state("pending")
            assert (told["approval"], told["tool"], told["kept"]) == (
                approval_id,
                "vm_delete",
                {"/id": "1"},
            )
            said = {"approval": approval_id, "approved": True, "actor": "ann", "reason": "ok"}
            for _ in range(2):  # sent again it is the same vote
                assert (await it.post(said))[0] == 200
            assert (await member.news(state=ApprovalState.APPROVED)).actor == "webhook:ann"
            assert len((await shown(it.control, approval_id)).votes) == 1
            assert (await it.receiver.of_state("approved"))["votes"][0]["actor"] == "webhook:ann"
            status, answer = await it.post({**said, "approved": False}, message_id="m-1")
            assert (status, "used for something else" in answer["problem"]) == (409, True)
            assert (await it.post(said, message_id="m-2"))[0] == 409
            assert (await it.post({**said, "approval": "appr-0"}, message_id="m-3"))[0] == 404
            other = (await member.ask(question(2))).approval_id
            robot = {**said, "approval": other, "actor": "robot"}
            status, answer = await it.post(robot, message_id="m-4")
            assert (status, answer["remedy"]) == (409, "let somebody else approve it")

    within(40, story)


def test_nobody_without_the_secret_votes_and_nobody_votes_with_an_old_message(
    place: Place, tmp_path: Path
) -> None:
    async def story() -> None:
        async with hooked(place, tmp_path) as it, place.member("e1", it.control) as member:
            approval_id = (await member.ask(question())).approval_id
            said = {"approval": approval_id, "approved": True, "actor": "ann"}
            for refused in (
                it.post(said, secret=b"x" * 32),
                it.post(said, seconds_ago=301),
                it.post(said, seconds_ago=-302),
                it.post(said, message_id=""),
                it.post(said, message_id="a.b"),
                it.raw(b"POST /approvals HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
            ):
                assert (await refused)[0] == 401
            for raw, status in (
                (b"GET /approvals HTTP/1.1\r\n\r\n", 404),
                (b"POST /approvals HTTP/1.1\r\n\r\n", 411),
                (b"POST /approvals HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", 413),
                (b"POST /approvals HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n", 400),
                (b"nonsense\r\n\r\n", 400),
                (b"POST /approvals HTTP/1.1\r\nA: %b\r\n\r\n" % (b"x" * 9_000), 400),
            ):
                assert (await it.raw(raw))[0] == status
            for content in (b"{", {"approval": 7}, {**said, "more": 1}, {**said, "actor": " "}):
                assert (await it.post(content, message_id="m-9"))[0] == 400
            assert not (await shown(it.control, approval_id)).votes
            await vote(it.control, approval_id)
            await hold(it.control)

    within(40, story)


def test_a_secret_that_others_can_read_or_guess_keeps_the_control_plane_from_starting(
    place: Place, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    hook = ApprovalHookSettings(secret_file=secret, listen="127.0.0.1:0")

    async def start() -> None:
        async with running(replace(place.settings, approval_hook=hook), place.key):
            raise AssertionError("it has started")

    for text, mode in ((TEXT, 0o644), ("whsec_c2hvcnQ=", 0o600), ("whsec_%%", 0o600)):
        secret.unlink(missing_ok=True)
        secret.write_text(text)
        secret.chmod(mode)
        with pytest.raises(SettingsError):
            asyncio.run(start())


def test_a_secret_is_base64_and_long_enough() -> None:
    assert read_secret(TEXT + "\n") == SECRET
    for bad in ("whsec_%%", "whsec_c2hvcnQ="):
        with pytest.raises(SecretError):
            read_secret(bad)
    # The example of the Standard Webhooks specification's reference libraries.
    key = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
