"""JetStream as far as its promises go: streams that keep what they acknowledged, consumers.

`sync_interval: always` is taken at its word: what was acknowledged outlives every end of the
server. Ids are known again for a while only, so a message that is sent again later is stored
twice; what is not acknowledged in time is delivered again, behind newer messages.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Protocol

from nats.js.api import DeliverPolicy
from tests.simulation.chance import Chance

WRONG_LAST_SEQUENCE = 10071


class Peer(Protocol):
    """The server's end of one session."""

    def say(
        self, inbox: str, subject: str, reply: str, data: bytes, headers: dict[str, str]
    ) -> None: ...

    @property
    def gone(self) -> bool: ...


class Request:
    """A consumer's client asks for messages."""

    def __init__(self, peer: Peer, inbox: str, left: int, heartbeat: float, ends: float) -> None:
        self.peer = peer
        self.inbox = inbox
        self.left = left
        self.heartbeat = heartbeat
        self.ends = ends


class Consumer:
    """Where one reader stands. `floor`: everything up to here is acknowledged."""

    def __init__(self, name: str, start: int, *, acks: bool, ack_seconds: float) -> None:
        self.name = name
        self.next = start
        self.acks = acks
        self.ack_seconds = ack_seconds
        self.deliveries: dict[int, int] = {}
        self.waiting: set[int] = set()  # delivered, not acknowledged
        self.again: deque[int] = deque()
        self.acked: set[int] = set()
        self.requests: deque[Request] = deque()

    @property
    def floor(self) -> int:
        first = min([*self.waiting, *self.again, self.next])
        return first - 1

    def begin_again(self) -> None:
        self.again = deque(sorted({*self.again, *self.waiting}))
        self.waiting.clear()


class Stream:
    """Messages from sequence 1 on: (subject, data, id, when). Nothing is ever deleted."""

    def __init__(self, name: str, subjects: list[str]) -> None:
        self.name = name
        self.subjects = subjects
        self.messages: list[tuple[str, bytes, str, float]] = []
        self.ids: dict[str, tuple[int, float]] = {}
        self.consumers: dict[str, Consumer] = {}

    def takes(self, subject: str) -> bool:
        return any(
            one == subject or (one.endswith(".*") and subject.rpartition(".")[0] == one[:-2])
            for one in self.subjects
        )


