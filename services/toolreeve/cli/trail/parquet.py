"""An export as one Parquet file: the columns of events.jsonl, with the bytes as a BLOB.

Needs DuckDB, which the other forms do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from toolreeve.cli.needs import needs_extra
from toolreeve.wire import WireError
from toolreeve.wire.lines import Place, write_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLUMNS = {
    "event_id": "VARCHAR",
    "kind": "VARCHAR",
    "enforcer": "VARCHAR",
    "epoch": "UBIGINT",
    "sequence": "UBIGINT",
    "time": "VARCHAR",
    "body": "JSON",
    "head": "VARCHAR",
    "bytes": "VARCHAR",
    "details": "JSON",
}
_FETCH = 10_000
_encode = msgspec.json.Encoder(order="deterministic").encode
_LINE_BYTES_MAX = 16 << 20


def convert(lines: Path, parquet: Path) -> None:
    """Write the events of a file of lines into a Parquet file, in their order."""
    duckdb = library()
    chosen = ", ".join(
        "from_base64(bytes) AS bytes" if name == "bytes" else name for name in _COLUMNS
    )
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in _COLUMNS.items())
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT {chosen}"  # noqa: S608  our own names
            f" FROM read_json({_quoted(lines)}, format = 'newline_delimited',"
            f" columns = {{{columns}}}, maximum_object_size = {_LINE_BYTES_MAX}))"
            f" TO {_quoted(parquet)} (FORMAT parquet, COMPRESSION zstd)"
        )


def rows(path: Path) -> Iterator[tuple[Place, bool]]:
    """Each event with whether its columns say what its bytes say, in the order of the file.

    Raises WireError where the file, or an event in it, cannot be read.
    """
    duckdb = library()
    names = ", ".join(_COLUMNS)
    try:
        with duckdb.connect() as connection:
            found = connection.execute(f"SELECT {names} FROM read_parquet(?)", [str(path)])  # noqa: S608
            while fetched := found.fetchmany(_FETCH):
                for row in fetched:
                    yield _read(dict(zip(_COLUMNS, row, strict=True)))
    except (duckdb.Error, RuntimeError, ValueError) as error:  # as a flipped bit has it
        raise WireError(f"not the Parquet file of an export: {error}") from error


def _read(row: dict[str, Any]) -> tuple[Place, bool]:
    try:
        details = msgspec.json.decode(row.pop("details") or "null")
        place = msgspec.convert(
            {name: row[name] for name in Place.__struct_fields__ if name in row}
            | {"details": details},
            Place,
        )
        head = bytes.fromhex(place.head)
        row["body"] = msgspec.json.decode(row["body"] or "null")
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"not a row of an export: {error}") from error
    told = msgspec.json.decode(write_line(place.bytes, head, place.details))
    told.pop("details", None)
    del told["bytes"], row["bytes"]
    return place, _encode(told) == _encode(row)  # not the values: True equals 1


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def library() -> Any:
    """DuckDB. Raises CommandError where it is not installed."""
    with needs_extra("analytics", "duckdb"):
        import duckdb

        return duckdb
