"""Who takes how much room: connections, and streams on them, by who holds them.

A connection is a stranger's until a request on it has shown a grant; then it is the grant's. A
stranger waits in no one's way: where there is no room for one more connection, the stranger that
has waited longest goes, not the one that has just come. So whoever opens connections and says
nothing pushes out its own, while a client that says at once who it is hardly ever is.
"""

import ipaddress
from typing import Final, Generic, Protocol, TypeVar, cast

from toolreeve.proxy.http_request import HttpBounds
from toolreeve.proxy.strictjson import Refused

NETWORK_BITS: Final = 64  # of an IPv6 address: what one site is usually given

HOUSE_FULL: Final = Refused(
    code="connections", reason="too many connections are open here", http_status=503
)
GRANT_FULL: Final = Refused(
    code="connections", reason="too many connections are open under this grant", http_status=429
)
STREAMS_FULL: Final = Refused(
    code="streams", reason="too many streams are open under this grant", http_status=429
)


class Occupant(Protocol):
    """A connection."""

    def make_room(self) -> None:
        """Go: the room is needed."""
        ...


One = TypeVar("One", bound=Occupant)


class Occupancy(Generic[One]):
    """All connections of a listener."""

    def __init__(self, bounds: HttpBounds) -> None:
        self._bounds = bounds
        self._strangers: dict[One, str] = {}  # to their peers, the longest here first
        self._peers: dict[str, dict[One, None]] = {}
        self._proven: dict[One, str] = {}  # to their grants
        self._grants: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._strangers) + len(self._proven)

    def enter(self, one: One, peer: str) -> bool:
        """A connection has come; False where nobody makes room for it."""
        bounds = self._bounds
        of_peer = self._peers.get(peer, {})
        if len(of_peer) >= bounds.connections_per_peer_max:
            self._dismiss(next(iter(of_peer)))
        elif len(self) >= bounds.connections_max:
            if not self._strangers:
                return False
            self._dismiss(next(iter(self._strangers)))
        self._strangers[one] = peer
        self._peers.setdefault(peer, {})[one] = None
        return True

    def prove(self, one: One, grant: str) -> Refused | None:
        """A request on this connection has shown a grant; it may be another one than before."""
        held = self._proven.get(one)
        if held == grant:
            return None
        count = self._grants.get(grant, 0)
        if count >= self._bounds.connections_per_grant_max:
            return GRANT_FULL
        self.leave(one)
        self._proven[one] = grant
        self._grants[grant] = count + 1
        return None

    def leave(self, one: One) -> None:
        """The connection is over, or is nobody's for the moment."""
        grant = self._proven.pop(one, None)
        if grant is not None:
            _less(self._grants, grant)
            return
        peer = self._strangers.pop(one, None)
        if peer is not None:
            of_peer = self._peers[peer]
            del of_peer[one]
            if not of_peer:
                del self._peers[peer]

    def _dismiss(self, one: One) -> None:
        self.leave(one)
        one.make_room()


class Streams:
    """Streams without end, by grant."""

    def __init__(self, per_grant_max: int) -> None:
        self._per_grant_max = per_grant_max
        self._open: dict[str, int] = {}

    def begin(self, grant: str) -> Refused | None:
        """One more; `end` it when it is over, unless this refuses."""
        count = self._open.get(grant, 0)
        if count >= self._per_grant_max:
            return STREAMS_FULL
        self._open[grant] = count + 1
        return None

    def end(self, grant: str) -> None:
        _less(self._open, grant)


def peer_of(address: object) -> str:
    """By what name a socket's other end is counted: its address, of IPv6 the network."""
    host = str(cast(tuple[object, ...], address)[0]) if isinstance(address, tuple) else ""
    if ":" not in host:
        return host
    try:
        number = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if number.ipv4_mapped is not None:
        return str(number.ipv4_mapped)
    return str(ipaddress.IPv6Network((number, NETWORK_BITS), strict=False))


def _less(counts: dict[str, int], key: str) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
