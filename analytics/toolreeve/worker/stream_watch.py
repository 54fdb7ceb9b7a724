"""Whether the audit stream is still what it was: every few seconds a look at what keeps it.

JetStream says nothing when an administrator bounds a stream and its messages go, or when a stream
was deleted, purged or put back from an old copy. So the worker looks: at the members of the
stream's configuration, and at the numbers of its first and last message, which only rise.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import nats.errors
import structlog
from msgspec import Struct
from nats.js.api import StreamConfig

from toolreeve.bus import BusError, Connection, StreamSettings, ensure_stream, would_lose
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.worker.audit_stream import heed
from toolreeve.worker.open_alerts import OpenAlerts, Problem

log = structlog.get_logger()

CHANGED = "audit-stream-changed"
LOST = "audit-stream-lost"
RULES = (CHANGED, LOST)
LOOK_SECONDS = 2.0
ANSWER_SECONDS_MAX = 2.0
CLOCKS_APART = timedelta(seconds=60)
NO_STREAM = 10059
WHOLE_LOOKS = 5
"""So often in a row nothing must be missing; enforcers say how they stand every few seconds."""
NOT_LOOKED_AT = ("metadata",)


class State(Struct, frozen=True):
    """The numbers of a stream's messages, as the server says them."""

    first_seq: int
    last_seq: int
    first_ts: datetime
    num_deleted: int = 0


class Problems(Struct, frozen=True):
    """Why the server does not say."""

    err_code: int = 0


class Look(Struct, frozen=True):
    """The server's answer. `created` tells a stream from another of the same name."""

    error: Problems | None = None
    created: str = ""
    config: dict[str, Any] = {}
    state: State | None = None


_looks = msgspec.json.Decoder(Look)


class StreamWatch:
    """Looks at one stream and makes it again where it is gone."""

    def __init__(
        self,
        connection: Connection,
        *,
        stream: str,
        subjects: list[str],
        settings: StreamSettings,
        loaded: Callable[[], int],
        whole: Callable[[], bool],
        on_lost: Callable[[], None],
        alerts: OpenAlerts,
        now: Callable[[], Instant],
    ) -> None:
        """`loaded` is the number of the newest message that was loaded, by an earlier process too;
        `whole` says whether nothing is missing of what enforcers have published."""
        self._connection = connection
        self._stream = stream
        self._subjects = subjects
        self._settings = settings
        self._loaded = loaded
        self._whole = whole
        self._on_lost = on_lost
        self._alerts = alerts
        self._now = now
        self._then: dict[str, object] | None = None  # the members as they were first seen
        self._unsure: set[str] = set()  # those that lost messages then, and still do
        self._last_look: Look | None = None
        self._whole_looks = 0

    async def run(self, epoch: asyncio.Future[int]) -> None:
        """Look for ever; begins when this start of the worker has an epoch."""
        await asyncio.shield(epoch)
        while True:
            heed()
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    client = (await self._connection.session()).client
                    question = f"$JS.API.STREAM.INFO.{self._stream}"
                    answer = await client.request(question, timeout=ANSWER_SECONDS_MAX)
                look = _looks.decode(answer.data)
            except (nats.errors.Error, TimeoutError, OSError, msgspec.MsgspecError):
                pass  # NATS is away; shipping and consuming say so
            else:
                if look.state is not None:
                    await self._compare(look, look.state)
                elif look.error is not None and look.error.err_code == NO_STREAM:
                    await self._make_again()
            await asyncio.sleep(LOOK_SECONDS)

    async def _make_again(self) -> None:
        log.error("stream.gone", stream=self._stream)
        await self._say_lost("it was deleted")
        self._last_look = None
        try:
            await ensure_stream(self._connection, self._stream, self._subjects, self._settings)
        except BusError as error:
            log.error("stream.unusable", problem=str(error))

    async def _compare(self, look: Look, state: State) -> None:
        before, self._last_look = self._last_look, look
        config = StreamConfig.from_response(dict(look.config))
        await self._say_changed(look.config, would_lose(config, self._subjects))
        lost = None
        if before is None and state.last_seq < self._loaded():
            lost = f"it ends at message {state.last_seq}, and {self._loaded()} was loaded"
        elif before is not None and before.state is not None:
            lost = "another stream stands in its place"
            if before.created == look.created:
                lost = self._lost(before.state, state, timedelta(seconds=config.max_age or 0))
        if lost is not None:
            log.error("stream.lost", stream=self._stream, how=lost)
            await self._say_lost(lost)
        elif self._alerts.about(LOST):
            # What was lost is being sent again; it is over when nothing is missing any more.
            self._whole_looks = self._whole_looks + 1 if self._whole() else 0
            if self._whole_looks >= WHOLE_LOOKS:
                await self._alerts.say(LOST, "stream", self._stream, None)

    def _lost(self, before: State, state: State, age_max: timedelta) -> str | None:
        """How messages went that should be there; None: none did."""
        if state.last_seq < before.last_seq:
            return f"it ends at message {state.last_seq}, and went to {before.last_seq} before"
        if state.num_deleted > before.num_deleted:
            return f"{state.num_deleted - before.num_deleted} of them were deleted one by one"
        if state.first_seq > before.first_seq and before.last_seq >= before.first_seq:
            age = datetime.fromtimestamp(self._now() / SECOND, UTC) - before.first_ts
            if not age_max or age + CLOCKS_APART < age_max:
                return (
                    f"it begins at message {state.first_seq}, and began at {before.first_seq}"
                    " before"
                )
        return None

    async def _say_lost(self, how: str) -> None:
        self._whole_looks = 0
        self._on_lost()
        problem = Problem(
            severity="critical",
            summary=f"messages of the stream {self._stream} are gone: {how}; what is missing is"
            " asked for from the outboxes",
            query="FROM integrity",
        )
        await self._alerts.say(LOST, "stream", self._stream, problem)

    async def _say_changed(
        self, members: Mapping[str, object], dangerous: Mapping[str, str]
    ) -> None:
        """One alert for each member that is not as it was, or that loses messages."""
        if self._then is None:
            self._then, self._unsure = dict(members), set(dangerous)
        then = self._then
        for member in self._unsure - dangerous.keys():
            then[member] = members.get(member)
        self._unsure &= dangerous.keys()
        looked_at = (then.keys() | members.keys()) - self._unsure - set(NOT_LOOKED_AT)
        changed = {
            member: f"{json.dumps(then.get(member))} became {json.dumps(members.get(member))}"
            for member in looked_at
            if then.get(member) != members.get(member)
        }
        for member in changed.keys() | dangerous.keys() | set(self._alerts.about(CHANGED)):
            problem = None
            if member in changed or member in dangerous:
                how = ", ".join(
                    words for words in (changed.get(member), dangerous.get(member)) if words
                )
                problem = Problem(
                    severity="critical" if member in dangerous else "warning",
                    summary=f"{member} of the stream {self._stream} is not as it was: {how}",
                    labels=(("stream", self._stream),),
                )
            await self._alerts.say(CHANGED, "member", member, problem)
