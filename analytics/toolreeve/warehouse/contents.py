"""What a warehouse holds, whatever way it came to hold it; and whether it is as it was written."""

from collections.abc import Iterator
from hashlib import sha256

import duckdb

from toolreeve.warehouse.errors import WarehouseDamagedError, is_damage
from toolreeve.warehouse.store import Warehouse
from toolreeve.warehouse.tables import CURSORS, EVENT_TABLES, GROUPS, LEAVES, TABLES, Table

_FETCH = 10_000
_PLACES = {
    LEAVES.name: "origin, leaf",
    GROUPS.name: "enforcer, epoch, first_sequence, last_sequence",
    CURSORS.name: "enforcer, epoch, first_sequence",
}


def content_hash(warehouse: Warehouse) -> str:
    """SHA-256 over every event, group, cursor and place in the log, in hex.

    The same for two warehouses that were told the same history, in however many loads. Reads and
    sorts all there is.
    """
    digest = sha256()
    for table in (*EVENT_TABLES, GROUPS, CURSORS, LEAVES):
        digest.update(f"{table.name}\n".encode())
        for row in _rows(warehouse, table):
            digest.update(row)
    return digest.hexdigest()


def look_over(warehouse: Warehouse) -> None:
    """Read all of the file once, so that DuckDB compares every block with its checksum.

    Raises WarehouseDamagedError.
    """
    with warehouse.reader() as reader:
        for name in (*(table.name for table in TABLES), "payloads", "archives"):
            try:
                reader.execute(f"SELECT max(hash(t)) FROM {name} AS t").fetchall()  # noqa: S608
            except duckdb.Error as error:
                if is_damage(error):
                    text = str(error).splitlines()[0][:300]
                    raise WarehouseDamagedError(warehouse.path, text) from error
                raise


def _rows(warehouse: Warehouse, table: Table) -> Iterator[bytes]:
    """Each row as one hash, made by DuckDB, in the order of their places."""
    columns = ", ".join(f'"{name}"' for name, _ in table.columns if name != "load")
    order = _PLACES.get(table.name, "enforcer, epoch, sequence")
    with warehouse.reader() as reader:
        rows = reader.execute(
            f"SELECT unhex(sha256(to_json(row({columns}))::VARCHAR))"  # noqa: S608
            f" FROM {table.name} ORDER BY {order}"
        )
        while fetched := rows.fetchmany(_FETCH):
            yield from (row for (row,) in fetched)
