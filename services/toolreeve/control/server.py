"""The gRPC server: its options, its services, its address."""

import ipaddress
import socket

import grpc
import grpc.aio
import structlog

from toolreeve.control.health import add_health, add_reflection, say_serving
from toolreeve.control.settings import ControlSettings
from toolreeve.control.tls import Showing

log = structlog.get_logger()

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
PENDING_MAX = 100_000
SECOND_MS = 1_000
EVERYWHERE = ("0.0.0.0", "[::]", "*")  # noqa: S104  (compared, not bound)


class ListenError(Exception):
    """The address cannot be listened on. Says what to do."""

    def __init__(self, address: str, problem: str, remedy: str) -> None:
        super().__init__(f"{address}: {problem}; {remedy}")
        self.address = address
        self.problem = problem
        self.remedy = remedy


class Listener:
    """A server that is bound at once, and answers once it has been started.

    To `address`, and with `showing` to `members_address` too, where clients need a certificate.
    Raises ListenError where it cannot listen.
    """

    def __init__(
        self,
        settings: ControlSettings,
        services: dict[str, grpc.GenericRpcHandler],
        showing: Showing | None,
    ) -> None:
        self._services = services
        self._server = grpc.aio.server(
            options=_options(settings), maximum_concurrent_rpcs=settings.streams_max
        )
        self._server.add_generic_rpc_handlers(services.values())
        self._health = add_health(self._server)
        if settings.reflection:
            add_reflection(self._server, services)
        self.members_address = ""
        if showing is None:
            self.address = _bind(self._server, settings.listen, None)
            if not _is_loopback(settings.listen):
                log.warning("listener.in_the_clear", address=self.address)
        else:
            self.address = _bind(self._server, settings.listen, showing.credentials(mutual=False))
            self.members_address = _bind(
                self._server, settings.listen_members, showing.credentials(mutual=True)
            )

    async def start(self) -> None:
        """Answer from now on."""
        await self._server.start()
        await say_serving(self._health, self._services)

    async def stop(self, seconds_max: float) -> None:
        """Say that nothing is served any more, and give what is under way `seconds_max`."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds_max)


def names_of(settings: ControlSettings) -> list[str]:
    """What this host may be called by who connects to it by name."""
    hosts = [address.rpartition(":")[0] for address in (settings.listen, settings.listen_members)]
    own = [host for host in hosts if host and host not in EVERYWHERE]
    return [*settings.names, *own, "localhost", "127.0.0.1", socket.gethostname()]


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise ListenError(listen, "not an address", 'write it like "127.0.0.1:8461"')
    try:
        if credentials is None:
            return f"{host}:{server.add_insecure_port(listen)}"
        return f"{host}:{server.add_secure_port(listen, credentials)}"
    except RuntimeError as error:
        raise ListenError(
            listen, "cannot listen here", "is another process using the port?"
        ) from error


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _options(settings: ControlSettings) -> list[tuple[str, int]]:
    age_ms = settings.connection_age_seconds_max * SECOND_MS
    return [
        ("grpc.so_reuseport", 0),  # two processes on one port are a mistake, not a pool
        # Thousands of enforcers come back at once after a restart.
        ("grpc.server.max_pending_requests", PENDING_MAX),
        ("grpc.server.max_pending_requests_hard_limit", PENDING_MAX),
        # Enforcers ping more often than gRPC's default allows ("Too many pings").
        ("grpc.http2.min_ping_interval_without_data_ms", 5 * SECOND_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 20 * SECOND_MS),
        ("grpc.keepalive_timeout_ms", 10 * SECOND_MS),
        # Streams end now and then, so that they spread over the replicas again.
        ("grpc.max_connection_age_ms", age_ms),
        ("grpc.max_connection_age_grace_ms", 5 * SECOND_MS),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ]
