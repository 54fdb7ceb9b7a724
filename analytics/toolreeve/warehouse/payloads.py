"""The raw groups of each load, until they have moved to an archive file.

A load is one row here, its groups one behind the other in one BLOB. Measured at 360 bytes an event
that costs 1.6 us an event, where a row a group costs 6 to 17 us as lists, or 3 to 10 us as base64.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import duckdb
import msgspec
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.warehouse.batch import Kept

_FETCH = 4


class Places(Struct, kw_only=True):
    """Where each group of a load stands in its bytes, and in its history: a list for each."""

    enforcer: list[str]
    epoch: list[int]
    first_sequence: list[int]
    last_sequence: list[int]
    previous_hash: list[bytes]
    head: list[bytes]
    first_time: list[int | None]
    last_time: list[int | None]
    begin: list[int]
    size: list[int]


class Staged(Struct, frozen=True):
    """A group that is in no file yet. Times are microseconds; None where not all are known."""

    enforcer: str
    epoch: int
    first_sequence: int
    last_sequence: int
    previous_hash: bytes
    head: bytes
    first_time: int | None
    last_time: int | None
    payload: bytes


class StagedLoad(Struct, frozen=True):
    """A load that is in no file yet. `loaded_at` is in microseconds."""

    load: int
    loaded_at: int
    groups: tuple[Staged, ...]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Places).decode


class File(Struct, frozen=True, kw_only=True):
    """An archive file. Times are microseconds; None where a group's are not known."""

    name: str
    sha256: str
    groups: int
    bytes: int
    first_time: int | None
    last_time: int | None


def stage(
    connection: duckdb.DuckDBPyConnection, kept: Sequence[Kept], load: int, at: Instant
) -> None:
    """Keep the bytes of a load's groups, in its own transaction."""
    sizes = [len(one.group.payload) for one in kept]
    places = Places(
        enforcer=[one.group.enforcer for one in kept],
        epoch=[one.group.epoch for one in kept],
        first_sequence=[one.group.first_sequence for one in kept],
        last_sequence=[one.group.first_sequence + len(one.group.raws) - 1 for one in kept],
        previous_hash=[one.group.previous_hash for one in kept],
        head=[one.head for one in kept],
        first_time=[one.times[0] if one.times else None for one in kept],
        last_time=[one.times[1] if one.times else None for one in kept],
        begin=list(accumulate(sizes, initial=0))[:-1],
        size=sizes,
    )
    text = _encode(places).decode()
    connection.execute(
        "INSERT INTO payloads VALUES (?, make_timestamp(?), ?, ?, ?)",
        [load, at // 1_000, sum(sizes), text, b"".join(one.group.payload for one in kept)],
    )


def staged(connection: duckdb.DuckDBPyConnection, loads: Sequence[int]) -> Iterator[StagedLoad]:
    """Those of some loads that are in no file yet.

    Cut here and not in SQL, which copies a load's bytes for every group: 0.5 us an event, not 20.
    """
    rows = connection.execute(
        "SELECT load, epoch_us(loaded_at), places, bytes FROM payloads"
        " WHERE load BETWEEN ? AND ? AND load IN (SELECT unnest(?::BIGINT[])) ORDER BY load",
        [min(loads), max(loads), list(loads)],
    )
    while fetched := rows.fetchmany(_FETCH):
        for load, loaded_at, text, data in fetched:
            yield StagedLoad(load, loaded_at, tuple(_cut(_decode(text), data)))


def restage(
    connection: duckdb.DuckDBPyConnection, load: int, groups: Sequence[tuple[Staged, bytes]]
) -> None:
    """Keep other bytes of a load's groups, which are all given with their new ones."""
    sizes = [len(payload) for _, payload in groups]
    places = Places(
        enforcer=[one.enforcer for one, _ in groups],
        epoch=[one.epoch for one, _ in groups],
        first_sequence=[one.first_sequence for one, _ in groups],
        last_sequence=[one.last_sequence for one, _ in groups],
        previous_hash=[one.previous_hash for one, _ in groups],
        head=[one.head for one, _ in groups],
        first_time=[one.first_time for one, _ in groups],
        last_time=[one.last_time for one, _ in groups],
        begin=list(accumulate(sizes, initial=0))[:-1],
        size=sizes,
    )
    connection.execute(
        "UPDATE payloads SET size = ?, places = ?, bytes = ? WHERE load = ?",
        [sum(sizes), _encode(places).decode(), b"".join(payload for _, payload in groups), load],
    )


def _cut(places: Places, data: bytes) -> Iterator[Staged]:
    for at, (begin, size) in enumerate(zip(places.begin, places.size, strict=True)):
        yield Staged(
            places.enforcer[at],
            places.epoch[at],
            places.first_sequence[at],
            places.last_sequence[at],
            places.previous_hash[at],
            places.head[at],
            places.first_time[at],
            places.last_time[at],
            data[begin : begin + size],
        )


def enter(
    connection: duckdb.DuckDBPyConnection, file: File, first: int, last: int, *, whole: bool
) -> None:
    """Record that `file` holds the loads `first` to `last`."""
    connection.execute(
        "INSERT INTO archives VALUES (?, ?, ?, ?, make_timestamp(?), make_timestamp(?), ?, ?, ?)",
        [
            file.name,
            file.sha256,
            file.groups,
            file.bytes,
            file.first_time,
            file.last_time,
            first,
            last,
            whole,
        ],
    )


def drop(connection: duckdb.DuckDBPyConnection, first: int, last: int) -> None:
    """Forget the bytes of the loads `first` to `last`; they stand somewhere else."""
    connection.execute("DELETE FROM payloads WHERE load BETWEEN ? AND ?", [first, last])
