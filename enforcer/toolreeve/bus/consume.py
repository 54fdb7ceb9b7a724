"""Reading a stream with a durable pull consumer: batches, acknowledged after the commit.

One request for a batch is out at a time; the next one goes when it is used up. nats-py's own
`fetch` costs five times as much a message.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import msgspec
import nats.errors
import structlog
from msgspec import Meta, Struct
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError

from toolreeve.bus.backoff import full_jitter
from toolreeve.bus.connection import Connection, Session
from toolreeve.bus.error import BusError
from toolreeve.bus.subjects import token

log = structlog.get_logger()

_ACK = b"+ACK"
_HEARTBEAT = 100
_USED_UP = {404, 408}  # no messages, time-out
_BATCH_ENDS = ("batch completed", "message size exceeds maxbytes")


class ConsumeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes and times of a consumer."""

    messages_max: Annotated[int, Meta(ge=1)] = 512
    """Most messages in a batch."""

    bytes_max: Annotated[int, Meta(ge=1 << 20)] = 16 << 20
    """Most payload that one request brings; about twice this may be held in memory."""

    ack_seconds: Annotated[float, Meta(gt=0)] = 20.0
    """A message that is not acknowledged for this long is delivered again."""

    heartbeat_seconds: Annotated[float, Meta(gt=0)] = 1.0
    """The server says at least this often that it is there; three silent ones end the session."""


class Message(Struct, frozen=True, kw_only=True, eq=False):
    """One message of a stream. `deliveries` counts how often it was handed out, from 1."""

    subject: str
    payload: bytes
    stream_sequence: int
    deliveries: int
    stored_ns: int
    """When the server stored it, nanoseconds since 1970 UTC by its clock."""
    message_id: str = ""
    """The Nats-Msg-Id that its sender gave it."""
    reply: str
    connection: Connection


async def ack_all(messages: Sequence[Message]) -> None:
    """Tell the server that these are done with: they do not come again.

    To be called after the commit. Returns when the acknowledgements are sent; one that gets lost
    means that its message comes again. Waits while there is no connection.
    """
    if not messages:
        return
    connection = messages[0].connection
    session = await connection.session()
    try:
        for message in messages:
            await session.client.publish(message.reply, _ACK)
    except (nats.errors.Error, OSError) as error:
        log.info("acknowledgements.lost", error=str(error))


async def consume(
    connection: Connection,
    *,
    stream: str,
    durable: str,
    subject: str | None = None,
    settings: ConsumeSettings | None = None,
) -> AsyncIterator[list[Message]]:
    """Batches of whatever is there, in the stream's order but for what is delivered again.

    Never ends and goes on through every failure of NATS. A batch holds at least one message and is
    given as soon as there is one. What is not acknowledged with `ack_all` comes again, also to the
    next process with the same `durable` name; readers know by their own state what they have.
    """
    settings = settings or ConsumeSettings()
    pull = _Pull(connection, stream, token(durable), subject, settings)
    failures = 0
    while True:
        try:
            session = await connection.session()
            async for batch in pull.batches(session):
                failures = 0
                yield batch
        except BusError as error:
            failures += 1
            if failures == 1:
                log.warning("consumer.stalled", stream=stream, durable=durable, error=str(error))
            await asyncio.sleep(full_jitter(failures))


