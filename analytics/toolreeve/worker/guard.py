"""Who may ask the query service of a worker that has joined a control plane.

The worker shows its own certificate, fresh at every handshake. Whoever asks shows the token of an
operator; whose it is, the control plane says. Its answers are remembered for a moment, and for
longer while no control plane answers.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog
from msgspec import Struct

from toolreeve.runtime.credentials import Credentials
from toolreeve.sync.secure import member_channel
from toolreeve.v1 import identity_pb2 as pb

log = structlog.get_logger()

WHO_AM_I = "/toolreeve.v1.IdentityService/WhoAmI"
OURS = "/toolreeve.v1."
ADMINS_ONLY = frozenset({"EraseDetails"})
FRESH_SECONDS = 10.0
"""For so long a revoked token may still ask."""
STALE_SECONDS = 300.0
ANSWER_SECONDS_MAX = 5.0
KNOWN_MAX = 1_024
TOKEN_CHARACTERS_MAX = 8 * 1024

Shown = Callable[[], Credentials]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


class _Known(Struct, frozen=True):
    """What a control plane said of a token: its roles, or why it is refused."""

    at: float
    roles: frozenset[int]
    refusal: str = ""


class TokenGuard(grpc.aio.ServerInterceptor):
    """Lets whoever may read ask, and admins erase. Health is answered to everybody."""

    def __init__(self, addresses: Sequence[str], shown: Shown) -> None:
        self._addresses = addresses
        self._shown = shown
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """The method's own handler, or one that says why not."""
        path = handler_call_details.method
        if path.startswith(OURS):
            refused = await self._refusal(path.rpartition("/")[2], handler_call_details)
            if refused is not None:
                return _refusing(*refused)
        return await continuation(handler_call_details)

    async def _refusal(
        self, method: str, details: grpc.HandlerCallDetails
    ) -> tuple[grpc.StatusCode, str] | None:
        token = _bearer(details)
        if token is None:
            return (
                grpc.StatusCode.UNAUTHENTICATED,
                "no token was presented; set TOOLREEVE_TOKEN, or log in",
            )
        known = await self._who(token)
        if known is None:
            return (
                grpc.StatusCode.UNAVAILABLE,
                "no control plane says whose token this is; try again when one is up",
            )
        if known.refusal:
            return grpc.StatusCode.UNAUTHENTICATED, known.refusal
        if not known.roles or (method in ADMINS_ONLY and pb.ROLE_ADMIN not in known.roles):
            return grpc.StatusCode.PERMISSION_DENIED, f"you may not {method}; ask an admin"
        return None

    async def _who(self, token: str) -> _Known | None:
        key = sha256(token.encode()).digest()
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and now - known.at < FRESH_SECONDS:
            return known
        fresh = await self._asked(token, now)
        if fresh is None:
            return known if known is not None and now - known.at < STALE_SECONDS else None
        self._known[key] = fresh
        self._known.move_to_end(key)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return fresh

    async def _asked(self, token: str, now: float) -> _Known | None:
        for address in self._addresses:
            async with member_channel(address, self._shown(), []) as channel:
                method: grpc.aio.UnaryUnaryMultiCallable[pb.WhoAmIRequest, pb.WhoAmIResponse] = (
                    channel.unary_unary(
                        WHO_AM_I,
                        request_serializer=pb.WhoAmIRequest.SerializeToString,
                        response_deserializer=pb.WhoAmIResponse.FromString,
                    )
                )
                says = (("authorization", f"Bearer {token}"),)
                try:
                    answer = await method(
                        pb.WhoAmIRequest(), metadata=says, timeout=ANSWER_SECONDS_MAX
                    )
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                        return _Known(now, frozenset(), error.details() or "the token is refused")
                    log.warning("operator.not_known", address=address, error=error.code().name)
                    continue
                except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
                    log.warning("operator.not_known", address=address, error=repr(error))
                    continue
                return _Known(now, frozenset(answer.roles))
        return None


def server_credentials(shown: Shown) -> grpc.ServerCredentials:
    """What the query service shows: this worker's certificate as it is at each handshake."""
    last = [shown()]

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        if shown() is last[0]:
            return None
        last[0] = shown()
        return _configuration(last[0])

    fetcher: Any = fetch  # None means no change, which the stubs do not know
    return grpc.dynamic_ssl_server_credentials(_configuration(last[0]), fetcher)


def _configuration(shown: Credentials) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(shown.key.encode(), shown.chain.encode())])


def _bearer(details: grpc.HandlerCallDetails) -> str | None:
    for key, value in details.invocation_metadata or ():
        if key == "authorization" and isinstance(value, str) and value.startswith("Bearer "):
            return value.removeprefix("Bearer ") if len(value) < TOKEN_CHARACTERS_MAX else None
    return None


def _refusing(code: grpc.StatusCode, text: str) -> Handler:
    async def refuse(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, text)

    return grpc.unary_unary_rpc_method_handler(refuse)
