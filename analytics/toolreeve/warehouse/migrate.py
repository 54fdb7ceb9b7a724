"""The warehouse's form over time: numbered SQL files, applied in order, forward only."""

import re
from hashlib import sha256
from importlib.resources import files
from uuid import uuid4

import duckdb
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.warehouse.errors import WarehouseError

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


class Migration(Struct, frozen=True):
    """One step. A file that was released never changes; `digest` notices when it did."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file's text, hex."""
        return sha256(self.sql.encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """All steps this version of the program knows, in order."""
    found = [
        Migration(int(match[1]), match[2], entry.read_text("utf-8"))
        for entry in (files("toolreeve.warehouse") / "migrations").iterdir()
        if (match := _NAME.fullmatch(entry.name))
    ]
    found.sort(key=lambda migration: migration.version)
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    return tuple(found)


def views_sql(*, comments: bool = True) -> str:
    """The views, which follow the program and not the file; with their COMMENT statements or not.

    Each of those stands on a line of its own.
    """
    text = (files("toolreeve.warehouse") / "views.sql").read_text("utf-8")
    if comments:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("COMMENT ON "))


def migrate(
    connection: duckdb.DuckDBPyConnection, at: Instant, steps: tuple[Migration, ...] | None = None
) -> int:
    """Bring an open file to the newest form; returns its version.

    Each step is one transaction. Raises WarehouseError for a file that a newer version of the
    program has written, or one that was brought forward by other steps than these.
    """
    known = migrations() if steps is None else steps
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL,"
        " name VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
    )
    applied: dict[int, str] = dict(
        connection.execute("SELECT version, sha256 FROM schema_version").fetchall()
    )
    newest = max(applied, default=0)
    if newest > len(known):
        raise WarehouseError(
            f"the warehouse has schema version {newest}, this program knows {len(known)}",
            remedy="use the version of toolreeve that wrote it, or a newer one",
        )
    for step in known:
        if step.version in applied:
            if applied[step.version] != step.digest:
                raise WarehouseError(
                    f"schema step {step.version} ({step.name}) is not the one that made this file",
                    remedy="use a released version of toolreeve",
                )
            continue
        connection.begin()
        try:
            connection.execute(step.sql)
            connection.execute(
                "INSERT INTO schema_version VALUES (?, ?, ?, make_timestamp(?))",
                [step.version, step.name, step.digest, at // 1_000],
            )
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
    return len(known)


def renew(connection: duckdb.DuckDBPyConnection, at: Instant) -> str:
    """Give the file its name where it has none, and this program's views; returns the name."""
    views = views_sql()
    digest = sha256(views.encode()).hexdigest()
    row = connection.execute("SELECT warehouse_id, views_sha256 FROM warehouse").fetchone()
    if row is not None and row[1] == digest:
        return str(row[0])
    connection.begin()
    try:
        connection.execute(views)
        if row is None:
            connection.execute(
                "INSERT INTO warehouse VALUES (?, make_timestamp(?), ?)",
                [str(uuid4()), at // 1_000, digest],
            )
        else:
            connection.execute("UPDATE warehouse SET views_sha256 = ?", [digest])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return renew(connection, at)