class _Pull:
    """The requests and what came of them. What was received outlives a session."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        durable: str,
        subject: str | None,
        settings: ConsumeSettings,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._durable = durable
        self._subject = subject
        self._settings = settings
        self._received: deque[Message] = deque()
        self._awaited = 0  # messages the present request may still bring
        self._request = 0
        self._failure: BusError | None = None
        self._news = asyncio.Event()
        self._heard = 0.0
        self._resumed = False

    async def batches(self, session: Session) -> AsyncIterator[list[Message]]:
        """Batches until the session is lost or the consumer is gone; then BusError."""
        self._awaited = 0
        self._failure = None
        try:
            await self._ensure_consumer(session)
            inbox = session.client.new_inbox()
            answers = await session.subscribe(f"{inbox}.*", self._hear)
        except (nats.errors.Error, OSError) as error:
            raise BusError(
                f"the consumer {self._durable} of {self._stream} cannot be had: {_words(error)}",
                remedy="it is tried again; see that the stream exists",
            ) from error
        ending = asyncio.create_task(self._wake_when_lost(session), name="nats-pull")
        try:
            while True:
                if self._received:
                    batch = [
                        self._received.popleft()
                        for _ in range(min(len(self._received), self._settings.messages_max))
                    ]
                    await self._ask(session, inbox)
                    yield batch
                    continue
                await self._ask(session, inbox)
                await self._wait(session)
        finally:
            ending.cancel()
            if not session.client.is_closed:
                await answers.unsubscribe()

    async def _ensure_consumer(self, session: Session) -> None:
        settings = self._settings
        await session.jetstream.add_consumer(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
            self._stream,
            ConsumerConfig(
                durable_name=self._durable,
                filter_subject=self._subject,
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=settings.ack_seconds,
                max_ack_pending=settings.messages_max * 4,
                max_deliver=-1,
            ),
        )
        if not self._resumed:
            # What another process had and did not acknowledge before it ended comes first, in its
            # order, instead of `ack_seconds` later and behind everything that is new.
            await session.jetstream.reset_consumer(self._stream, self._durable)
            self._resumed = True

    async def _ask(self, session: Session, inbox: str) -> None:
        if self._failure is not None:
            raise self._failure
        if self._awaited > 0 or len(self._received) >= self._settings.messages_max:
            return
        self._request += 1
        self._awaited = self._settings.messages_max
        self._heard = asyncio.get_running_loop().time()
        heartbeat_ns = int(self._settings.heartbeat_seconds * 1e9)
        request = {
            "batch": self._awaited,
            "max_bytes": self._settings.bytes_max,
            "idle_heartbeat": heartbeat_ns,
            "expires": 30 * heartbeat_ns,
        }
        try:
            await session.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}",
                msgspec.json.encode(request),
                reply=f"{inbox}.{self._request}",
            )
        except (nats.errors.Error, OSError) as error:
            raise _gone("the connection was lost") from error

    async def _wait(self, session: Session) -> None:
        """Return when there may be something new."""
        self._news.clear()
        if self._received or self._failure is not None or self._awaited <= 0:
            return
        silence_max = 3 * self._settings.heartbeat_seconds
        try:
            async with asyncio.timeout_at(self._heard + silence_max):
                await self._news.wait()
        except TimeoutError as error:
            raise _gone("the server is silent") from error
        if session.lost.is_set() and not self._received:
            raise _gone("the connection was lost")

    async def _wake_when_lost(self, session: Session) -> None:
        await session.lost.wait()
        self._failure = _gone("the connection was lost")
        self._news.set()

    async def _hear(self, answer: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if answer.reply.startswith("$JS.ACK."):
            self._awaited -= 1
            self._received.append(_message(answer, self._connection))
        elif answer.subject.rpartition(".")[2] == str(self._request):
            self._hear_status(answer)
        self._news.set()

    def _hear_status(self, answer: Msg) -> None:
        headers = answer.headers or {}
        status = int(headers.get("Status", "0"))
        words = headers.get("Description", "")
        if status == _HEARTBEAT:
            return
        if status in _USED_UP or words.lower().startswith(_BATCH_ENDS):
            self._awaited = 0
        else:
            self._failure = _gone(f"{words or 'no consumer'} ({status})")


def _message(answer: Msg, connection: Connection) -> Message:
    """A reply subject reads $JS.ACK.[domain.account.]stream.consumer.deliveries.sequence.…"""
    parts = answer.reply.split(".")
    deliveries, sequence, _, stored_ns = parts[4:8] if len(parts) == 9 else parts[6:10]
    return Message(
        subject=answer.subject,
        payload=answer.data,
        stream_sequence=int(sequence),
        deliveries=int(deliveries),
        stored_ns=int(stored_ns),
        message_id=(answer.headers or {}).get("Nats-Msg-Id", ""),
        reply=answer.reply,
        connection=connection,
    )


def _gone(why: str) -> BusError:
    return BusError(f"the consumer gives nothing: {why}", remedy="it is tried again")


def _words(error: Exception) -> str:
    if isinstance(error, APIError):
        return f"{error.description} ({error.err_code})"
    return str(error) or type(error).__name__
