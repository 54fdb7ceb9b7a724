"""Publishing to JetStream: the bytes as they are, an id against doubles, the server's answer."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import nats.errors
import nats.js.errors
import structlog
from msgspec import Struct
from nats.aio.msg import Msg

from toolreeve.bus.backoff import full_jitter
from toolreeve.bus.connection import Connection, Session
from toolreeve.bus.error import BusError, PublishRefusedError, PublishUnknownError

log = structlog.get_logger()

_NO_STREAM = 503
_LOOK_SECONDS = 1.0


class Ack(Struct, frozen=True, kw_only=True):
    """The server has the message. `duplicate`: it had it before, at this sequence."""

    stream: str
    sequence: int
    duplicate: bool


class _Refusal(Struct, frozen=True):
    err_code: int = 0
    description: str = ""


class _Reply(Struct, frozen=True):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Refusal | None = None


_replies = msgspec.json.Decoder(_Reply)


class Outlet:
    """Sends on one session. Messages arrive in the order of `send`, or a prefix of them does."""

    def __init__(self, session: Session, subject: str, stream: str) -> None:
        self._session = session
        self._subject = subject
        self._stream = stream
        self._inbox = session.client.new_inbox()
        self._sent: dict[str, asyncio.Future[Ack]] = {}
        self._count = 0

    async def send(self, payload: bytes, message_id: str) -> "asyncio.Future[Ack]":
        """Send now; the future has the server's answer, PublishUnknownError or
        PublishRefusedError.

        Raises PublishUnknownError where the session is lost, BusError where the payload is longer
        than this server takes.
        """
        self._count += 1
        key = str(self._count)
        acked: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        headers = {"Nats-Msg-Id": message_id, "Nats-Expected-Stream": self._stream}
        self._sent[key] = acked
        try:
            await self._session.client.publish(
                self._subject, payload, reply=f"{self._inbox}.{key}", headers=headers
            )
        except nats.errors.MaxPayloadError as error:
            del self._sent[key]
            raise BusError(
                f"{message_id} has {len(payload)} bytes, more than the server takes",
                remedy="raise the server's max_payload, or lower the outbox's bytes_max",
            ) from error
        except (nats.errors.Error, OSError) as error:
            del self._sent[key]
            raise _lost() from error
        return acked

    async def hear(self, reply: Msg) -> None:
        """Take one answer from the server."""
        acked = self._sent.pop(reply.subject.rpartition(".")[2], None)
        if acked is None or acked.done():
            return
        status = (reply.headers or {}).get("Status")
        if status is not None:
            _fail(acked, _refused(int(status), "no stream takes this subject"))
            return
        try:
            answer = _replies.decode(reply.data)
        except msgspec.MsgspecError:
            _fail(acked, _refused(0, "the answer is not JetStream's"))
            return
        if answer.error is not None:
            _fail(acked, _refused(answer.error.err_code, answer.error.description))
        elif answer.stream != self._stream:
            _fail(acked, _refused(0, f"stream {answer.stream!r} answered"))
        else:
            ack = Ack(stream=answer.stream, sequence=answer.seq, duplicate=answer.duplicate)
            acked.set_result(ack)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator["Outlet", None]:
        """Answers are heard inside; what is unanswered at the end is unknown."""
        client = self._session.client
        try:
            answers = await self._session.subscribe(f"{self._inbox}.*", self.hear)
        except (nats.errors.Error, OSError) as error:
            raise _lost() from error
        ending = asyncio.create_task(self._fail_when_lost(), name="nats-outlet")
        try:
            yield self
        finally:
            ending.cancel()
            self._fail_all()
            if not client.is_closed:
                await answers.unsubscribe()

    async def _fail_when_lost(self) -> None:
        await self._session.lost.wait()
        self._fail_all()

    def _fail_all(self) -> None:
        for acked in self._sent.values():
            if not acked.done():
                _fail(acked, _lost())
        self._sent.clear()


class Publisher:
    """Publishes to one subject of one stream, over whichever session the connection has."""

    def __init__(
        self, connection: Connection, subject: str, *, stream: str, ack_seconds: float = 5.0
    ) -> None:
        self.subject = subject
        self.ack_seconds = ack_seconds
        self._connection = connection
        self._stream = stream

    @asynccontextmanager
    async def outlet(self) -> AsyncGenerator[Outlet, None]:
        """A way out over the present session; waits while there is none."""
        session = await self._connection.session()
        async with Outlet(session, self.subject, self._stream).listening() as outlet:
            yield outlet

    async def stored(self, sequence: int) -> bytes | None:
        """What the stream holds at `sequence` as said on our subject; b"" where another said it.

        None where nobody can say: the message is gone, or this user may not read the stream.
        """
        try:
            jetstream = await self._connection.jetstream()
            async with asyncio.timeout(_LOOK_SECONDS):
                message = await jetstream.get_msg(self._stream, sequence)
        except (nats.errors.Error, nats.js.errors.APIError, TimeoutError, OSError):
            return None
        return (message.data or b"") if message.subject == self.subject else b""

    async def publish(self, payload: bytes, message_id: str) -> Ack:
        """Return when the server has the message, however long that takes.

        After silence the same bytes go out again under the same id. Raises PublishRefusedError
        where the server said no, BusError where the payload is too long.
        """
        attempt = 0
        while True:
            try:
                async with self.outlet() as outlet, asyncio.timeout(self.ack_seconds):
                    return await (await outlet.send(payload, message_id))
            except (PublishUnknownError, TimeoutError) as error:
                attempt += 1
                log.warning("publish.unknown", message_id=message_id, error=str(error))
                await asyncio.sleep(full_jitter(attempt))


def _fail(acked: "asyncio.Future[Ack]", error: BusError) -> None:
    acked.set_exception(error)
    acked.exception()  # whoever waits still gets it; nobody has to wait


def _lost() -> PublishUnknownError:
    return PublishUnknownError("the connection was lost", remedy="send the same again")


def _refused(code: int, description: str) -> PublishRefusedError:
    remedy = "see that the stream exists and has room"
    if code == _NO_STREAM:
        remedy = "the control plane or the worker makes the stream when it starts"
    return PublishRefusedError(
        f"the server did not store it: {description} ({code})", remedy=remedy, code=code
    )
