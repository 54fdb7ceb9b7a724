"""Statements that would do harm are refused or cut, and the writer goes on."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from toolreeve.warehouse.errors import QueryError
from toolreeve.warehouse.executor import QuerySettings

SETTINGS = QuerySettings(seconds_max=2, memory_bytes_max=128 * 2**20, running_max=2)

REFUSED = [
    # writing
    "DELETE FROM decided",
    "DROP VIEW decisions",
    "CREATE TABLE t AS SELECT 1",
    "INSERT INTO decided SELECT * FROM decided",
    "UPDATE decided SET tool = 'x'",
    "WITH x AS (DELETE FROM decided RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO decided SELECT * FROM decided RETURNING *) SELECT * FROM x",
    "WITH x AS (COPY decisions TO '{out}') SELECT * FROM x",
    "SELECT * FROM (WITH x AS (UPDATE decided SET tool = 'x' RETURNING *) FROM x)",
    "COPY decisions TO '{out}'",
    "COPY (SELECT 1) TO '{out}' (FORMAT parquet)",
    "EXPORT DATABASE '{out}'",
    # reading what is not history
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_parquet('{parts}/*.parquet')",
    "SELECT * FROM parquet_metadata('{parts}/x.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "FROM '/etc/passwd'",
    "FROM 'decided.parquet'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_functions()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "FROM pg_settings",
    "FROM sqlite_master",
    "FROM decided",
    "FROM memory.main.decided",
    "SHOW TABLES",
    # other statements
    "SET threads = 64",
    "RESET memory_limit",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "ATTACH '/tmp/other.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE SECRET s (TYPE s3)",
    "CREATE MACRO m() AS 1",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "CHECKPOINT",
    "BEGIN",
    "EXPLAIN ANALYZE SELECT 1",
    "USE memory",
    "VACUUM",
    # around the words
    "SELECT 1; DROP VIEW decisions",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('decided')",
    "SELECT * FROM json_execute_serialized_sql('x')",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT nextval('s')",
    "SELECT sleep_ms(100000)",
    "SELECT pg_sleep(100)",
    "SELECT write_log('x')",
    "SELECT (SELECT getenv('HOME'))",
    "SELECT count(*) FILTER (WHERE getenv('HOME') = '') FROM decisions",
    "SELECT sum(1) OVER (ORDER BY getenv('HOME')) FROM decisions",
    "SELECT list_transform([1], lambda x: getenv('HOME'))",
    "SELECT system.main.getenv('HOME')",
    "WITH decisions AS (FROM read_csv('/etc/passwd')) FROM decisions",
    "SELECT $1",
    "",
    "   -- nothing",
    "SELECT \x00",
]

CUT = [
    "SELECT count(*) FROM range(1000000000000)",
    "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b",
    "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r",
    "SELECT list_transform(range(200000000), lambda x: x * 2)",
    "SELECT length(repeat('x', 4000000000))",
    "SELECT repeat('x', 300000000)",
    "SELECT list(a.range) FROM range(100000000) a GROUP BY a.range % 2",
    "SELECT string_agg(repeat('x', 100000), '') FROM range(100000)",
    "SELECT * FROM range(100000000) ORDER BY hash(range) LIMIT 5000000",
    "SELECT " + "(" * 40_000 + "1" + ")" * 40_000,
    "SELECT " + "-" * 2 + "\n" + "NOT " * 20_000 + "true",
    "SELECT " + " + ".join(["1"] * 30_000),
]


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:50])
def test_it_is_refused(desk: Any, tmp_path: Path, sql: str) -> None:
    out = tmp_path / "out"
    text = sql.replace("{out}", str(out)).replace("{parts}", str(tmp_path / "parts"))
    with pytest.raises(QueryError) as raised:
        desk.ask(text, settings=SETTINGS)
    assert raised.value.code in {"refused", "invalid"}
    assert not out.exists()


def test_what_is_too_dear_is_cut_and_the_writer_goes_on(desk: Any) -> None:
    """All at once, two at a time, while loads are timed."""

    async def cut(sql: str) -> None:
        begun = time.monotonic()
        with pytest.raises(QueryError) as raised:
            await desk.asked(sql, settings=SETTINGS)
        assert raised.value.code in {"cut", "invalid", "refused"}, sql[:60]
        assert time.monotonic() - begun < 10, sql[:60]

    async def load(done: asyncio.Event) -> list[float]:
        seconds: list[float] = []
        while not done.is_set():
            begun = time.monotonic()
            await asyncio.to_thread(desk.load, 50)
            seconds.append(time.monotonic() - begun)
            await asyncio.sleep(0.02)
        return seconds

    async def main() -> None:
        done = asyncio.Event()
        loading = asyncio.create_task(load(done))
        for first in range(0, len(CUT), 2):
            await asyncio.gather(*(cut(sql) for sql in CUT[first : first + 2]))
        done.set()
        seconds = await loading
        assert len(seconds) > 20
        assert max(seconds) < 2
        answer = await desk.asked("SELECT count(*) FROM decisions")
        assert answer.rows == [[50 * len(seconds)]]

    asyncio.run(main())


def test_a_query_process_leaves_no_process_and_no_file_behind(desk: Any, tmp_path: Path) -> None:
    desk.load(3)
    with pytest.raises(QueryError):
        desk.ask("SELECT count(*) FROM range(1000000000000)", settings=SETTINGS)
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes()
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            assert not (b"warehouse.child" in command and int(parent) == os.getpid())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "parts",
        "warehouse.duckdb",
        "warehouse.duckdb.wal",
    ]


def test_a_crash_of_the_query_process_is_an_error_and_no_more(desk: Any) -> None:
    settings = QuerySettings(seconds_max=20, memory_bytes_max=64 * 2**20)
    with pytest.raises(QueryError) as raised:
        desk.ask("SELECT list(range) FROM range(50000000)", settings=settings)
    assert raised.value.code == "cut"
    assert desk.ask("SELECT 1").rows == [[1]]
