"""An append-only log on one JetStream subject, shared by all replicas.

Appending names the sequence that must be the last so far, so of two replicas that want to say
something at once, one is refused and looks again. Following reads the log in order from any
place, once, and goes on with what comes. Sequences count from 1 without gaps: nothing is ever
deleted from the stream.

The follower is a short-lived pull consumer with heartbeats: whatever happens to it, to the
connection or to the server, it is replaced by one that starts behind the last entry that was
given out.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn, Self, TypeVar

import nats.errors
import nats.js.errors
import structlog
from msgspec import Struct
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header

from toolreeve.bus import Connection, Session
from toolreeve.bus.backoff import full_jitter

log = structlog.get_logger()

T = TypeVar("T")

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
APPEND_SECONDS_MAX = 2.0
BATCH_ENTRIES = 512
BATCH_BYTES = 8 * 1024 * 1024
HEARTBEAT_SECONDS = 0.5
SILENCE_SECONDS_MAX = 1.6
PULL_SECONDS = 30
CONSUMER_IDLE_SECONDS_MAX = 60.0

IDLE = "100"
REQUEST_OVER = frozenset({"404", "408"})
BATCH_OVER = ("Batch Completed", "Message Size Exceeds MaxBytes")


class OvertakenError(Exception):
    """Somebody else has appended, or this was appended before: read on and look again."""


class UnansweredError(Exception):
    """Nobody can say whether it was appended; the same bytes and id may be sent again."""


class EntryTooLargeError(Exception):
    """NATS takes no message of this size."""


class LedgerLostError(Exception):
    """The stream is shorter than what was read from it: it was deleted, or is another one."""


class Entry(Struct, frozen=True):
    """One message of the log. `sequence` counts from 1."""

    sequence: int
    payload: bytes


class Ledger:
    """The log on `stream`, which holds `subject` and nothing else."""

    def __init__(self, connection: Connection, *, stream: str, subject: str) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject

    async def last_sequence(self) -> int:
        """The sequence of the last entry; 0 for an empty log. Waits until somebody answers."""
        attempt = 1
        while True:
            jetstream = await self._connection.jetstream()
            try:
                return (await heeding(jetstream.stream_info(self._stream))).state.last_seq
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log.warning("ledger.unreachable", error=str(error) or repr(error))
            await asyncio.sleep(full_jitter(attempt, seconds_first=0.05, seconds_max=2.0))
            attempt += 1

    async def append(self, payload: bytes, *, after: int, message_id: str) -> None:
        """Append behind entry `after`, or not at all. Returns once JetStream has it.

        Raises OvertakenError where `after` is not the last, UnansweredError where the answer is
        missing, EntryTooLargeError.
        """
        headers: dict[str, Any] = {
            Header.MSG_ID: message_id,
            Header.EXPECTED_LAST_SEQUENCE: str(after),
            Header.EXPECTED_STREAM: self._stream,
        }
        try:
            async with asyncio.timeout(APPEND_SECONDS_MAX):
                jetstream = await self._connection.jetstream()
            ack = await heeding(
                jetstream.publish(
                    self._subject, payload, timeout=APPEND_SECONDS_MAX, headers=headers
                )
            )
        except nats.js.errors.APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise OvertakenError(str(error)) from error
            raise UnansweredError(str(error)) from error
        except nats.errors.MaxPayloadError as error:
            raise EntryTooLargeError(f"{len(payload)} bytes are more than NATS takes") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise UnansweredError(str(error) or type(error).__name__) from error
        if ack.seq != after + 1:
            raise OvertakenError(f"a duplicate of entry {ack.seq}")

    async def follow(self, after: int, deliver: Callable[[list[Entry]], None]) -> NoReturn:
        """Hand everything behind entry `after` to `deliver`, in order and without gaps, for ever.

        Raises what `deliver` raises, and LedgerLostError where the stream cannot be the one that
        was read before.
        """
        attempt = 1
        while True:
            session = await self._connection.session()
            try:
                async with _Reader(session, self._stream, after) as reader:
                    while True:
                        entries = await reader.next()
                        attempt = 1
                        after = entries[-1].sequence
                        deliver(entries)
            except _ReaderLostError as error:
                log.info("ledger.reader_lost", after=after, reason=str(error))
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log.warning("ledger.unreachable", after=after, error=str(error) or repr(error))
            await asyncio.sleep(full_jitter(attempt, seconds_first=0.05, seconds_max=2.0))
            attempt += 1


class _ReaderLostError(Exception):
    """This consumer is of no more use."""


class _Reader:
    """One ephemeral consumer, from its making to its loss."""

    def __init__(self, session: Session, stream: str, after: int) -> None:
        self._session = session
        self._stream = stream
        self._after = after
        self._inbox = session.client.new_inbox()
        self._arrived: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._left = 0
        self._pull_subject = ""
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        jetstream = self._session.jetstream
        info = await heeding(jetstream.stream_info(self._stream))
        if info.state.last_seq < self._after:
            raise LedgerLostError(
                f"stream {self._stream} ends at {info.state.last_seq}, but was read up to"
                f" {self._after}; restore it, or start every control plane anew"
            )
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._after + 1,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=CONSUMER_IDLE_SECONDS_MAX,
        )
        consumer = await heeding(
            jetstream.add_consumer(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
                self._stream, config
            )
        )
        self._pull_subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer.name}"
        self._subscription = await self._session.subscribe(self._inbox, self._on_message)
        return self

    async def __aexit__(self, *_: object) -> None:
        # The consumer itself ends on the server, once nobody pulls from it.
        with suppress(nats.errors.Error, OSError):
            if self._subscription is not None:
                await self._subscription.unsubscribe()

    async def next(self) -> list[Entry]:
        """The next entries, at least one. Raises _ReaderLostError, and never returns again."""
        while True:
            if self._left <= 0:
                self._left = BATCH_ENTRIES
                client = self._session.client
                await client.publish(self._pull_subject, _PULL, reply=self._inbox)
            entries = self._take()
            if entries:
                return entries
            if self._left <= 0:
                continue
            try:
                async with asyncio.timeout(SILENCE_SECONDS_MAX):
                    await self._news.wait()
            except TimeoutError as error:
                raise _ReaderLostError("no heartbeat") from error

    async def _on_message(self, message: Msg) -> None:
        self._arrived.append(message)
        self._news.set()

    def _take(self) -> list[Entry]:
        """What has arrived of the request under way."""
        entries: list[Entry] = []
        while self._arrived:
            message = self._arrived.popleft()
            if _is_entry(message):
                entries.append(self._entry(message))
                self._left -= 1
            elif _request_is_over(message):
                self._left = 0
        self._news.clear()
        return entries

    def _entry(self, message: Msg) -> Entry:
        sequence = message.metadata.sequence.stream
        if sequence != self._after + 1:
            raise _ReaderLostError(f"entry {sequence} came after {self._after}")
        self._after = sequence
        return Entry(sequence, message.data)


async def heeding(request: Awaitable[T]) -> T:
    """What a request answers, unless this task has been cancelled meanwhile.

    nats-py waits with `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that comes
    together with the answer; whoever cancelled would wait for ever.
    """
    answer = await request
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return answer


def _is_entry(message: Msg) -> bool:
    return message.reply.startswith("$JS.ACK.")


def _request_is_over(message: Msg) -> bool:
    """Whether a status ends the request. Raises _ReaderLostError where no other can follow it."""
    headers = message.headers or {}
    status = headers.get(Header.STATUS, "")
    described = headers.get(Header.DESCRIPTION, "")
    if status == IDLE:
        return False
    if status in REQUEST_OVER or described in BATCH_OVER:
        return True
    raise _ReaderLostError(f"{status} {described}")


_PULL = json.dumps(
    {
        "batch": BATCH_ENTRIES,
        "max_bytes": BATCH_BYTES,
        "expires": int(PULL_SECONDS * 1e9),
        "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
    }
).encode()
