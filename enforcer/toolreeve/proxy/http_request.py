"""One HTTP request as it came in, and the rules its head must keep.

The parser below this refuses what is malformed. Here is refused what is well-formed and still
means different things to different readers, or comes from a page that has no business here:
headers that stand twice, a `Host` or an `Origin` that is not on the list, encodings and upgrades
that nobody here speaks.
"""

from collections.abc import Collection
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from toolreeve.proxy.gate import Caller
from toolreeve.proxy.strictjson import Refused

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")

# Two of any of these would be read as the first by some and as the last by others.
_SINGLE: Final = frozenset(
    {
        b"accept-encoding",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"origin",
        b"transfer-encoding",
    }
)
_PARAM_PREFIX: Final = b"mcp-param-"
PORT_MAX: Final = 65_535


Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class HttpBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients may take, in bytes, counts and seconds.

    `..._per_peer_max` is for those who have shown no grant yet, by their address. A connection on
    which nothing is read or written any more is idle; a write is stalled when the client takes
    less than 64 KiB of what waits for it in so many seconds.
    """

    header_bytes_max: Annotated[int, Meta(ge=1_024)] = 16 * 1024
    header_count_max: Count = 100
    body_bytes_max: Annotated[int, Meta(ge=1_024, le=1 << 30)] = 4 * 1024 * 1024
    header_seconds_max: Seconds = 10.0
    body_seconds_max: Seconds = 15.0
    idle_seconds_max: Seconds = 75.0
    stalled_write_seconds_max: Seconds = 60.0
    linger_seconds_max: Seconds = 2.0
    connections_max: Count = 10_000
    connections_per_peer_max: Count = 1_024
    connections_per_grant_max: Count = 4_096
    streams_per_grant_max: Count = 1_024
    pipelined_max: Count = 16


class HttpRequest:
    """A request in the making, then whole. One object per request, never reused."""

    __slots__ = (
        "body",
        "caller",
        "chunks",
        "close",
        "endless",
        "gone",
        "header_bytes",
        "header_count",
        "headers",
        "method",
        "onward",
        "peer",
        "received_bytes",
        "refused",
        "shielded",
        "target",
        "wire_bytes",
    )

    def __init__(self, peer: str = "") -> None:
        self.peer = peer  # by what name its sender is counted, before it has shown a grant
        self.caller: Caller | None = None  # whose grant it has shown
        self.method = b""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}  # names in lower case
        self.onward: dict[object, bytes] = {}  # as written for an upstream, by who has written it
        self.header_bytes = 0
        self.header_count = 0
        self.chunks: list[bytes] = []
        self.received_bytes = 0
        self.wire_bytes = 0  # that it took to carry the body, where it came in pieces
        self.body = b""
        self.close = False  # the connection ends with the answer
        self.endless = False  # its answer is a stream without end
        self.refused: Refused | None = None
        self.gone = False  # the client has left
        self.shielded = False  # its leaving does not cancel the handler just now

    def add_header(self, name: bytes, value: bytes) -> None:
        self.header_bytes += len(name) + len(value) + 4
        self.header_count += 1
        name = name.lower()
        value = value.strip(b" \t")
        held = self.headers.get(name)
        if held is None:
            self.headers[name] = value
        elif name in _SINGLE or name.startswith(_PARAM_PREFIX):
            self.refused = self.refused or Refused(
                code="duplicate_header",
                reason=f"the header {name.decode('latin-1')} stands twice",
            )
        else:
            self.headers[name] = held + b", " + value

    def text(self, name: bytes) -> str | None:
        """A header's value, or None where it is absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def bodiless(self) -> bool:
        """Whether its head announces no body."""
        length = self.headers.get(b"content-length", b"0")
        return int(length) == 0 and b"transfer-encoding" not in self.headers

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]


class HeadRules:
    """Which names this server answers to, and from which origins a browser may come.

    `hosts` are names, with or without a port; "*" lets every name in. `origins` are whole
    origins as browsers write them. Loopback names stand on both lists always.
    """

    def __init__(
        self, bounds: HttpBounds, hosts: Collection[str] = (), origins: Collection[str] = ()
    ) -> None:
        self._bounds = bounds
        self._any_host = "*" in hosts
        self._hosts = {name.lower().encode() for name in (*LOOPBACK_NAMES, *hosts)}
        self._origins = {origin.lower().encode() for origin in origins}

    def judge(self, request: HttpRequest, version: str) -> Refused | None:
        """What is wrong with a request's head, or None."""
        headers = request.headers
        if request.refused is not None:
            return request.refused
        if (
            request.header_bytes > self._bounds.header_bytes_max
            or request.header_count > self._bounds.header_count_max
            or len(request.target) > self._bounds.header_bytes_max
        ):
            return Refused(code="headers", reason="too many or too long headers", http_status=431)
        if version != "1.1":
            return Refused(code="http_version", reason="HTTP/1.1 only", http_status=505)
        host = headers.get(b"host")
        if not host:
            return Refused(code="host", reason="a request has one Host header")
        if not self._any_host and not self._known_host(host):
            return Refused(
                code="host", reason="this server does not go by that name", http_status=421
            )
        origin = headers.get(b"origin")
        if origin is not None and not self._known_origin(origin):
            return Refused(
                code="origin", reason="pages of that origin may not call here", http_status=403
            )
        return self._coding_refused(headers)

    def _coding_refused(self, headers: dict[bytes, bytes]) -> Refused | None:
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            return Refused(code="http", reason="the only transfer encoding here is chunked")
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            return Refused(
                code="content_encoding", reason="compressed bodies are not read", http_status=415
            )
        expect = headers.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            return Refused(code="http", reason="unknown expectation", http_status=417)
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._bounds.body_bytes_max:
            return body_too_long(self._bounds)
        return None

    def _known_host(self, host: bytes) -> bool:
        host = host.lower()
        return host in self._hosts or _without_port(host) in self._hosts

    def _known_origin(self, origin: bytes) -> bool:
        origin = origin.lower()
        if origin in self._origins:
            return True
        scheme, mark, host = origin.partition(b"://")
        names = {name.encode() for name in LOOPBACK_NAMES}
        return bool(mark) and scheme in (b"http", b"https") and _without_port(host) in names


def body_too_long(bounds: HttpBounds) -> Refused:
    return Refused(
        code="body_size",
        reason=f"a body has at most {bounds.body_bytes_max} bytes",
        http_status=413,
    )


def _without_port(host: bytes) -> bytes:
    name, mark, port = host.rpartition(b":")
    return name if mark and port.isdigit() and int(port[:6]) <= PORT_MAX else host
