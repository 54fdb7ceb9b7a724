"""Which headers cross the proxy, in each direction."""

from collections.abc import Mapping
from typing import Final

from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.mcp_headers import (
    METHOD_HEADER,
    NAME_HEADER,
    PARAM_PREFIX,
    SESSION_HEADER,
    Era,
)

_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
    }
)
# The client's credentials are for us; its origin has been judged; where it came from is not the
# upstream's to trust; bodies are asked for uncompressed.
_KEPT_BACK: Final = _HOP | {
    b"authorization",
    b"cookie",
    b"host",
    b"origin",
    b"expect",
    b"accept-encoding",
    b"content-encoding",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
}
# A login, a redirect or a cookie of the upstream's would lead the client past us; others speak for
# this origin to a browser, or give orders to a web server in front of us.
_NOT_RETURNED: Final = _HOP | {
    b"alt-svc",
    b"clear-site-data",
    b"content-encoding",
    b"content-location",
    b"date",
    b"link",
    b"location",
    b"nel",
    b"refresh",
    b"report-to",
    b"reporting-endpoints",
    b"server",
    b"service-worker-allowed",
    b"set-cookie",
    b"set-cookie2",
    b"sourcemap",
    b"strict-transport-security",
    b"www-authenticate",
}
_NOT_RETURNED_PREFIXES: Final = (b"access-control-", b"x-accel-", b"x-sendfile", b"x-lighttpd-")
_LAST_EVENT: Final = b"last-event-id"


def sent_on(request: HttpRequest, era: Era) -> list[tuple[bytes, bytes]]:
    """The client's headers as they go to the upstream."""
    named = request.headers.get(b"connection")
    also = {part.strip().lower() for part in named.split(b",")} if named else ()
    headers: list[tuple[bytes, bytes]] = []
    for name, value in request.headers.items():
        if name in _KEPT_BACK or name in also or b"_" in name:
            continue
        if era is Era.STATELESS:
            if name in (SESSION_HEADER, _LAST_EVENT):
                continue
        elif name in (METHOD_HEADER, NAME_HEADER) or name.startswith(PARAM_PREFIX):
            continue
        headers.append((name, value))
    return headers


def returned(headers: Mapping[bytes, bytes], era: Era) -> list[tuple[bytes, bytes]]:
    """The upstream's headers as they come back to the client."""
    return [
        (name, value)
        for name, value in headers.items()
        if name not in _NOT_RETURNED
        and not name.startswith(_NOT_RETURNED_PREFIXES)
        and not (era is Era.STATELESS and name == SESSION_HEADER)
    ]


def answering_back(request: HttpRequest, era: Era) -> list[tuple[bytes, bytes]]:
    """The headers of an answer of ours to what the upstream asked on a stream of the client's."""
    headers = [
        (name, value)
        for name, value in sent_on(request, era)
        if name not in (b"accept", b"content-type", _LAST_EVENT)
    ]
    return [
        *headers,
        (b"accept", b"application/json, text/event-stream"),
        (b"content-type", b"application/json"),
    ]
