"""How many connections there can be, as the system counts open files.

A listener that takes connections until no file can be opened takes the outbox with it: the next
segment is a file too. So the process asks for what it needs, and where it does not get that, it
takes fewer connections.
"""

import resource
from typing import Final

import structlog
from msgspec.structs import replace

from toolreeve.proxy.http_request import HttpBounds

log = structlog.get_logger()

OWN: Final = 128  # outbox, policies, pipes of servers, the bus, the control plane
ACCEPTED_AT_ONCE: Final = 128  # connections that are there before they can be refused
EACH: Final = 2  # a connection, and one to the upstream for what came on it


def bounded_by_descriptors(bounds: HttpBounds) -> HttpBounds:
    """The same bounds with as many connections as there can be.

    Raises the process's soft limit for that, as far as the hard one goes.
    """
    wanted = OWN + ACCEPTED_AT_ONCE + EACH * bounds.connections_max
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        soft = more
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return bounds
    connections_max = max(1, (soft - OWN - ACCEPTED_AT_ONCE) // EACH)
    report = log.warning if connections_max < bounds.connections_max // 2 else log.info
    report(
        "connections.bounded",
        connections_max=connections_max,
        wanted=bounds.connections_max,
        remedy=f"let the process open {wanted} files (LimitNOFILE=, ulimit -n)",
    )
    return replace(
        bounds,
        connections_max=connections_max,
        connections_per_peer_max=min(bounds.connections_per_peer_max, connections_max),
    )
