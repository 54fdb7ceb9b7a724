"""Whether an exported history is the one that its enforcer vouched for.

A chain can be made anew by whoever holds the disk; a seal cannot, without the key. A seal names a
head, and the head names everything before it, also of earlier epochs: so the last seal that holds
vouches for all that stands before it, and only what comes behind it rests on the chain alone.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from toolreeve.audit.event import Body, EnforcerStarted, Position, event_id
from toolreeve.audit.seal import sealed_text
from toolreeve.audit.trail import HeadSealed
from toolreeve.audit.verify import Evidence, Fault, Finding

HEADS_KEPT = 100_000
"""So many events may stand between a seal and what it seals: a few milliseconds' worth do."""

Verifies = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message) to whether it holds."""


class Vouched(Struct, kw_only=True):
    """What is known of one enforcer's seals. `until` is the last event that one vouches for."""

    keys: list[bytes] = []
    seals: int = 0
    unchecked: int = 0
    until: Position | None = None
    last: Position | None = None


class Vouching:
    """Takes events in the order of the export. `pinned` are public keys by enforcer."""

    def __init__(self, verifies: Verifies, pinned: Mapping[str, bytes]) -> None:
        self._verifies = verifies
        self._pinned = pinned
        self._epoch: tuple[str, int] | None = None
        self._key: bytes | None = None
        self._heads = _Heads()
        self.enforcers: dict[str, Vouched] = {}

    def take(self, event: Evidence, body: Body | None) -> list[Finding]:
        """What the next event's seal says of the events before it. `body` may be None for others.

        Only events of kinds EnforcerStarted and HeadSealed need a body.
        """
        known = self.pass_over(event.enforcer, event.epoch, event.sequence, [event.head])
        if isinstance(body, EnforcerStarted) and body.public_key:
            return self._begin(event, body.public_key, known)
        if isinstance(body, HeadSealed):
            return self._judge(event, body, known)
        return []

    def pass_over(
        self, enforcer: str, epoch: int, first_sequence: int, heads: Sequence[bytes]
    ) -> Vouched:
        """Take events that vouch for nothing, by the head behind each; what is known so far."""
        known = self.enforcers.setdefault(enforcer, Vouched())
        if self._epoch != (enforcer, epoch):
            self._epoch = (enforcer, epoch)
            self._key = self._pinned.get(enforcer)
            self._heads.clear()
        if heads:
            known.last = Position(epoch, first_sequence + len(heads) - 1)
            self._heads.put(first_sequence, heads)
        return known

    def all_keys(self) -> dict[str, list[bytes]]:
        """The keys of each enforcer: those that its history names, and the one that was pinned."""
        keys = {name: [*known.keys] for name, known in self.enforcers.items()}
        for name, key in self._pinned.items():
            keys[name] = [key]
        return keys

    def finish(self) -> list[Finding]:
        """What is wrong with those whose key was pinned, and who never used it."""
        return [
            Finding(Fault.FOREIGN, enforcer, "no seal here is by the key that you named")
            for enforcer, known in self.enforcers.items()
            if enforcer in self._pinned and known.until is None
        ]

    def _begin(self, event: Evidence, key: bytes, known: Vouched) -> list[Finding]:
        if key not in known.keys:
            known.keys.append(key)
        pinned = self._pinned.get(event.enforcer)
        if pinned is not None and pinned != key:
            name = event_id(event.enforcer, Position(event.epoch, event.sequence))
            what = "this epoch has another key than the one that you named"
            return [Finding(Fault.FOREIGN, name, what)]
        self._key = key
        return []

    def _judge(self, event: Evidence, seal: HeadSealed, known: Vouched) -> list[Finding]:
        name = event_id(event.enforcer, Position(event.epoch, event.sequence))
        if self._key is None:  # the export begins in the middle of an epoch
            known.unchecked += 1
            return []
        sealed = Position(event.epoch, seal.sequence)
        text = sealed_text(event.enforcer, sealed, seal.head)
        if not self._verifies(self._key, seal.signature, text):
            return [Finding(Fault.FOREIGN, name, "this seal is not signed with its epoch's key")]
        head = self._heads.get(seal.sequence)
        if head is None:
            known.unchecked += 1
            return []
        if head != seal.head:
            first = (
                1
                if known.until is None or known.until.epoch != event.epoch
                else (known.until.sequence + 1)
            )
            where = event_id(event.enforcer, Position(event.epoch, first))
            what = f"from here to {seal.sequence} this is not the history that was sealed"
            return [Finding(Fault.EDITED, where, what)]
        known.seals += 1
        known.until = sealed
        return []


class _Heads:
    """The newest heads of one epoch, by sequence: HEADS_KEPT at least. Mostly they come in rows."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, Sequence[bytes]]] = deque()
        self._count = 0

    def put(self, first: int, heads: Sequence[bytes]) -> None:
        self._rows.append((first, heads))
        self._count += len(heads)
        while self._count - len(self._rows[0][1]) >= HEADS_KEPT:
            self._count -= len(self._rows.popleft()[1])

    def get(self, sequence: int) -> bytes | None:
        """The head that came last for a sequence."""
        if not self._rows or sequence < self._rows[0][0]:
            return None
        for first, heads in reversed(self._rows):
            if first <= sequence:
                return heads[sequence - first] if sequence < first + len(heads) else None
        return None

    def clear(self) -> None:
        self._rows.clear()
        self._count = 0
