"""What a load must know of what is there already, asked for many keys at once."""

from collections.abc import Sequence

import duckdb

from toolreeve.warehouse.batch import DecisionId, Epoch, EpochId
from toolreeve.warehouse.runs import Run
from toolreeve.wire import Group

GroupId = tuple[str, int, int, int]


def epochs(
    connection: duckdb.DuckDBPyConnection, wanted: Sequence[EpochId]
) -> dict[EpochId, Epoch]:
    """The runs of some epochs; one of which nothing is loaded has none."""
    rows = connection.execute(
        "SELECT enforcer, epoch, first_sequence, sequence, previous_hash, head,"
        " epoch_us(last_time) FROM cursors WHERE (enforcer, epoch) IN"
        " (SELECT (unnest(?::VARCHAR[]), unnest(?::UBIGINT[]))) ORDER BY first_sequence",
        [[enforcer for enforcer, _ in wanted], [epoch for _, epoch in wanted]],
    ).fetchall()
    found = dict.fromkeys(wanted, Epoch())
    for enforcer, epoch, first, last, previous_hash, head, last_time in rows:
        runs = (*found[(enforcer, epoch)].runs, Run(first, last, previous_hash, head))
        found[(enforcer, epoch)] = Epoch(runs, last_time)
    return found


def group_id(group: Group) -> GroupId:
    """Where a group lies: enforcer, epoch, first and last sequence."""
    last = group.first_sequence + len(group.raws) - 1
    return (group.enforcer, group.epoch, group.first_sequence, last)


def heads(connection: duckdb.DuckDBPyConnection, groups: Sequence[Group]) -> dict[GroupId, bytes]:
    """The heads behind loaded groups that begin where some of `groups` do."""
    rows = connection.execute(
        "SELECT DISTINCT enforcer, epoch, first_sequence, last_sequence, head FROM groups"
        " WHERE (enforcer, epoch, first_sequence) IN"
        " (SELECT (unnest(?::VARCHAR[]), unnest(?::UBIGINT[]), unnest(?::UBIGINT[])))",
        [
            [group.enforcer for group in groups],
            [group.epoch for group in groups],
            [group.first_sequence for group in groups],
        ],
    ).fetchall()
    return {(enforcer, epoch, first, last): head for enforcer, epoch, first, last, head in rows}


def completed(
    connection: duckdb.DuckDBPyConnection, decisions: Sequence[DecisionId]
) -> frozenset[DecisionId]:
    """Which of `decisions` have an outcome."""
    rows = connection.execute(
        "SELECT enforcer, decided_epoch, decided_sequence FROM completed"
        " WHERE (enforcer, decided_epoch, decided_sequence) IN"
        " (SELECT (unnest(?::VARCHAR[]), unnest(?::UBIGINT[]), unnest(?::UBIGINT[])))",
        [list(column) for column in zip(*decisions, strict=True)],
    ).fetchall()
    return frozenset((enforcer, epoch, sequence) for enforcer, epoch, sequence in rows)


def quarantined(
    connection: duckdb.DuckDBPyConnection, digests: Sequence[bytes]
) -> frozenset[bytes]:
    """Which bytes, given by their SHA-256, are kept aside already."""
    if not digests:
        return frozenset()
    rows = connection.execute(
        "SELECT DISTINCT digest FROM quarantine WHERE digest IN (SELECT unnest(?::BLOB[]))",
        [list(digests)],
    ).fetchall()
    return frozenset(digest for (digest,) in rows)


def erased(connection: duckdb.DuckDBPyConnection, group: Group, said_by: str) -> list[int]:
    """Which events of a group are erased, by sequence."""
    enforcer, epoch, first, last = group_id(group)
    rows = connection.execute(
        "SELECT DISTINCT sequence FROM erased WHERE said_by = ? AND enforcer = ? AND epoch = ?"
        " AND sequence BETWEEN ? AND ?",
        [said_by, enforcer, epoch, first, last],
    ).fetchall()
    return [sequence for (sequence,) in rows]


def erased_until(connection: duckdb.DuckDBPyConnection, said_by: str) -> dict[EpochId, int]:
    """The last event of each epoch that is erased."""
    rows = connection.execute(
        "SELECT enforcer, epoch, max(sequence) FROM erased WHERE said_by = ? GROUP BY ALL",
        [said_by],
    ).fetchall()
    return {(enforcer, epoch): sequence for enforcer, epoch, sequence in rows}
