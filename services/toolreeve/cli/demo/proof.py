"""Whether every part of the demo's story has reached the warehouse, asked in SQL."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from toolreeve.cli.audit import Result, run_query
from toolreeve.cli.failure import CommandError
from toolreeve.cli.reach import channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolreeve.cli.reach import Place

SEEN_SECONDS_MAX = 30.0
_PAUSE_SECONDS = 0.15


class StoryPart(Struct, frozen=True, kw_only=True):
    """One thing the story showed. `sql` counts it in DuckDB; `exactly` None: at least one."""

    name: str
    sql: str
    exactly: int | None = None

    def is_seen(self, count: int) -> bool:
        """Whether that count proves the part."""
        return count >= 1 if self.exactly is None else count == self.exactly


class Unseen(Struct, frozen=True):
    """A part that DuckDB did not show before the deadline, and what it showed instead."""

    part: StoryPart
    found: str


async def ask(place: Place, sql: str) -> Result:
    """Run one SELECT through the worker's query service."""

    def run() -> Result:
        with channel(place) as opened:
            return run_query(opened, sql)

    return await asyncio.to_thread(run)


async def wait_for_rows(place: Place, sql: str) -> Result:
    """Ask until there are rows or the deadline has passed; then return what there is."""
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while True:
        result = await ask(place, sql)
        if result.rows or time.monotonic() > deadline:
            return result
        await asyncio.sleep(_PAUSE_SECONDS)


async def unseen_parts(place: Place, parts: Sequence[StoryPart]) -> list[Unseen]:
    """Ask for every part until all are seen or the deadline has passed; return what is missing.

    The parts are asked for in one query, so that they are answered from one state.
    """
    sql = "SELECT " + ", ".join(f"({part.sql})" for part in parts)
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while True:
        try:
            counts = (await ask(place, sql)).rows[0]
        except CommandError as error:
            missing = [Unseen(part, str(error)) for part in parts]
        else:
            missing = [
                Unseen(part, _found(part, count))
                for part, count in zip(parts, counts, strict=True)
                if not part.is_seen(int(count))
            ]
        if not missing or time.monotonic() > deadline:
            return missing
        await asyncio.sleep(_PAUSE_SECONDS)


def _found(part: StoryPart, count: object) -> str:
    wanted = "at least 1" if part.exactly is None else str(part.exactly)
    return f"found {count}, wanted {wanted}"
