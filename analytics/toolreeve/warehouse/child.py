"""The process in which one query runs: `python -I -m toolreeve.warehouse.child`.

Nothing that a query does can matter outside: the process has no files to write (the kernel
refuses any growth of a file), no configuration to change, a bound on memory, on processor time
and, by the alarm clock, on its life. It takes one job from stdin, a JSON document, and writes
frames to stdout, each a letter, a length of four bytes and that many bytes of JSON:

    H  columns   [[name, type], ...]
    R  rows      [[value, ...], ...], preceded by their number and a space
    E  end       {"rows", "truncated"}
    X  error     {"code", "problem", "line", "column"}
"""

import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from toolreeve.warehouse import allow

# DuckDB's engine without its Python layer, whose import takes longer than a usual query.
_ENGINE = "_duckdb" if importlib.util.find_spec("_duckdb") else "duckdb"
duckdb: Any = importlib.import_module(_ENGINE)

SAFE_INTEGER_MAX = 2**53
BATCH_ROWS = 1_000
BATCH_BYTES = 512 * 1024
PROBLEM_CHARACTERS_MAX = 2_000


class QueryRefusedError(Exception):
    """The query may not run, or is wrong."""

    def __init__(self, code: str, problem: str, offset: int | None = None) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem
        self.offset = offset


def main() -> None:
    """Take the job, do it, say how it went."""
    job = json.load(sys.stdin)
    _limit(job)
    try:
        _run(job)
    except QueryRefusedError as refused:
        line, column = None, None
        if refused.offset is not None:
            line, column = allow.place_of(job["sql"], refused.offset)
        problem = refused.problem[:PROBLEM_CHARACTERS_MAX]
        text: dict[str, Any] = {
            "code": refused.code,
            "problem": problem,
            "line": line,
            "column": column,
        }
        _send("X", json.dumps(text).encode())


def _limit(job: dict[str, Any]) -> None:
    """Give up, for this process, all that a SELECT does not need."""
    os.nice(5)
    signal.alarm(job["seconds_max"] + 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cpu = job["seconds_max"] * job["threads"] + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    space = job["address_bytes_max"]
    resource.setrlimit(resource.RLIMIT_AS, (space, space))


def _run(job: dict[str, Any]) -> None:
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": job["threads"],
            "memory_limit": f"{job['memory_bytes_max'] // 2**20}MiB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        },
    )
    relations = _publish(connection, job)
    tree = connection.execute("SELECT json_serialize_sql(?)", [job["sql"]]).fetchone()
    assert tree is not None
    refusal = allow.judge(json.loads(tree[0]), relations, frozenset(job["functions"]))
    if refusal:
        invalid = "syntax" in refusal.problem
        raise QueryRefusedError(
            "invalid" if invalid else "refused", refusal.problem, refusal.offset
        )
    try:
        _answer(connection, job)
    except duckdb.OutOfMemoryException as error:
        raise QueryRefusedError("cut", "the query needs more memory than it may have") from error
    except duckdb.Error as error:
        problem, offset = _read_error(error)
        raise QueryRefusedError("invalid", problem, offset) from error
    except MemoryError as error:
        raise QueryRefusedError("cut", "the query needs more memory than it may have") from error


def _publish(connection: Any, job: dict[str, Any]) -> frozenset[str]:
    """Make the tables from their files and the views over them; then close all doors."""
    files = [path for paths in job["files"].values() for path in paths]
    for name, columns in job["tables"].items():
        paths = job["files"].get(name)
        if paths:
            listed = ", ".join(_quoted(path) for path in paths)
            names = ", ".join(f'"{column}"' for column, _ in columns)
            connection.execute(
                f"CREATE VIEW {name} AS SELECT {names} FROM read_parquet([{listed}])"  # noqa: S608
            )
        else:
            listed = ", ".join(f'"{column}" {kind}' for column, kind in columns)
            connection.execute(f"CREATE TABLE {name} ({listed})")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(job["views"])
    views = connection.execute(
        "SELECT lower(view_name) FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    connection.execute("SET errors_as_json = true")
    connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, files))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return frozenset(name for (name,) in views) - frozenset(job["tables"])


def _answer(connection: Any, job: dict[str, Any]) -> None:
    cursor = connection.execute(job["sql"])
    columns = [(str(column[0]), str(column[1])) for column in cursor.description]
    _send("H", json.dumps(columns).encode())
    rows_max: int = job["rows_max"]
    bytes_left: int = job["bytes_max"]
    sent = 0
    truncated = False
    while not truncated:
        rows = cursor.fetchmany(min(BATCH_ROWS, rows_max + 1 - sent))
        if not rows:
            break
        if sent + len(rows) > rows_max:
            rows = rows[: rows_max - sent]
            truncated = True
        texts: list[str] = []
        size = 0
        for row in rows:
            text = json.dumps([_plain(value) for value in row], ensure_ascii=False)
            texts.append(text)
            size += len(text)
            if size >= BATCH_BYTES:
                sent, bytes_left = _send_rows(texts, sent, bytes_left)
                texts, size = [], 0
        if texts:
            sent, bytes_left = _send_rows(texts, sent, bytes_left)
        truncated = truncated or bytes_left <= 0
    _send("E", json.dumps({"rows": sent, "truncated": truncated}).encode())


def _send_rows(texts: list[str], sent: int, bytes_left: int) -> tuple[int, int]:
    body = f"{len(texts)} [{','.join(texts)}]".encode(errors="replace")
    if len(body) > bytes_left:
        raise QueryRefusedError("cut", "the result is larger than a query may return")
    _send("R", body)
    return sent + len(texts), bytes_left - len(body)


def _send(letter: str, body: bytes) -> None:
    sys.stdout.buffer.write(letter.encode() + len(body).to_bytes(4, "big") + body)
    sys.stdout.buffer.flush()


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, large and exact numbers as text, bytes in hex."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= SAFE_INTEGER_MAX else str(value)
        case float():
            return value if value - value == 0 else str(value)
        case datetime():
            naive = value.replace(tzinfo=None)
            return naive.isoformat() + "Z"
        case date() | time():
            return value.isoformat()
        case timedelta():
            return f"PT{value.total_seconds():f}".rstrip("0").rstrip(".") + "S"
        case Decimal() | UUID():
            return str(value)
        case bytes():
            return value.hex()
        case dict():
            return {_key(name): _plain(inner) for name, inner in _members(value)}
        case list() | tuple():
            return [_plain(inner) for inner in _items(value)]
        case _:
            return str(value)


def _members(value: Any) -> Any:
    return value.items()


def _items(value: Any) -> Any:
    return value


def _key(value: Any) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _read_error(error: Exception) -> tuple[str, int | None]:
    text = str(error)
    try:
        document = json.loads(text[text.index("{") :])
        position = document.get("position")
        return document["exception_message"], int(position) if position else None
    except (ValueError, KeyError, TypeError):
        return text, None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    main()
