"""What of enforcers' histories is in the warehouse, as reconciling asks for it. All block."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.warehouse.store import Warehouse
from toolreeve.worker.holes import EpochRun


class Since(Struct, frozen=True):
    """Decisions counted up to and with `sequence` of an epoch."""

    epoch: int
    sequence: int = 0
    allowed: int = 0
    denied: int = 0


def runs(warehouse: Warehouse, from_epochs: Mapping[str, int]) -> dict[str, tuple[EpochRun, ...]]:
    """What is loaded of some enforcers, each from an epoch on, in order."""
    rows = (
        warehouse.reader()
        .execute(
            "SELECT c.enforcer, c.epoch, c.first_sequence, c.sequence, c.previous_hash, c.head"
            " FROM cursors c JOIN (SELECT unnest(?::VARCHAR[]) AS enforcer,"
            " unnest(?::UBIGINT[]) AS epoch) asked"
            " ON c.enforcer = asked.enforcer AND c.epoch >= asked.epoch"
            " ORDER BY c.enforcer, c.epoch, c.first_sequence",
            [list(from_epochs), list(from_epochs.values())],
        )
        .fetchall()
    )
    found: dict[str, list[EpochRun]] = {enforcer: [] for enforcer in from_epochs}
    for enforcer, *run in rows:
        found[enforcer].append(EpochRun(*run))
    return {enforcer: tuple(loaded) for enforcer, loaded in found.items()}


def was_head(warehouse: Warehouse, enforcer: str, head: bytes) -> bool:
    """Whether a loaded group of this enforcer ends with this head."""
    row = (
        warehouse.reader()
        .execute("SELECT 1 FROM groups WHERE enforcer = ? AND head = ? LIMIT 1", [enforcer, head])
        .fetchone()
    )
    return row is not None


def heads_at(
    warehouse: Warehouse, asked: Sequence[tuple[str, Position]]
) -> dict[tuple[str, Position], bytes]:
    """The chain's head behind some events; those that no loaded group ends with are left out."""
    rows = (
        warehouse.reader()
        .execute(
            "SELECT g.enforcer, g.epoch, g.last_sequence, g.head"
            " FROM groups g JOIN (SELECT unnest(?::VARCHAR[]) AS enforcer,"
            " unnest(?::UBIGINT[]) AS epoch, unnest(?::UBIGINT[]) AS sequence) asked"
            " ON g.enforcer = asked.enforcer AND g.epoch = asked.epoch"
            " AND g.last_sequence = asked.sequence",
            [
                [enforcer for enforcer, _ in asked],
                [at.epoch for _, at in asked],
                [at.sequence for _, at in asked],
            ],
        )
        .fetchall()
    )
    return {(enforcer, Position(epoch, last)): head for enforcer, epoch, last, head in rows}


def count(warehouse: Warehouse, asked: Sequence[tuple[str, Since, int]]) -> dict[str, Since]:
    """Count on: for each enforcer the decisions behind `Since`, up to and with a sequence."""
    rows = (
        warehouse.reader()
        .execute(
            "SELECT d.enforcer, count(*) FILTER (WHERE d.effect = 'allow'),"
            " count(*) FILTER (WHERE d.effect <> 'allow')"
            " FROM decided d JOIN (SELECT unnest(?::VARCHAR[]) AS enforcer,"
            " unnest(?::UBIGINT[]) AS epoch, unnest(?::UBIGINT[]) AS behind,"
            " unnest(?::UBIGINT[]) AS up_to) asked"
            " ON d.enforcer = asked.enforcer AND d.epoch = asked.epoch"
            " AND d.sequence > asked.behind AND d.sequence <= asked.up_to GROUP BY d.enforcer",
            [
                [enforcer for enforcer, _, _ in asked],
                [since.epoch for _, since, _ in asked],
                [since.sequence for _, since, _ in asked],
                [up_to for _, _, up_to in asked],
            ],
        )
        .fetchall()
    )
    more = {enforcer: (allowed, denied) for enforcer, allowed, denied in rows}
    counted: dict[str, Since] = {}
    for enforcer, since, up_to in asked:
        allowed, denied = more.get(enforcer, (0, 0))
        counted[enforcer] = Since(
            since.epoch, up_to, since.allowed + allowed, since.denied + denied
        )
    return counted
