"""What stands in the log of all histories, and what is still to be added to it."""

from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct

from toolreeve.audit import LoggedGroups, Position
from toolreeve.audit.merkle import inclusion_proof, leaf_hash
from toolreeve.audit.note import Checkpoint
from toolreeve.audit.seal import logged_text
from toolreeve.warehouse.store import Warehouse

_FETCH = 5_000
_GROUP = "enforcer, epoch, first_sequence, last_sequence"


class Leaf(Struct, frozen=True):
    """A group as the log has it: where it stands in its history, and the head behind it."""

    enforcer: str
    epoch: int
    first_sequence: int
    last_sequence: int
    head: bytes

    @property
    def hash(self) -> bytes:
        """Under which it stands in the tree."""
        first = Position(self.epoch, self.first_sequence)
        return leaf_hash(logged_text(self.enforcer, first, self.last_sequence, self.head))

    def is_before(self, other: "Leaf") -> bool:
        """Whether `other` is the very next group of the same epoch."""
        here = (self.enforcer, self.epoch, self.last_sequence + 1)
        return here == (other.enforcer, other.epoch, other.first_sequence)


def leaves(warehouse: Warehouse, origin: str) -> Iterator[Leaf]:
    """The log as far as it is loaded, in its order."""
    rows = warehouse.reader().execute(
        f"""
        SELECT {_GROUP}, g.head
        FROM leaves AS l JOIN groups AS g USING ({_GROUP})
        WHERE l.origin = ? ORDER BY l.leaf
        """,  # noqa: S608  our own names
        [origin],
    )
    while fetched := rows.fetchmany(_FETCH):
        for row in fetched:
            yield Leaf(*row)


def awaited(warehouse: Warehouse, origin: str) -> int:
    """How many groups the log names that are not loaded."""
    row = (
        warehouse.reader()
        .execute(
            f"SELECT count(*) FROM leaves AS l ANTI JOIN groups AS g USING ({_GROUP})"  # noqa: S608
            " WHERE l.origin = ?",
            [origin],
        )
        .fetchone()
    )
    assert row is not None, "a count is a row"
    return int(row[0])


def newest_checkpoint(warehouse: Warehouse, origin: str) -> Checkpoint | None:
    """The log as its newest checkpoint that is loaded says it stands."""
    row = (
        warehouse.reader()
        .execute(
            "SELECT size, root FROM checkpoint_events WHERE origin = ? ORDER BY size DESC LIMIT 1",
            [origin],
        )
        .fetchone()
    )
    return None if row is None else Checkpoint(origin, row[0], row[1])


class Inclusion(Struct, frozen=True, kw_only=True):
    """That a group stands in the log: its place, the hashes up to the root, and who signed that."""

    leaf: int
    first_sequence: int
    hashes: tuple[bytes, ...]
    note: str


def include(
    warehouse: Warehouse, origin: str, enforcer: str, position: Position
) -> Inclusion | None:
    """Show that the group of an event stands in the log; None where no checkpoint has it yet.

    By the oldest checkpoint that has it. Hashes all leaves of its tree anew: a million take some
    five seconds.
    """
    reader = warehouse.reader()
    where = [origin, enforcer, position.epoch, position.sequence]
    placed = reader.execute(
        "SELECT leaf, first_sequence FROM leaves WHERE origin = ? AND enforcer = ? AND epoch = ?"
        " AND ? BETWEEN first_sequence AND last_sequence ORDER BY leaf LIMIT 1",
        where,
    ).fetchone()
    if placed is None:
        return None
    signed = reader.execute(
        "SELECT size, note FROM checkpoint_events WHERE origin = ? AND size > ?"
        " ORDER BY size LIMIT 1",
        [origin, placed[0]],
    ).fetchone()
    if signed is None:
        return None
    hashes = [leaf.hash for leaf in islice(leaves(warehouse, origin), signed[0])]
    return Inclusion(
        leaf=placed[0],
        first_sequence=placed[1],
        hashes=inclusion_proof(hashes, placed[0]),
        note=signed[1],
    )


def unlogged(warehouse: Warehouse, origin: str, *, up_to: int) -> list[Leaf]:
    """Every group up to a load that the log does not have. Reads all groups there are."""
    rows = warehouse.reader().execute(
        f"""
        SELECT {_GROUP}, head
        FROM groups AS g ANTI JOIN (FROM leaves WHERE origin = ?) AS l USING ({_GROUP})
        WHERE load <= ? ORDER BY {_GROUP}
        """,  # noqa: S608  our own names
        [origin, up_to],
    )
    return [Leaf(*row) for row in rows.fetchall()]


def loaded(warehouse: Warehouse, *, after: int, up_to: int) -> list[Leaf]:
    """The groups that came with the loads behind `after`, in the order of their histories."""
    rows = warehouse.reader().execute(
        f"SELECT {_GROUP}, head FROM groups WHERE load > ? AND load <= ? ORDER BY {_GROUP}",  # noqa: S608  our own names
        [after, up_to],
    )
    return [Leaf(*row) for row in rows.fetchall()]


def neighbours(added: Sequence[Leaf]) -> tuple[LoggedGroups, ...]:
    """The same groups, those put together that follow each other in one epoch."""
    runs: list[list[Leaf]] = []
    for leaf in added:
        before = runs[-1][-1] if runs else None
        if before is not None and before.is_before(leaf):
            runs[-1].append(leaf)
        else:
            runs.append([leaf])
    return tuple(
        LoggedGroups(
            enforcer=run[0].enforcer,
            epoch=run[0].epoch,
            first_sequence=run[0].first_sequence,
            events=tuple(leaf.last_sequence - leaf.first_sequence + 1 for leaf in run),
        )
        for run in runs
    )
