"""Which refusals are recorded one by one, and which are only counted.

Every refused request is worth an event, until somebody sends nothing else: a flood would fill the
disk with the same line, and honest calls would wait for it. So each sender has an allowance of
events, and all strangers together have one; what goes beyond it is counted, and a summary says how
often. The first refusal of each kind is recorded whatever the allowance. Each refused request is in
the sum of the events' counts, whichever way it went. Calls that are let through are always
recorded; denied ones are up to a far larger allowance of the grant.
"""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from toolreeve.audit import RequestRefused
from toolreeve.decision import SECOND, Instant

UPSTREAM = "upstream"  # the transport of what a server said
CALL = "call"  # the transport of a call that was denied
DENIED_OFTEN = "denied_often"
DENIED_REASON = "calls that the policy denied"
MANY = "many senders"
SUMMARIES_MAX = 64

_Kind = tuple[str, str, str, str]


class Sampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many events refused requests may make.

    `per_second` and `burst` are for one sender: a grant, or the address of a stranger.
    `strangers_per_second` and `strangers_burst` are for all strangers together; at most
    `strangers_max` of them are told apart. `denied_per_second` and `denied_burst` are for the
    denied calls of one grant. What is counted is summed up each `summary_seconds`.
    """

    per_second: Annotated[float, Meta(gt=0)] = 5.0
    burst: Annotated[int, Meta(ge=1)] = 100
    strangers_per_second: Annotated[float, Meta(gt=0)] = 10.0
    strangers_burst: Annotated[int, Meta(ge=1)] = 200
    strangers_max: Annotated[int, Meta(ge=1)] = 1_024
    denied_per_second: Annotated[float, Meta(gt=0)] = 50.0
    denied_burst: Annotated[int, Meta(ge=1)] = 5_000
    summary_seconds: Annotated[float, Meta(gt=0)] = 10.0


class _Allowance:
    """Events that may be written now: so many a second, and no more than a burst saved up."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, per_second: float, burst: int, at: Instant) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._left = self._burst
        self._at = at

    def take(self, at: Instant) -> bool:
        earned = (at - self._at) * self._per_second / SECOND
        self._left = min(self._left + earned, self._burst)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def full_at(self, at: Instant) -> bool:
        """Whether nothing is missing, so that it says no more than a new one."""
        return self._left + (at - self._at) * self._per_second / SECOND >= self._burst


class RefusalSampler:
    """Decides for each refusal, and keeps count of those that are not recorded by themselves."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._kinds: set[_Kind] = set()  # of which one has been recorded
        self._senders: dict[str, _Allowance] = {}  # grants, and servers that misbehave
        self._strangers: dict[str, _Allowance] = {}
        self._denied: dict[
            str, _Allowance
        ] = {}  # grants, of which there are as many as settings name
        self._all_strangers: _Allowance | None = None
        self._looked_at = Instant(0)  # when quiet strangers were last let go
        self._counted: dict[tuple[str, _Kind], RequestRefused] = {}

    def takes(self, refused: RequestRefused, peer: str, at: Instant) -> bool:
        """Whether this one is to be recorded by itself; else it has been counted.

        `peer` is the address of a sender that has shown no grant, else empty.
        """
        kind = (refused.server, refused.grant, refused.transport, refused.code)
        if peer:
            sender, may = self._stranger(peer, at)
        else:
            from_server = refused.transport == UPSTREAM or not refused.grant
            sender = f"server {refused.server}" if from_server else refused.grant
            may = self._allowance(self._senders, sender, at).take(at)
        if kind not in self._kinds:
            self._kinds.add(kind)
            return True
        if not may:
            self._count(refused, sender, kind)
        return may

    def takes_denied(self, server: str, grant: str, at: Instant) -> bool:
        """Whether a denied call is to be recorded by itself; else it has been counted."""
        allowance = self._denied.get(grant)
        if allowance is None:
            sampling = self._sampling
            allowance = _Allowance(sampling.denied_per_second, sampling.denied_burst, at)
            self._denied[grant] = allowance
        if allowance.take(at):
            return True
        refused = RequestRefused(
            server=server, grant=grant, code=DENIED_OFTEN, reason=DENIED_REASON, transport=CALL
        )
        self._count(refused, grant, (server, grant, CALL, DENIED_OFTEN))
        return False

    @property
    def counts(self) -> bool:
        """Whether something has been counted since the last summaries."""
        return bool(self._counted)

    def summaries(self) -> list[RequestRefused]:
        """What has been counted, one for each sender and kind; counting begins anew."""
        counted, self._counted = self._counted, {}
        return list(counted.values())

    def _stranger(self, peer: str, at: Instant) -> tuple[str, bool]:
        """By which name a stranger is counted, and whether it may have an event."""
        sampling = self._sampling
        if peer not in self._strangers and len(self._strangers) >= sampling.strangers_max:
            self._forget(at)
            if len(self._strangers) >= sampling.strangers_max:
                peer = MANY
        if self._all_strangers is None:
            self._all_strangers = _Allowance(
                sampling.strangers_per_second, sampling.strangers_burst, at
            )
        mine = self._allowance(self._strangers, peer, at).take(at)
        return peer, mine and self._all_strangers.take(at)

    def _allowance(self, of: dict[str, _Allowance], sender: str, at: Instant) -> _Allowance:
        found = of.get(sender)
        if found is None:
            found = of[sender] = _Allowance(self._sampling.per_second, self._sampling.burst, at)
        return found

    def _forget(self, at: Instant) -> None:
        """Let go of strangers who have been quiet; looked for once a second at most."""
        if at < self._looked_at + SECOND:
            return
        self._looked_at = at
        for name, allowance in tuple(self._strangers.items()):
            if allowance.full_at(at):
                del self._strangers[name]

    def _count(self, refused: RequestRefused, sender: str, kind: _Kind) -> None:
        key = (sender, kind)
        if key not in self._counted and len(self._counted) >= SUMMARIES_MAX:
            # Summaries are events too: beyond so many, only what happened is told apart.
            refused = replace(refused, server="", grant="")
            sender, kind = MANY, ("", "", refused.transport, refused.code)
            key = (sender, kind)
        sofar = self._counted.get(key)
        if sofar is None:
            reason = f"{refused.reason} (counted, not recorded one by one; from {sender})"
            self._counted[key] = replace(refused, reason=reason, method="", wire_tool="")
            return
        self._counted[key] = replace(
            sofar,
            count=sofar.count + refused.count,
            request_bytes=sofar.request_bytes + refused.request_bytes,
        )
