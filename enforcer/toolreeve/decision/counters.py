"""All counts of one enforcer: which bucket a call counts in, and several limits at once.

A bucket is one limit's count for one owner (a grant, a session, a server, the enforcer) and, with
`by`, for one combination of argument values. Values are kept and recorded only as keyed digests.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision.bucket import Amount, Bucket, Calendar, Kept, Sliding
from toolreeve.decision.call import Call
from toolreeve.decision.counted import amount_of, values_of, whose
from toolreeve.decision.instant import Instant
from toolreeve.decision.lease import SHARE
from toolreeve.decision.lease_book import LeaseBook, waiting
from toolreeve.decision.leased import WANTS, Leased
from toolreeve.decision.verdict import Reservation
from toolreeve.policy import Align, Limit, Scope, parse_pointer

BUCKETS_MAX = 100_000
BUCKETS_OF_ONE_MAX = 20_000
CALLERS_MAX = 4_096
_WINDOWS = {60: "minute", 3_600: "hour", 86_400: "day"}
SWEEP_NS = 1_000_000_000
ONE = Decimal(1)


class Exceeded(Struct, frozen=True):
    """A limit is full until `retry_at`; None where waiting does not help."""

    limit: Limit
    retry_at: Instant | None


class BadAmount(Struct, frozen=True):
    """What stands at a limit's `amount` is no finite number from 0 up."""

    limit: Limit


class Leaseless(Struct, frozen=True):
    """A limit of the whole fleet, and there is no block of it here.

    `waits_for` are the numbers of the counts for which one may come, of all such limits of the
    call; empty where none will.
    """

    limit: Limit
    waits_for: tuple[int, ...]


class PreparedLimit(Struct, frozen=True):
    """A limit with its maximum as what it counts in, and its pointers split.

    `count` is what tells its counts from those of other limits, whoever owns them; `reason` what
    the agent reads where it is full.
    """

    limit: Limit
    count: str
    calendar: bool
    maximum: Amount
    amount: tuple[str, ...] | None
    by: tuple[tuple[str, ...], ...]
    reason: str


def prepare_limits(limits: Sequence[Limit]) -> tuple[PreparedLimit, ...]:
    """Make limits ready, once per revision."""
    return tuple(
        PreparedLimit(
            limit,
            f"{limit.scope.value} {limit.window_ns} {limit.align.value} {limit.counter}",
            limit.align is Align.CALENDAR,
            limit.maximum if limit.amount is not None else int(limit.maximum),
            None if limit.amount is None else parse_pointer(limit.amount),
            tuple(parse_pointer(pointer) for pointer in limit.by),
            _reason(limit),
        )
        for limit in limits
    )


def _reason(limit: Limit) -> str:
    seconds = limit.window_ns // 1_000_000_000
    window = _WINDOWS.get(seconds, f"{seconds} seconds")
    if limit.maximum == 0:
        return "No calls."
    what = "" if limit.amount is not None else " call" if limit.maximum == 1 else " calls"
    return f"At most {limit.maximum}{what} a {window} per {limit.scope.value}."


_Refused = TypeVar("_Refused", Exceeded, BadAmount, Leaseless)

_Key = tuple[str, str, int, bool]
"""Counter, bucket, window, calendar. A new maximum keeps the count; another window begins anew."""


class KeptBucket(Struct, frozen=True, array_like=True):
    """One bucket and what it counts, as it is kept over a restart."""

    counter: str
    bucket: str
    window_ns: int
    calendar: bool
    counts: Kept