class JetStreamServer:
    """All streams of one server, and what it does with what arrives."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: Chance) -> None:
        self.loop = loop
        self.chance = chance
        self.streams: dict[str, Stream] = {}
        self.id_seconds = 120.0
        self.twice = 0.0  # so often a message is delivered a second time for no reason
        self._context = Context()  # the server outlives its clients

    def later(self, seconds: float, what: Callable[..., object], *args: object) -> None:
        """Do something in the server's own name."""
        self.loop.call_later(seconds, what, *args, context=self._context)

    def store(
        self, subject: str, data: bytes, headers: dict[str, str]
    ) -> tuple[Stream, int, bool] | int | None:
        """(stream, sequence, duplicate), the code of a refusal, or None: no stream takes it."""
        stream = next((one for one in self.streams.values() if one.takes(subject)), None)
        if stream is None:
            return None
        expected = headers.get("Nats-Expected-Last-Sequence")
        if expected is not None and int(expected) != len(stream.messages):
            return WRONG_LAST_SEQUENCE
        now = self.loop.time()
        ident = headers.get("Nats-Msg-Id", "")
        known = stream.ids.get(ident)
        if ident and known is not None and now < known[1]:
            return stream, known[0], True
        stream.messages.append((subject, data, ident, now))
        sequence = len(stream.messages)
        stream.ids[ident] = (sequence, now + self.id_seconds)
        for consumer in stream.consumers.values():
            self.serve(stream, consumer)
        return stream, sequence, False

    def publish(
        self, peer: Peer, subject: str, data: bytes, reply: str, headers: dict[str, str]
    ) -> None:
        """What a client has sent without waiting for an answer."""
        if subject.startswith("$JS.ACK."):
            self._acknowledge(subject)
        elif subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
            self._pull(peer, subject, data, reply)
        else:
            stored = self.store(subject, data, headers)
            if not reply:
                return
            if stored is None:
                peer.say(reply, reply, "", b"", {"Status": "503"})
                return
            assert not isinstance(stored, int)
            stream, sequence, duplicate = stored
            answer = {"stream": stream.name, "seq": sequence, "duplicate": duplicate}
            peer.say(reply, reply, "", json.dumps(answer).encode(), {})

    def add_consumer(
        self, stream: Stream, name: str, policy: DeliverPolicy, start: int, ack_seconds: float
    ) -> Consumer:
        """Make it, or find the one that is there."""
        consumer = stream.consumers.get(name)
        if consumer is None:
            first = start if policy is DeliverPolicy.BY_START_SEQUENCE else 1
            acks = ack_seconds > 0
            consumer = Consumer(name, first, acks=acks, ack_seconds=ack_seconds)
            stream.consumers[name] = consumer
        return consumer

    def serve(self, stream: Stream, consumer: Consumer) -> None:
        """Hand out what is there to those who asked for it."""
        while consumer.requests:
            request = consumer.requests[0]
            if request.left <= 0 or request.peer.gone or self.loop.time() >= request.ends:
                consumer.requests.popleft()
                continue
            if consumer.again:
                sequence = consumer.again.popleft()
                if sequence in consumer.acked:
                    continue
            elif consumer.next <= len(stream.messages):
                sequence = consumer.next
                consumer.next += 1
            else:
                return
            request.left -= 1
            self._hand_out(stream, consumer, sequence, request)
            if consumer.acks and self.chance.happens(self.twice):
                consumer.again.append(sequence)

    def _hand_out(
        self, stream: Stream, consumer: Consumer, sequence: int, request: Request
    ) -> None:
        subject, data, ident, when = stream.messages[sequence - 1]
        count = consumer.deliveries[sequence] = consumer.deliveries.get(sequence, 0) + 1
        where = f"{stream.name}.{consumer.name}.{count}.{sequence}.{sequence}.{int(when * 1e9)}.0"
        if consumer.acks:
            consumer.waiting.add(sequence)
            self.later(consumer.ack_seconds, self._overdue, stream, consumer, sequence, count)
        headers = {"Nats-Msg-Id": ident}
        request.peer.say(request.inbox, subject, f"$JS.ACK.{where}", data, headers)

    def _overdue(self, stream: Stream, consumer: Consumer, sequence: int, count: int) -> None:
        if sequence in consumer.waiting and consumer.deliveries[sequence] == count:
            consumer.waiting.discard(sequence)
            consumer.again.append(sequence)
            self.serve(stream, consumer)

    def _acknowledge(self, subject: str) -> None:
        _, _, name, durable, _, sequence, *_ = subject.split(".")
        stream = self.streams.get(name)
        consumer = None if stream is None else stream.consumers.get(durable)
        if consumer is not None:
            consumer.waiting.discard(int(sequence))
            consumer.acked.add(int(sequence))

    def _pull(self, peer: Peer, subject: str, data: bytes, reply: str) -> None:
        name, durable = subject.split(".")[-2:]
        stream = self.streams.get(name)
        consumer = None if stream is None else stream.consumers.get(durable)
        if stream is None or consumer is None:
            peer.say(reply, reply, "", b"", {"Status": "503"})
            return
        asked = json.loads(data)
        ends = self.loop.time() + asked["expires"] / 1e9
        heartbeat = asked["idle_heartbeat"] / 1e9
        request = Request(peer, reply, asked["batch"], heartbeat, ends)
        consumer.requests.append(request)
        self.later(heartbeat, self._beat, request)
        self.serve(stream, consumer)

    def _beat(self, request: Request) -> None:
        if request.left <= 0 or request.peer.gone:
            return
        over = self.loop.time() >= request.ends
        status, words = ("408", "Request Timeout") if over else ("100", "Idle Heartbeat")
        headers = {"Status": status, "Description": words}
        request.peer.say(request.inbox, request.inbox, "", b"", headers)
        if not over:
            self.later(request.heartbeat, self._beat, request)
