"""The streams that are open at this process, and who watches them.

Nothing here is in the log: it is known by being connected, and forgotten with the connection.
"""

import asyncio
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import structlog
from msgspec import Struct

from toolreeve.control.store import Change, Store
from toolreeve.control.translate import read_running, write_served
from toolreeve.decision import Instant
from toolreeve.decision.approval import ApprovalNews, PermitAnswer
from toolreeve.decision.lease import LeaseGiven
from toolreeve.fleet import (
    EnforcerSeen,
    ManifestIssued,
    PolicyActivated,
    PolicyNacked,
    RolloutChanged,
    RolloutStarted,
    Running,
    greet,
    served,
)
from toolreeve.fleet.identity import MemberDenied, MemberJoined, MemberKind
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.wire.durable import Durable, Resend
from toolreeve.wire.fleet import Hello, Status

log = structlog.get_logger()

RESENDS_WAITING_MAX = 64
UNSAID_MAX = 10_000

Beside = Durable | Resend | LeaseGiven | ApprovalNews | PermitAnswer
"""What is said beside what is owed: it is not said again to a stream that begins anew."""


class Stream:
    """One enforcer's open stream: what it was sent, what it says it runs, when it was heard."""

    def __init__(self, hello: Hello, store: Store, at: Instant, *, member: str) -> None:
        running = [read_running(one) for one in hello.running]
        self.hello = hello
        self.member = member
        """By whose certificate it came; empty in the clear."""
        self.sent = greet(store.state, hello.enforcer_id, hello.servers, running)
        self.running: dict[str, Running] = {one.server: one for one in running}
        self.status: Status | None = None
        self.heard_at = at
        self.wake = asyncio.Event()
        self._durable: Durable | None = None  # said last, or to be said
        self._durable_at = 0
        self._unsaid: deque[Beside] = deque()
        self.ending = False
        self.end_reason = ""

    def give(self, given: LeaseGiven) -> None:
        """Answer an ask for quota; whoever has to wait for longer asks again."""
        if not self.ending:
            self._say(given)

    def tell(self, news: ApprovalNews | PermitAnswer) -> None:
        """Say something of an approval; whoever misses it asks again."""
        if not self.ending and len(self._unsaid) < UNSAID_MAX:
            self._say(news)

    def take(self) -> "Beside | None":
        """What else is to be said, once; it is behind everything that is owed."""
        return self._unsaid.popleft() if self._unsaid else None

    def durable(self, durable: Durable, at: Instant, *, pause_ns: int) -> None:
        """Let the enforcer know, where it is news and the last time is `pause_ns` ago."""
        if durable != self._durable and (self._durable is None or at - self._durable_at > pause_ns):
            self._durable, self._durable_at = durable, at
            overtaken = [said for said in self._unsaid if isinstance(said, Durable)]
            for said in overtaken:
                self._unsaid.remove(said)
            self._say(durable)

    def resend(self, resend: Resend) -> None:
        """Ask the enforcer for what is missing; what is asked for already is not asked twice."""
        if resend not in self._unsaid and len(self._unsaid) < RESENDS_WAITING_MAX:
            self._say(resend)

    def _say(self, message: "Beside") -> None:
        self._unsaid.append(message)
        self.wake.set()

    def end(self, reason: str = "") -> None:
        """Have the stream end behind the message that is being written; the first reason stands.

        With a reason it is we who end it, and the enforcer is told to come back.
        """
        if not self.ending:
            self.ending, self.end_reason = True, reason
            self.wake.set()


class Standing(Struct, frozen=True):
    """What an enforcer said last of its outbox, and when."""

    status: Status
    heard_at: Instant
    connected: bool


class Watcher:
    """Which enforcers have changed since somebody last looked: each once, however often."""

    def __init__(self, enforcers: Iterable[str]) -> None:
        self._changed = dict.fromkeys(enforcers)
        self._news = asyncio.Event()

    def note(self, enforcer_id: str) -> None:
        self._changed[enforcer_id] = None
        self._news.set()

    def take(self) -> list[str]:
        """What has changed; from now on it has not."""
        changed, self._changed = list(self._changed), {}
        self._news.clear()
        return changed

    async def wait(self) -> None:
        """Return once something has changed."""
        await self._news.wait()