class Counters:
    """All buckets of one enforcer.

    Instants must not fall from call to call; one that does is taken as the latest seen, so a
    clock that steps back refills nothing. At the bounds on buckets, over all and for one counter,
    those that have emptied are dropped; where that makes no room, a limit that needs a new bucket
    is full: forgetting would admit. `key`, at most 64 bytes, keys the digests of the values that
    `by` points at. Until `share` says otherwise, this enforcer is a fleet of its own.
    """

    def __init__(
        self,
        key: bytes = b"",
        *,
        buckets_max: int = BUCKETS_MAX,
        buckets_of_one_max: int = BUCKETS_OF_ONE_MAX,
    ) -> None:
        self._keyed = blake2b(key=key, digest_size=16)
        self._buckets: dict[_Key, Bucket] = {}
        self._known: dict[tuple[str, str, str], dict[str, Bucket | Leased]] = {}
        self._of_one: dict[str, int] = {}
        self.leases: LeaseBook | None = None
        self._shared = frozenset[Scope]()
        self._buckets_max = buckets_max
        self._buckets_of_one_max = buckets_of_one_max
        self._latest = Instant(0)
        self._sweep_at = Instant(0)

    def share(self, leases: LeaseBook, scopes: frozenset[Scope]) -> None:
        """Count limits of these scopes in blocks that the control plane gives."""
        self.leases, self._shared = leases, scopes

    def reserve(
        self, limits: Sequence[PreparedLimit], call: Call, at: Instant
    ) -> tuple[Reservation, ...] | Exceeded | BadAmount | Leaseless:
        """Count `call` under every limit, or under none and say which one stands in the way."""
        if at < self._latest:  # noqa: PLR1730  # max() takes four times as long
            at = self._latest
        self._latest = at
        known = self._known.get((call.server, call.grant, call.session))
        if known is None:
            known = self._meet(call)
        buckets: list[Bucket | Leased] = []
        reserved: list[Reservation] = []
        short: list[tuple[PreparedLimit, Leased]] | None = None
        for prepared in limits:
            limit = prepared.limit
            amount = 1 if prepared.amount is None else amount_of(prepared.amount, call.arguments)
            if amount is None:
                return self._undone(buckets, reserved, BadAmount(limit))
            bucket = known.get(prepared.count) or self._bucket(prepared, call, known, at)
            if bucket is None:
                full = Exceeded(limit, Instant(at + limit.window_ns))
                return self._undone(buckets, reserved, full)
            if bucket in buckets:
                continue  # the same counter twice on one call counts once
            free_at = bucket.admit(amount, prepared.maximum, at)
            if free_at != at:
                if free_at is WANTS and isinstance(bucket, Leased):
                    short = [*(short or ()), (prepared, bucket)]
                    continue  # and see what else stands in the way
                return self._undone(buckets, reserved, Exceeded(limit, free_at))
            buckets.append(bucket)
            one = Reservation(
                counter=limit.counter,
                bucket=bucket.owner,
                window_ns=limit.window_ns,
                calendar=prepared.calendar,
                amount=ONE if prepared.amount is None else Decimal(amount),
                at=at,
                refund_on=limit.refund_on,
            )
            if bucket.lease:
                one = replace(one, lease=bucket.lease, maximum=limit.maximum)
            reserved.append(one)
        if short is not None:
            waits_for = waiting(bucket for _, bucket in short)
            if (waits_for and not call.waited) or not self._share_out(short, call, reserved, at):
                return self._undone(buckets, reserved, Leaseless(short[0][0].limit, waits_for))
        return tuple(reserved)

    def _share_out(
        self,
        short: list[tuple[PreparedLimit, Leased]],
        call: Call,
        reserved: list[Reservation],
        at: Instant,
    ) -> bool:
        """Count in this enforcer's own shares what has no block, all or none of it."""
        counted: list[Reservation] = []
        for prepared, leased in short:
            limit = prepared.limit
            amount = 1 if prepared.amount is None else amount_of(prepared.amount, call.arguments)
            assert amount is not None, "it was read before"
            key = (limit.counter, leased.owner, limit.window_ns, prepared.calendar)
            share = leased.share(at)
            bucket = self._buckets.get(key)
            if bucket is None and share and not self._full(limit.counter):
                bucket = self._make(key)
            if bucket is None or bucket.admit(amount, share, at) != at:
                for one in counted:
                    self._buckets[_key_of(one)].withdraw(_counted(one))
                return False
            counted.append(
                Reservation(
                    counter=limit.counter,
                    bucket=leased.owner,
                    window_ns=limit.window_ns,
                    calendar=prepared.calendar,
                    amount=ONE if prepared.amount is None else Decimal(amount),
                    at=at,
                    refund_on=limit.refund_on,
                    lease=SHARE,
                    maximum=limit.maximum,
                )
            )
        reserved += counted
        return True

    def _undone(
        self, buckets: list[Bucket | Leased], reserved: list[Reservation], refused: _Refused
    ) -> _Refused:
        for bucket, reservation in zip(buckets, reserved, strict=True):
            bucket.withdraw(_counted(reservation))
        return refused

    def restore(self, reservation: Reservation) -> None:
        """Count again what was counted before a restart. They come in the order of time.

        What was counted in a lease stands in the fleet's ledger; the lease itself is forgotten.
        """
        if reservation.lease not in {"", SHARE}:
            return
        at = self._latest = max(reservation.at, self._latest)
        key = _key_of(reservation)
        bucket = self._buckets.get(key) or self._make(key)
        bucket.enter(_counted(reservation), at)

    def kept(self) -> tuple[KeptBucket, ...]:
        """Everything that is counted, for `take_up` after a restart."""
        return tuple(
            KeptBucket(*key, bucket.kept())
            for key, bucket in self._buckets.items()
            if not bucket.empty(self._latest)
        )

    def take_up(self, kept: Iterable[KeptBucket], latest: Instant) -> None:
        """Go on from what was kept at `latest`. Nothing may be counted here yet."""
        self._latest = latest
        for one in kept:
            key = (one.counter, one.bucket, one.window_ns, one.calendar)
            self._make(key).take_up(one.counts)

    def refund(self, reservation: Reservation, at: Instant) -> bool:
        """Give back what one reservation counted, never after its window.

        Whoever holds the reservation gives it back at most once. False where nothing changed.
        """
        at = self._latest = max(at, self._latest)
        counted = _counted(reservation)
        if reservation.lease not in {"", SHARE}:
            book, key = self.leases, _key_of(reservation)
            return book is not None and book.refund(key, reservation.lease, counted, at)
        bucket = self._buckets.get(_key_of(reservation))
        return bucket is not None and bucket.take_back(counted, reservation.at, at)

    def _meet(self, call: Call) -> dict[str, Bucket | Leased]:
        if len(self._known) >= CALLERS_MAX:
            self._known.clear()
        known = self._known[call.server, call.grant, call.session] = {}
        return known

    def _bucket(
        self, prepared: PreparedLimit, call: Call, known: dict[str, Bucket | Leased], at: Instant
    ) -> Bucket | Leased | None:
        """What a call counts in under a limit; None where that is new and there is no room."""
        limit = prepared.limit
        key = (limit.counter, self._owner(prepared, call), limit.window_ns, prepared.calendar)
        if self.leases is not None and limit.scope in self._shared:
            leased = self.leases.bucket(
                key,
                server=call.server,
                spends=prepared.amount is not None,
                keep=not prepared.by,
                at=at,
                shares=limit.shares > 0,
            )
            if leased is not None and not prepared.by:
                known[prepared.count] = leased
            return leased
        bucket = self._buckets.get(key)
        if bucket is None:
            if self._full(limit.counter):
                self._sweep(at)
                if self._full(limit.counter):
                    return None
            bucket = self._make(key)
        if not prepared.by:
            known[prepared.count] = bucket
        return bucket

    def _owner(self, prepared: PreparedLimit, call: Call) -> str:
        owner = whose(prepared.limit.scope, call)
        if not prepared.by:
            return owner
        # Every enforcer must come to the same name for a count that they share.
        plain = prepared.limit.scope in self._shared
        digest = blake2b(digest_size=16) if plain else self._keyed.copy()
        digest.update(values_of(prepared.by, call.arguments))
        return f"{owner} by {digest.hexdigest()}"

    def _make(self, key: _Key) -> Bucket:
        counter, owner, window_ns, calendar = key
        bucket = Calendar(window_ns, owner) if calendar else Sliding(window_ns, owner)
        self._buckets[key] = bucket
        self._of_one[counter] = self._of_one.get(counter, 0) + 1
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
        for known in self._known.values():
            known.clear()  # also the one in use: nothing may be counted in a bucket that is dropped
        for key in [key for key, bucket in self._buckets.items() if bucket.empty(at)]:
            del self._buckets[key]
            self._of_one[key[0]] -= 1


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
