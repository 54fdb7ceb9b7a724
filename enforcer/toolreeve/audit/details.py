"""What an event commits to without holding it.

What a chain holds can never be taken out again, and values of arguments are what people may ask to
have erased. So an event holds only a commitment to them, and they travel beside the chain:

    commitment = sha256(salt || content)

The salt is not known to anybody once it is erased with the content, so that the commitment, which
stays in the chain for ever, does not help to guess what it was made of. Until then nobody can pass
other values off as those that were recorded.
"""

from hashlib import sha256, shake_128

from msgspec import Struct

from toolreeve.audit.event import Body, Position, event_id
from toolreeve.audit.trail import ErasureMade
from toolreeve.audit.verify import Fault, Finding

SALT_BYTES = 16


class Details(Struct, frozen=True):
    """The salt and the content beside one event."""

    salt: bytes
    content: bytes

    @property
    def commitment(self) -> bytes:
        """What the event must say."""
        return commitment(self.salt, self.content)


def commitment(salt: bytes, content: bytes) -> bytes:
    """What an event says in place of `content`."""
    return sha256(salt + content).digest()


def salts(secret: bytes, first: Position, count: int) -> list[bytes]:
    """Salts of the group that begins at `first`; without `secret` nobody can tell them from chance.

    `secret` is 32 bytes of chance that are never written down: whoever keeps it keeps the salts of
    what was erased.
    """
    place = b"%d:%d" % (first.epoch, first.sequence)
    chance = shake_128(secret + place).digest(count * SALT_BYTES)
    return [chance[at : at + SALT_BYTES] for at in range(0, len(chance), SALT_BYTES)]


class Absences:
    """Whether what is gone beside a history was erased on record.

    Takes commitments and erasures in any order; `finish` says what is missing.
    """

    def __init__(self) -> None:
        self._gone: dict[tuple[str, int], set[int]] = {}
        self._erased: dict[tuple[str, int], set[int]] = {}
        self.kept = 0
        """Events that have their details."""

    def gone(self, enforcer: str, epoch: int, sequence: int) -> None:
        """An event commits to details that are not here."""
        self._gone.setdefault((enforcer, epoch), set()).add(sequence)

    def read(self, body: Body | None) -> None:
        """Hear of an erasure; of what is none, nothing."""
        if isinstance(body, ErasureMade):
            for events in body.erased:
                place = (events.enforcer, events.epoch)
                self._erased.setdefault(place, set()).update(events.sequences)

    @property
    def erased(self) -> int:
        """How many events' details are gone, on record."""
        return sum(len(gone & self._erased.get(place, set())) for place, gone in self._gone.items())

    @property
    def unexplained(self) -> int:
        """How many events' details are gone, and no erasure says so."""
        return sum(map(len, self._gone.values())) - self.erased

    def finish(self) -> list[Finding]:
        """Every event whose details are gone, and no erasure says so."""
        return [
            Finding(
                Fault.DETAILS_MISSING,
                event_id(enforcer, Position(epoch, sequence)),
                "its details are gone, and no erasure of them is recorded here",
            )
            for (enforcer, epoch), gone in sorted(self._gone.items())
            for sequence in sorted(gone - self._erased.get((enforcer, epoch), set()))
        ]
