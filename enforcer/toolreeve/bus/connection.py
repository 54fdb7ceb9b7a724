"""A connection to NATS that comes back, for ever.

nats-py can reconnect by itself. That is switched off: it gives up for good on most errors of a
server (an expired login among them), sleeps two seconds after a refused connection, knows no
jitter, and sends again what was buffered, in an order nobody can rely on. Here every loss ends the
client, and a new one is made until one stands. Whoever sends decides anew what to send.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import nats.errors
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from toolreeve.bus.backoff import full_jitter
from toolreeve.bus.error import BusError
from toolreeve.bus.login import Ask, nobody
from toolreeve.bus.subjects import DEFAULT_PREFIX, Subjects, token

log = structlog.get_logger()

_LOOK_SECONDS = 0.25
_HEED_SECONDS = 0.5
_STEADY_SECONDS = 5.0  # a session that ended sooner counts as one more failed attempt


class Session(Struct, frozen=True, eq=False):
    """One client as long as it lasts. `lost` is set when it is over; it never comes back."""

    client: Client
    jetstream: JetStreamContext
    lost: asyncio.Event

    async def subscribe(self, subject: str, hear: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """Let `hear` have what comes on `subject`, one message after the other."""
        return await self.client.subscribe(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
            subject, cb=hear
        )


class Connection:
    """The connection's present session, whichever that is. Made by `connect`."""

    def __init__(
        self,
        servers: list[str],
        *,
        name: str,
        inbox: str,
        tls: ssl.SSLContext | None,
        login: Ask,
        connect_seconds: float,
        ping_seconds: int,
    ) -> None:
        self._servers = servers
        self._name = name
        self._inbox = inbox
        self._tls = tls
        self._login = login
        self._connect_seconds = connect_seconds
        self._ping_seconds = ping_seconds
        self._current: asyncio.Future[Session] = asyncio.get_running_loop().create_future()

    @property
    def connected(self) -> bool:
        """Whether there is a session at this moment."""
        return self._current.done()

    async def session(self) -> Session:
        """The present session; waits, without end, while there is none."""
        return await asyncio.shield(self._current)

    async def jetstream(self) -> JetStreamContext:
        """JetStream as the present session sees it; waits, without end, while there is none."""
        return (await self.session()).jetstream

    async def keep(self) -> None:
        """Connect, and connect again whenever the session is lost. Never returns."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            try:
                session = await self._open()
            except (OSError, nats.errors.Error, TimeoutError, BusError) as error:
                attempt += 1
                if attempt == 1 or attempt % 20 == 0:
                    log.warning("nats.unreachable", servers=self._shown(), error=_words(error))
                await asyncio.sleep(full_jitter(attempt))
                continue
            begun = loop.time()
            try:
                self._current.set_result(session)
                log.info("nats.connected", server=session.client.connected_server_version)
                await _until_lost(session)
                log.warning("nats.disconnected", servers=self._shown())
                self._current = loop.create_future()
            finally:
                await _end(session.client)
            attempt = 1 if loop.time() - begun > _STEADY_SECONDS else attempt + 1
            await asyncio.sleep(full_jitter(attempt))

    def kept(self, keeping: "asyncio.Task[None]") -> None:
        """Let those who wait for a session hear it when keeping one has ended by a fault."""
        error = None if keeping.cancelled() else keeping.exception()
        if error is not None:
            log.error("nats.given_up", error=repr(error), client=self._name)
            if self._current.done():
                self._current = keeping.get_loop().create_future()
            self._current.set_exception(error)
            self._current.exception()  # nobody has to wait

    async def _open(self) -> Session:
        lost = asyncio.Event()

        async def on_closed() -> None:
            lost.set()

        async def on_error(error: Exception) -> None:
            if isinstance(error, nats.errors.UnexpectedEOF):
                _forget_unsent(client)
                return
            if lost.is_set() or not client.is_connected:
                return  # the attempt, or the session, ends with an error of its own
            if "permissions violation" in str(error).lower():
                log.error("nats.permission_violated", error=_words(error), client=self._name)
            else:
                log.warning("nats.error", error=_words(error))

        client = Client()
        login = self._login()
        try:
            async with asyncio.timeout(self._connect_seconds):
                await client.connect(
                    list(self._servers),
                    name=self._name,
                    error_cb=on_error,
                    closed_cb=on_closed,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # and no wait: a refused connection says so at once
                    reconnect_time_wait=0,
                    ping_interval=self._ping_seconds,
                    max_outstanding_pings=2,
                    inbox_prefix=self._inbox,
                    tls=self._tls,
                    user_jwt_cb=None if login is None else login.user_jwt,
                    signature_cb=None if login is None else login.signature,
                )
        except BaseException:
            await _end(client)
            raise
        return Session(client, JetStreamContext(client), lost)

    def _shown(self) -> list[str]:
        """The servers without their passwords."""
        return [f"{url.hostname}:{url.port}" for url in map(urlsplit, self._servers)]


@asynccontextmanager
async def connect(
    url: str,
    *,
    name: str,
    prefix: str = DEFAULT_PREFIX,
    tls: ssl.SSLContext | None = None,
    login: Ask = nobody,
    connect_seconds: float = 5.0,
    ping_seconds: int = 1,
) -> AsyncGenerator[Connection, None]:
    """Keep a connection to one of the servers in `url` (several stand between commas).

    `login` is asked at every attempt. Returns at once, whether or not a server is there. `name`
    tells the client from others and stands in its reply subjects. A server that says nothing for
    three pings counts as lost. Raises BusError where `url` cannot be right, ValueError where `name`
    cannot be one.
    """
    servers = [server.strip() for server in url.split(",")]
    for server in servers:
        if not _is_address(server):
            raise BusError(f"{server!r} is no address of NATS", remedy="write nats://HOST:PORT")
    connection = Connection(
        servers,
        name=token(name),
        inbox=Subjects(prefix).inbox(name),
        tls=tls,
        login=login,
        connect_seconds=connect_seconds,
        ping_seconds=ping_seconds,
    )
    keeping = asyncio.create_task(connection.keep(), name=f"nats:{name}")
    keeping.add_done_callback(connection.kept)
    try:
        yield connection
    finally:
        # In Python 3.11 `wait_for`, which nats-py is full of, may swallow a cancellation that comes
        # together with an answer; so it is said until it is heard.
        while not keeping.done():
            keeping.cancel()
            await asyncio.wait([keeping], timeout=_HEED_SECONDS)


def _is_address(server: str) -> bool:
    try:
        parts = urlsplit(server)
        return parts.scheme in {"nats", "tls", "ws", "wss"} and bool(parts.hostname and parts.port)
    except ValueError:  # a port that is no number
        return False


async def _until_lost(session: Session) -> None:
    """Return when the client has ended, also where it forgets to say so."""
    while not session.client.is_closed:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await session.lost.wait()
                return
    session.lost.set()


async def _end(client: Client) -> None:
    """Close the client wholly, whatever state it is in.

    nats-py writes what is unsent before it closes; where the socket is dead that fails, and it
    stops half-way: marked as closed, its tasks alive, its callbacks not called.
    """
    _forget_unsent(client)
    if client.is_closed:
        client._status = Client.DISCONNECTED  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    with suppress(OSError, nats.errors.Error):
        await client.close()


def _forget_unsent(client: Client) -> None:
    client._pending.clear()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    client._pending_data_size = 0  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