class Streams:
    """All open streams, by enforcer and by server."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._by_enforcer: dict[str, Stream] = {}
        self._by_server: dict[str, set[Stream]] = {}
        self._watchers: set[Watcher] = set()
        self._last_words: dict[str, tuple[Status, Instant]] = {}
        self._closing = False
        store.listen(self._on_change)

    def open(self, hello: Hello, *, member: str = "") -> Stream:
        """A stream has begun. An older one of the same enforcer ends: there is one of each."""
        stream = Stream(hello, self._store, self._clock.now(), member=member)
        older = self._by_enforcer.get(hello.enforcer_id)
        if older is not None:
            log.warning("stream.superseded", enforcer=hello.enforcer_id, host=hello.host)
            self.close(older)
            older.end("another stream of the same enforcer has begun")
        self._by_enforcer[hello.enforcer_id] = stream
        for server in hello.servers:
            self._by_server.setdefault(server, set()).add(stream)
        if self._closing:
            stream.end("the control plane is stopping")
        self._note(hello.enforcer_id)
        return stream

    def close(self, stream: Stream) -> None:
        """A stream is over. Closing it again changes nothing."""
        enforcer_id = stream.hello.enforcer_id
        if self._by_enforcer.get(enforcer_id) is stream:
            del self._by_enforcer[enforcer_id]
        for server in stream.hello.servers:
            streams = self._by_server.get(server, set())
            streams.discard(stream)
            if not streams:
                self._by_server.pop(server, None)
        self._note(enforcer_id)

    def close_all(self) -> None:
        """Ask every stream to end, and every later one at once."""
        self._closing = True
        for stream in self._by_enforcer.values():
            stream.end("the control plane is stopping")

    def heard(self, stream: Stream) -> None:
        """The enforcer has said something."""
        stream.heard_at = self._clock.now()
        if stream.status is not None:
            self._last_words[stream.hello.enforcer_id] = (stream.status, stream.heard_at)
        self._note(stream.hello.enforcer_id)

    def stream(self, enforcer_id: str) -> Stream | None:
        """The enforcer's open stream."""
        return self._by_enforcer.get(enforcer_id)

    def standings(self) -> dict[str, Standing]:
        """What everybody said last since this process started, also who has left since."""
        return {
            enforcer_id: Standing(status, heard_at, enforcer_id in self._by_enforcer)
            for enforcer_id, (status, heard_at) in self._last_words.items()
        }

    def connected(self, server: str) -> int:
        """How many enforcers of `server` are connected here."""
        return len(self._by_server.get(server, ()))

    def enforcers(self) -> list[str]:
        """Everybody on the roster, connected or not, by id."""
        return sorted(self._store.state.roster)

    def summary(self, enforcer_id: str) -> pb.EnforcerSummary | None:
        """One enforcer as an operator reads it; None where it is not on the roster (yet)."""
        state = self._store.state
        enforcer = state.roster.get(enforcer_id)
        if enforcer is None:
            return None
        stream = self._by_enforcer.get(enforcer_id)
        live = None if stream is None else stream.running
        summary = pb.EnforcerSummary(
            enforcer_id=enforcer_id,
            host=enforcer.host,
            software_version=enforcer.software_version,
            connected=stream is not None,
            last_seen_unix_nano=enforcer.seen_at if stream is None else stream.heard_at,
            labels=dict(enforcer.labels),
            served=[write_served(one) for one in served(state, enforcer, live)],
        )
        if stream is not None:
            summary.epoch = stream.hello.epoch
            if stream.status is not None:
                summary.epoch = stream.status.epoch
                summary.sequence = stream.status.sequence
                summary.published_sequence = stream.status.published_sequence
                summary.outbox_bytes = stream.status.outbox_bytes
        return summary

    @contextmanager
    def watch(self) -> Generator[Watcher]:
        """Watch the roster; at first everybody has changed."""
        watcher = Watcher(self.enforcers())
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def _on_change(self, change: Change) -> None:
        before, after = change.before, change.after
        if (before.hold_sequence, before.grants.sequence) != (
            after.hold_sequence,
            after.grants.sequence,
        ):
            for stream in self._by_enforcer.values():
                stream.wake.set()
        for commit in change.commits:
            for event in commit.events:
                match event:
                    case ManifestIssued(server=server) | RolloutStarted(server=server):
                        self._wanted_changed(server, change)
                    case RolloutChanged(rollout_id=rollout_id):
                        rollout = change.after.rollouts.by_id.get(rollout_id)
                        if rollout is not None:
                            self._wanted_changed(rollout.server, change)
                    case EnforcerSeen():
                        self._note(event.enforcer_id)
                        if event.enforcer_id in self._by_enforcer:  # its labels choose its cohort
                            self._by_enforcer[event.enforcer_id].wake.set()
                    case PolicyActivated() | PolicyNacked():
                        self._note(event.enforcer_id)
                    case (
                        MemberDenied(kind=MemberKind.ENFORCER)
                        | MemberJoined(kind=MemberKind.ENFORCER)
                    ):
                        self._expel(event.name)
                    case _:
                        pass

    def _expel(self, member: str) -> None:
        """End every stream of a certificate that counts no more, and who used the name before."""
        for stream in self._by_enforcer.values():
            if member in {stream.member, stream.hello.enforcer_id} and stream.member:
                stream.end("this certificate counts no more; its bearer is denied or joined again")

    def _wanted_changed(self, server: str, change: Change) -> None:
        for stream in self._by_server.get(server, ()):
            stream.wake.set()
        if self._watchers:
            for enforcer in change.after.roster.values():
                if server in enforcer.servers:
                    self._note(enforcer.enforcer_id)

    def _note(self, enforcer_id: str) -> None:
        for watcher in self._watchers:
            watcher.note(enforcer_id)
