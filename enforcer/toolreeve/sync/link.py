"""The stream to the control plane, kept up for ever.

A connection is lost in many ways (a refused port, a reset, a stream that ends because the server
wants its connections spread anew, a call that gRPC itself cancels) and all of them mean the same:
say hello again, soon, at a random moment. What was under way is not kept: the hello says what
runs, and the control plane says what is missing.

Holds are handed on as they come. Manifests wait their turn, the newest of each server only, so
that a slow one never stands in the way of a hold.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar, assert_never

import grpc
import grpc.aio
import structlog
from msgspec import Struct

from toolreeve.decision.approval import ApprovalAsk, ApprovalNews, PermitAnswer, PermitClaim
from toolreeve.decision.evidence import Evidence
from toolreeve.decision.lease import LeaseAsk, LeaseGiven
from toolreeve.policy.sign import Envelope
from toolreeve.runtime.credentials import Credentials
from toolreeve.sync.receive import FetchError, claimed_server
from toolreeve.sync.secure import member_channel
from toolreeve.wire import WireError
from toolreeve.wire.durable import Durable, Resend
from toolreeve.wire.fleet import (
    FETCH_REVISION,
    SUBSCRIBE,
    Ack,
    Hello,
    Nack,
    Status,
    Up,
    read_down,
    read_fetched,
    write_fetch,
    write_up,
)
from toolreeve.wire.grants import GrantOrder
from toolreeve.wire.hold_order import HoldOrder

log = structlog.get_logger()

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
OFFERS_MAX = 1024
SECOND_MS = 1_000
FETCH_ATTEMPTS = 3
REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED")
"""How a reason begins that does not pass by itself: somebody has to do something."""

T = TypeVar("T")


class LinkSettings(Struct, frozen=True, kw_only=True):
    """How the stream is kept up.

    After a loss the first attempt comes within `retry_first_seconds`, later ones within a bound
    that doubles up to `retry_seconds_max`; each waits a random part of its bound.
    """

    retry_first_seconds: float = 0.2
    retry_seconds_max: float = 5.0
    connect_seconds_max: float = 10.0
    fetch_seconds_max: float = 30.0
    status_seconds: float = 5.0
    evidence_seconds: float = 1.0
    evidence_seconds_max: float = 16.0
    queued_max: int = 1024
    keepalive_seconds: float = 10.0


class Link:
    """One enforcer's link.

    `hello` and `status` are asked whenever they are to be said. `on_hold`, `on_grants` and
    `on_manifest` are awaited one message at a time; what they raise ends the link and is raised by
    `run`.
    `on_refill` hears what the warehouse has and what it misses, `on_lease` what quota is given,
    `on_reach` whether the control plane answers now. `credentials` are asked for at each
    attempt, so that renewed ones are used without a restart; None: in the clear.
    """

    def __init__(
        self,
        address: str,
        *,
        hello: Callable[[], Hello],
        on_manifest: Callable[[Envelope], Awaitable[None]],
        on_hold: Callable[[HoldOrder], Awaitable[None]],
        on_grants: Callable[[GrantOrder], Awaitable[None]] | None = None,
        status: Callable[[], Status] | None = None,
        evidence: Callable[[], Sequence[Evidence]] = tuple,
        on_refill: Callable[[Durable | Resend], None] = lambda _: None,
        on_lease: Callable[[LeaseGiven], None] = lambda _: None,
        on_approval: Callable[[ApprovalNews | PermitAnswer], None] = lambda _: None,
        on_reach: Callable[[bool], None] = lambda _: None,
        credentials: Callable[[], Credentials | None] = lambda: None,
        settings: LinkSettings | None = None,
    ) -> None:
        self._address = address
        self._hello = hello
        self._on_manifest = on_manifest
        self._on_hold = on_hold
        self._on_grants = on_grants
        self._status = status
        self._evidence = evidence
        self._on_refill = on_refill
        self._on_lease = on_lease
        self._on_approval = on_approval
        self._on_reach = on_reach
        self._credentials = credentials
        self._settings = settings or LinkSettings()
        self._channel: grpc.aio.Channel | None = None
        self._outgoing: asyncio.Queue[Up] | None = None
        self._up = asyncio.Event()
        self._offers: dict[str, Envelope] = {}
        self._offered = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the control plane has answered on the stream that is open now."""
        return self._up.is_set()

    async def wait_connected(self) -> None:
        """Return once the control plane has answered."""
        await self._up.wait()

    def send(self, message: Ack | Nack | Evidence | LeaseAsk | ApprovalAsk | PermitClaim) -> bool:
        """Say something now. False: not connected, or too much is waiting; then it is dropped.

        Nothing is lost by that: the next hello says what runs, and what was refused is offered
        again.
        """
        if self._outgoing is None:
            return False
        try:
            self._outgoing.put_nowait(message)
        except asyncio.QueueFull:
            log.warning("link.queue_full", address=self._address)
            return False
        return True

    async def fetch(self, revision: str) -> bytes:
        """The body of a revision, unverified. Tries a few times; raises FetchError."""
        attempt = 1
        while True:
            try:
                return await self._fetch_once(revision)
            except FetchError:
                if attempt == FETCH_ATTEMPTS:
                    raise
            await asyncio.sleep(_part_of(0.2 * 2**attempt))
            attempt += 1

    async def run(self) -> NoReturn:
        """Keep the link up for ever. Raises only what `on_hold` or `on_manifest` raise."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hand_on_offers(), name="offers")
                await self._stay_connected()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        raise AssertionError("the link never ends by itself")

    async def _stay_connected(self) -> NoReturn:
        attempt = 0
        while True:
            reason = await self._one_connection()
            if self._up.is_set():
                attempt = 0
                self._up.clear()
                self._on_reach(False)
            settings = self._settings
            bound = min(settings.retry_seconds_max, settings.retry_first_seconds * 2**attempt)
            say = log.error if reason.startswith(REFUSALS) else log.info
            say("link.lost", address=self._address, reason=reason, retry_seconds_max=bound)
            attempt = min(attempt + 1, 10)
            await asyncio.sleep(_part_of(bound))

    async def _one_connection(self) -> str:
        """One stream from its hello to its loss; returns why it was lost."""
        self._outgoing = outgoing = asyncio.Queue[Up](self._settings.queued_max)
        self._channel = channel = member_channel(
            self._address, self._credentials(), _options(self._settings)
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                subscribe: _Subscribe = channel.stream_stream(SUBSCRIBE)
                call = subscribe()
                outgoing.put_nowait(self._hello())
                tasks.create_task(self._write(call, outgoing), name="write")
                tasks.create_task(self._report(outgoing), name="status")
                tasks.create_task(self._show(outgoing), name="evidence")
                await self._read(call)
        except BaseExceptionGroup as group:
            lost, fault = group.split(_LostError)
            if _asked_to_stop():
                raise asyncio.CancelledError from group
            if fault is not None:
                raise _first(fault) from group
            return str(_first(lost or group))
        finally:
            self._outgoing = None
            self._channel = None
            await channel.close()
        raise AssertionError("reading ends by raising")

    async def _write(self, call: "_Call", outgoing: asyncio.Queue[Up]) -> NoReturn:
        while True:
            await _or_lost(call.write(write_up(await outgoing.get())))

    async def _report(self, outgoing: asyncio.Queue[Up]) -> None:
        while self._status is not None:
            await self._up.wait()
            if not outgoing.full():
                outgoing.put_nowait(self._status())
            await asyncio.sleep(self._settings.status_seconds)

    async def _show(self, outgoing: asyncio.Queue[Up]) -> NoReturn:
        """Say what is known of revisions under rollout, once and whenever it has changed.

        What speaks for or against them is said soon, mere counts the rarer the longer they rise.
        """
        said: dict[str, tuple[Evidence, float, float]] = {}  # until when, and how long by now
        first, last = self._settings.evidence_seconds, self._settings.evidence_seconds_max
        await self._up.wait()
        while True:
            now = asyncio.get_running_loop().time()
            for evidence in self._evidence():
                known, until, pause = said.get(evidence.rollout, (None, 0.0, first))
                news = known is None or known.signs != evidence.signs
                if known == evidence or outgoing.full() or (now < until and not news):
                    continue
                outgoing.put_nowait(evidence)
                pause = first if news else min(2 * pause, last)
                said[evidence.rollout] = evidence, now + pause, pause
            await asyncio.sleep(first)

    async def _read(self, call: "_Call") -> NoReturn:
        try:
            async with asyncio.timeout(self._settings.connect_seconds_max):
                await self._take(await _or_lost(call.read()))
        except TimeoutError as error:
            raise _LostError("no answer to hello") from error
        self._up.set()
        self._on_reach(True)
        log.info("link.up", address=self._address)
        while True:
            await self._take(await _or_lost(call.read()))

    async def _take(self, raw: object) -> None:
        if not isinstance(raw, bytes):
            raise _LostError("the control plane ended the stream")
        try:
            message = read_down(raw)
        except WireError as error:
            raise _LostError(f"the control plane says what nobody understands: {error}") from error
        match message:
            case Envelope():
                self._offer(message)
            case HoldOrder():
                await self._on_hold(message)
            case GrantOrder():
                if self._on_grants is not None:
                    await self._on_grants(message)
            case Durable() | Resend():
                self._on_refill(message)
            case LeaseGiven():
                self._on_lease(message)
            case ApprovalNews() | PermitAnswer():
                self._on_approval(message)
            case None:
                pass
            case _:
                assert_never(message)

    def _offer(self, envelope: Envelope) -> None:
        server = claimed_server(envelope)
        if server not in self._offers and len(self._offers) >= OFFERS_MAX:
            log.warning("offer.dropped", server=server, waiting=len(self._offers))
            return
        self._offers[server] = envelope
        self._offered.set()

    async def _hand_on_offers(self) -> NoReturn:
        """One manifest at a time, over all connections: the shelf is written by one at a time."""
        while True:
            while self._offers:
                await self._on_manifest(self._offers.pop(next(iter(self._offers))))
            self._offered.clear()
            await self._offered.wait()

    async def _fetch_once(self, revision: str) -> bytes:
        channel = self._channel
        if channel is None:
            raise FetchError("not connected to the control plane")
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(FETCH_REVISION)
        seconds_max = self._settings.fetch_seconds_max
        try:
            return read_fetched(await _or_lost(call(write_fetch(revision), timeout=seconds_max)))
        except (_LostError, WireError) as error:
            raise FetchError(str(error)) from error


_Call = grpc.aio.StreamStreamCall[bytes, bytes]
_Subscribe = grpc.aio.StreamStreamMultiCallable[bytes, bytes]


class _LostError(Exception):
    """The connection is of no more use; the message says why."""


async def _or_lost(under_way: Awaitable[T]) -> T:
    """What gRPC answers; every way in which it does not is one: _LostError."""
    try:
        return await under_way
    except asyncio.CancelledError as error:
        if _asked_to_stop():
            raise
        raise _LostError("gRPC cancelled the call") from error
    except grpc.aio.AioRpcError as error:
        raise _LostError(f"{error.code().name}: {error.details()}") from error
    except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
        raise _LostError(f"{type(error).__name__}: {error}") from error


def _asked_to_stop() -> bool:
    """Whether it is we who are being cancelled, and not a call that gRPC gave up."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _part_of(seconds_max: float) -> float:
    return random.uniform(0, seconds_max)  # noqa: S311  (spreads load)


def _first(error: BaseException) -> BaseException:
    while True:
        match error:
            case BaseExceptionGroup(exceptions=(first, *_)):
                error = first
            case _:
                return error


def _options(settings: LinkSettings) -> list[tuple[str, int]]:
    keepalive_ms = int(settings.keepalive_seconds * SECOND_MS)
    return [
        ("grpc.use_local_subchannel_pool", 1),  # a connection of our own, new after each loss
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms // 2),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.enable_retries", 0),
    ]
