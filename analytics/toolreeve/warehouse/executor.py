"""Queries of people: each in a process of its own, which is killed at its deadline.

The process that writes the warehouse never sees a query's SQL but as text to hand on: a statement
that crashes the parser, ignores interrupts or eats memory ends its own process and nothing else.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from functools import cache
from importlib.resources import files
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from toolreeve.warehouse.errors import QueryError
from toolreeve.warehouse.migrate import views_sql
from toolreeve.warehouse.parts import Parts, Snapshot
from toolreeve.warehouse.tables import TABLES

FRAME_BYTES_MAX = 64 * 2**20
SQL_BYTES_MAX = 100_000
ADDRESS_BYTES_BASE = 2**30
"""Address space that an idle query process takes: code, thread stacks, allocator arenas."""


class QuerySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what one query may cost, and how many may run or wait."""

    rows_max: Annotated[int, Meta(gt=0)] = 1_000_000
    seconds_max: Annotated[int, Meta(gt=0, le=3600)] = 30
    memory_bytes_max: Annotated[int, Meta(ge=64 * 2**20)] = 512 * 2**20
    result_bytes_max: Annotated[int, Meta(gt=0)] = 256 * 2**20
    threads: Annotated[int, Meta(gt=0)] = 2
    running_max: Annotated[int, Meta(gt=0)] = 2
    waiting_max: Annotated[int, Meta(ge=0)] = 16


class Header(Struct, frozen=True):
    """Columns as (name, DuckDB's name of the type). Comes first."""

    columns: tuple[tuple[str, str], ...]


class Rows(Struct, frozen=True):
    """Rows as the JSON of an array of arrays. Times are ISO 8601 in UTC, decimals and integers
    beyond 2^53 are strings, bytes are hex, numbers that are not finite are "nan" and "inf"."""

    rows_json: bytes
    count: int


class End(Struct, frozen=True):
    """Comes last. `truncated`: the bound on rows cut the result short."""

    rows: int
    elapsed_ms: int
    truncated: bool


Answer = Header | Rows | End
Answers = AsyncGenerator[Answer, None]


class QueryExecutor:
    """Runs queries over the copies in `parts`, each bounded by `settings`."""

    def __init__(self, parts: Parts, settings: QuerySettings) -> None:
        self._parts = parts
        self._settings = settings
        self._running = asyncio.Semaphore(settings.running_max)
        self._waiting = 0

    async def run(self, sql: str, *, rows_max: int = 0, seconds_max: int = 0) -> Answers:
        """Answer one SELECT over everything that was committed when it began.

        Bounds of 0 are the settings' own; larger ones are refused. Raises QueryError, also in the
        middle. Whoever stops reading ends the query by closing the iterator.
        """
        rows_max = self._bound("rows", rows_max, self._settings.rows_max)
        seconds_max = self._bound("seconds", seconds_max, self._settings.seconds_max)
        if len(sql.encode(errors="replace")) > SQL_BYTES_MAX:
            raise QueryError("refused", f"the query is longer than {SQL_BYTES_MAX} bytes")
        if self._waiting >= self._settings.waiting_max + self._settings.running_max:
            raise QueryError("unavailable", "too many queries are waiting; try again later")
        self._waiting += 1
        try:
            async with self._running:
                answers = self._answers(sql, rows_max, seconds_max)
                async with contextlib.aclosing(answers):
                    async for answer in answers:
                        yield answer
        finally:
            self._waiting -= 1

    def _bound(self, what: str, asked: int, own: int) -> int:
        if not 0 <= asked <= own:
            raise QueryError("refused", f"{what}_max must be from 1 to {own}")
        return asked or own

    async def _answers(self, sql: str, rows_max: int, seconds_max: int) -> Answers:
        start = time.monotonic()
        snapshot = await asyncio.to_thread(self._parts.snapshot)
        try:
            job = self._job(sql, rows_max, seconds_max, snapshot)
            async with _child() as (reader, writer):
                deadline = start + seconds_max
                async for answer in _read_answers(reader, writer, job, deadline, seconds_max):
                    if isinstance(answer, End):
                        elapsed_ms = round((time.monotonic() - start) * 1000)
                        yield End(answer.rows, elapsed_ms, answer.truncated)
                    else:
                        yield answer
        finally:
            self._parts.release(snapshot)

    def _job(self, sql: str, rows_max: int, seconds_max: int, snapshot: Snapshot) -> bytes:
        settings = self._settings
        document = {
            "sql": sql,
            "rows_max": rows_max,
            "seconds_max": seconds_max,
            "bytes_max": settings.result_bytes_max,
            "threads": settings.threads,
            "memory_bytes_max": settings.memory_bytes_max,
            "address_bytes_max": ADDRESS_BYTES_BASE + 2 * settings.memory_bytes_max,
            "tables": {table.name: table.columns for table in TABLES},
            "files": {
                name: [str(path) for path in paths] for name, paths in snapshot.files.items()
            },
            "views": views_sql(comments=False),
            "functions": functions(),
        }
        return msgspec.json.encode(document)


@cache
def functions() -> tuple[str, ...]:
    """The functions that a query may call."""
    text = (files("toolreeve.warehouse") / "functions.txt").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple(word for line in lines for word in line.split())


@contextlib.asynccontextmanager
async def _child() -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """A fresh process that waits for its job; it is gone behind the block, however that ended."""
    process, ours = _spawn()
    try:
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            yield reader, writer
        finally:
            writer.close()
    finally:
        process.kill()
        await asyncio.shield(asyncio.to_thread(process.wait))


def _spawn() -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start the process; its end of the socket is its stdin and its stdout.

    `subprocess` does without fork() where an event loop's own way may not: this process has
    threads, and gRPC's do not bear one.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "toolreeve.warehouse.child"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
    return process, ours


async def _read_answers(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    job: bytes,
    deadline: float,
    seconds_max: int,
) -> Answers:
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            writer.write(job)
            writer.write_eof()
            await writer.drain()
        while True:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                frame = await _read_frame(reader)
            answer = _read_answer(*frame)
            yield answer
            if isinstance(answer, End):
                return
    except TimeoutError as error:
        raise QueryError("cut", f"the query took longer than {seconds_max} s") from error
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise QueryError(
            "cut", "the query's process broke down; it needed too much memory or time"
        ) from error


async def _read_frame(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await stream.readexactly(5)
    size = int.from_bytes(head[1:], "big")
    if size > FRAME_BYTES_MAX:
        raise QueryError("cut", "one row is larger than a query may return")
    return head[:1], await stream.readexactly(size)


def _read_answer(letter: bytes, body: bytes) -> Answer:
    match letter:
        case b"H":
            return Header(tuple((name, kind) for name, kind in json.loads(body)))
        case b"R":
            count, _, rows = body.partition(b" ")
            return Rows(rows, int(count))
        case b"E":
            end = json.loads(body)
            return End(end["rows"], 0, end["truncated"])
        case _:
            failed = json.loads(body)
            raise QueryError(
                failed["code"], failed["problem"], line=failed["line"], column=failed["column"]
            )
