"""All counts of one enforcer: which bucket a call counts in, and several limits at once.

A bucket is one limit's count for one owner (a grant, a session, a server, the enforcer) and, with
`by`, for one combination of argument values. Values are kept and recorded only as keyed digests.
"""

import hmac
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256

from msgspec import Struct

from toolreeve.decision.bucket import Amount, Bucket, Calendar, Sliding
from toolreeve.decision.call import Call
from toolreeve.decision.instant import Instant
from toolreeve.decision.verdict import Reservation
from toolreeve.policy import Align, Limit, Scope, canonical_json, parse_pointer, resolve

BUCKETS_MAX = 100_000
BUCKETS_OF_ONE_MAX = 20_000
SWEEP_NS = 1_000_000_000
ONE = Decimal(1)


class Exceeded(Struct, frozen=True):
    """A limit is full until `retry_at`; None where waiting does not help."""

    limit: Limit
    retry_at: Instant | None


class BadAmount(Struct, frozen=True):
    """What stands at a limit's `amount` is no finite number from 0 up."""

    limit: Limit


class PreparedLimit(Struct, frozen=True):
    """A limit with its maximum as what it counts in, and its pointers split."""

    limit: Limit
    maximum: Amount
    amount: tuple[str, ...] | None
    by: tuple[tuple[str, ...], ...]


def prepare_limits(limits: Sequence[Limit]) -> tuple[PreparedLimit, ...]:
    """Make limits ready, once per revision."""
    return tuple(
        PreparedLimit(
            limit,
            limit.maximum if limit.amount is not None else int(limit.maximum),
            None if limit.amount is None else parse_pointer(limit.amount),
            tuple(parse_pointer(pointer) for pointer in limit.by),
        )
        for limit in limits
    )


_Key = tuple[str, str, int, bool]
"""Counter, bucket, window, calendar. A new maximum keeps the count; another window begins anew."""


class Counters:
    """All buckets of one enforcer.

    Instants must not fall from call to call; one that does is taken as the latest seen, so a
    clock that steps back refills nothing. At the bounds on buckets, over all and for one counter,
    those that have emptied are dropped; where that makes no room, a limit that needs a new bucket
    is full: forgetting would admit. `key` keys the digests of the values that `by` points at.
    """

    def __init__(
        self,
        key: bytes = b"",
        *,
        buckets_max: int = BUCKETS_MAX,
        buckets_of_one_max: int = BUCKETS_OF_ONE_MAX,
    ) -> None:
        self._key = key
        self._buckets: dict[_Key, Bucket] = {}
        self._of_one: dict[str, int] = {}
        self._buckets_max = buckets_max
        self._buckets_of_one_max = buckets_of_one_max
        self._latest = Instant(0)
        self._sweep_at = Instant(0)

    def reserve(
        self, limits: Sequence[PreparedLimit], call: Call, at: Instant
    ) -> tuple[Reservation, ...] | Exceeded | BadAmount:
        """Count `call` under every limit, or under none and say which one stands in the way."""
        at = self._latest = max(at, self._latest)
        room: list[tuple[PreparedLimit, str, Bucket, Amount]] = []
        for prepared in limits:
            amount = _amount(prepared, call.arguments)
            if amount is None:
                return BadAmount(prepared.limit)
            owner = self._owner(prepared, call)
            bucket = self._bucket(prepared.limit, owner, at)
            if bucket is None:
                return Exceeded(prepared.limit, Instant(at + prepared.limit.window_ns))
            if room and any(seen is bucket for _, _, seen, _ in room):
                continue  # the same counter twice on one call counts once
            free_at = bucket.free_at(amount, prepared.maximum, at)
            if free_at != at:
                return Exceeded(prepared.limit, free_at)
            room.append((prepared, owner, bucket, amount))
        for _, _, bucket, amount in room:
            bucket.enter(amount, at)
        return tuple(
            Reservation(
                counter=prepared.limit.counter,
                bucket=owner,
                window_ns=prepared.limit.window_ns,
                calendar=prepared.limit.align is Align.CALENDAR,
                amount=ONE if amount == 1 else Decimal(amount),
                at=at,
                refund_on=prepared.limit.refund_on,
            )
            for prepared, owner, _, amount in room
        )

    def restore(self, reservation: Reservation) -> None:
        """Count again what was counted before a restart. They come in the order of time."""
        at = self._latest = max(reservation.at, self._latest)
        key = _key_of(reservation)
        bucket = self._buckets.get(key) or self._make(key)
        bucket.enter(_counted(reservation), at)

    def refund(self, reservation: Reservation, at: Instant) -> bool:
        """Give back what one reservation counted, never after its window.

        Whoever holds the reservation gives it back at most once. False where nothing changed.
        """
        at = self._latest = max(at, self._latest)
        bucket = self._buckets.get(_key_of(reservation))
        counted = _counted(reservation)
        return bucket is not None and bucket.take_back(counted, reservation.at, at)

    def _owner(self, prepared: PreparedLimit, call: Call) -> str:
        match prepared.limit.scope:
            case Scope.GRANT:
                owner = f"grant {call.server} {call.grant}"
            case Scope.SESSION:
                owner = f"session {call.server} {call.grant} {call.session}"
            case Scope.SERVER:
                owner = f"server {call.server}"
            case Scope.ENFORCER:
                owner = "enforcer"
        if not prepared.by:
            return owner
        values = [resolve(call.arguments, keys) for keys in prepared.by]
        digest = hmac.digest(self._key, canonical_json(values), sha256)
        return f"{owner} by {digest[:16].hex()}"

    def _bucket(self, limit: Limit, owner: str, at: Instant) -> Bucket | None:
        key = (limit.counter, owner, limit.window_ns, limit.align is Align.CALENDAR)
        bucket = self._buckets.get(key)
        if bucket is not None:
            return bucket
        if self._full(limit.counter):
            self._sweep(at)
            if self._full(limit.counter):
                return None
        return self._make(key)

    def _make(self, key: _Key) -> Bucket:
        bucket = self._buckets[key] = Calendar(key[2]) if key[3] else Sliding(key[2])
        self._of_one[key[0]] = self._of_one.get(key[0], 0) + 1
        return bucket

    def _full(self, counter: str) -> bool:
        return (
            len(self._buckets) >= self._buckets_max
            or self._of_one.get(counter, 0) >= self._buckets_of_one_max
        )

    def _sweep(self, at: Instant) -> None:
        """Drop the buckets that have emptied; at most once a second, for it takes long."""
        if at < self._sweep_at:
            return
        self._sweep_at = Instant(at + SWEEP_NS)
        for key in [key for key, bucket in self._buckets.items() if bucket.empty(at)]:
            del self._buckets[key]
            self._of_one[key[0]] -= 1


def _amount(prepared: PreparedLimit, arguments: Mapping[str, object]) -> Amount | None:
    """What the call counts; None where it is no finite number from 0 up."""
    if prepared.amount is None:
        return 1
    _, value = resolve(arguments, prepared.amount)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or value < 0:
        return None
    return Decimal(value) if isinstance(value, int) else Decimal(str(value))


def _key_of(reservation: Reservation) -> _Key:
    return (
        reservation.counter,
        reservation.bucket,
        reservation.window_ns,
        reservation.calendar,
    )


def _counted(reservation: Reservation) -> Amount:
    """As the bucket counts it: whole amounts in plain integers, which are quicker."""
    whole = int(reservation.amount)
    return whole if whole == reservation.amount else reservation.amount
