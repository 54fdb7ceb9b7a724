"""All counts of one enforcer that its fleet shares."""

from collections.abc import Iterable

from toolreeve.decision.bucket import Amount
from toolreeve.decision.instant import SECOND, Instant
from toolreeve.decision.lease import LeaseAsk, LeaseGiven
from toolreeve.decision.leased import Key, Leased

ANSWER_NS_MAX = 2 * SECOND


class LeaseBook:
    """Hands out names for leases, and the answers to the counts that asked.

    `prefix` begins the names of its leases; no other book of this enforcer may ever have the same.
    `share` names the counts that lie on this enforcer's disk: as long as they do, it is the same.
    Until `connect` says otherwise nobody is there to be asked.
    """

    def __init__(self, prefix: str, *, share: str = "", buckets_max: int = 20_000) -> None:
        self.connected = False
        self.moved = False
        self._prefix = prefix
        self._share = share
        self._serial = 0
        self._buckets_max = buckets_max
        self._buckets: dict[Key, Leased] = {}
        self._noted: dict[int, Leased] = {}
        self._pending: dict[str, Leased] = {}
        self._numbers = 0

    def bucket(
        self,
        key: Key,
        *,
        server: str,
        spends: bool,
        keep: bool,
        at: Instant,
        shares: bool = False,
    ) -> Leased | None:
        """The count under `key`; None where it is new and there is no room.

        `keep`: whoever asks remembers it, so it is never dropped. `shares`: the limit leaves room
        for a share of this enforcer's own.
        """
        found = self._buckets.get(key)
        if found is None or found.spends != spends:
            if len(self._buckets) >= self._buckets_max and not keep:
                self._sweep(at)
                if len(self._buckets) >= self._buckets_max:
                    return None
            self._numbers += 1
            share = self._share if shares else ""
            found = Leased(self, self._numbers, key, server=server, spends=spends, share=share)
            self._buckets[key] = found
        return found

    def note(self, bucket: Leased) -> None:
        """Something is to be asked for `bucket`."""
        self._noted[bucket.number] = bucket
        self.moved = True

    def take(self, at: Instant) -> list[LeaseAsk]:
        """What is to be asked now."""
        self.moved = False
        if not self.connected:
            return []
        noted, self._noted = self._noted, {}
        asks: list[LeaseAsk] = []
        for bucket in noted.values():
            if bucket.asked is not None:
                continue
            self._serial += 1
            ask = bucket.ask(f"{self._prefix}-{self._serial:x}", at)
            if ask is not None:
                self._pending[ask.lease_id] = bucket
                asks.append(ask)
        return asks

    def given(self, answer: LeaseGiven, at: Instant) -> int | None:
        """Take up an answer: whose number it was for; None for one that nobody waits for."""
        bucket = self._pending.pop(answer.lease_id, None)
        if bucket is None:
            return None
        bucket.given(answer, at)
        if bucket.owed:
            self.note(bucket)
        return bucket.number

    def connect(self, *, connected: bool, at: Instant) -> list[int]:
        """The stream to the control plane is up, or lost: the numbers nobody need wait for."""
        self.connected = connected
        lost = [*self._pending.values(), *self._noted.values()]
        self._pending.clear()
        for bucket in lost:
            bucket.lose(at)
        for bucket in self._buckets.values():
            if connected and bucket.owed:
                self.note(bucket)
        return [bucket.number for bucket in lost]

    def tick(self, at: Instant) -> list[int]:
        """From time to time: tell back what has died, and wait no longer for what never comes."""
        late = [
            (lease_id, bucket)
            for lease_id, bucket in self._pending.items()
            if bucket.asked_at + ANSWER_NS_MAX <= at
        ]
        for lease_id, bucket in late:
            del self._pending[lease_id]
            bucket.lose(at)
        for bucket in self._buckets.values():
            if not bucket.idle:
                bucket.expire(at)
            if bucket.owed or bucket.share_due(at):
                self.note(bucket)
        return [bucket.number for _, bucket in late]

    def refund(self, key: Key, lease: str, amount: Amount, at: Instant) -> bool:
        """Give back what was counted in one block, while it may be used."""
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.refund(lease, amount, at)

    def _sweep(self, at: Instant) -> None:
        for key, bucket in tuple(self._buckets.items()):
            bucket.expire(at)
            if bucket.idle and " by " in bucket.owner:
                del self._buckets[key]


def waiting(buckets: Iterable[Leased]) -> tuple[int, ...]:
    """The numbers of those from which an answer is to come."""
    return tuple(bucket.number for bucket in buckets if bucket.waits)
