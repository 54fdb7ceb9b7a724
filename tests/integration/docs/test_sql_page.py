"""Every query in the documentation runs, in the process in which users' queries run."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolreeve.decision import Instant
from toolreeve.warehouse.executor import End, Header, QueryExecutor, QuerySettings
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse

DOCS = Path(__file__).resolve().parents[3] / "docs"
FENCE = re.compile(r"^```sql\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def queries() -> list[tuple[str, str]]:
    """Each query with its page and line."""
    return [
        (f"{page.name}:{whole.count(chr(10), 0, found.start()) + 2}", found["text"])
        for page in sorted(DOCS.rglob("*.md"))
        for whole in [page.read_text(encoding="utf-8")]
        for found in FENCE.finditer(whole)
    ]


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryExecutor]:
    folder = tmp_path_factory.mktemp("warehouse")
    warehouse = Warehouse.open(folder / "warehouse.duckdb", at=Instant(1))
    yield QueryExecutor(Parts(warehouse, folder / "parts"), QuerySettings(seconds_max=20))
    warehouse.close()


@pytest.mark.parametrize(("place", "sql"), queries(), ids=[place for place, _ in queries()])
def test_a_query_in_the_docs_may_be_run(executor: QueryExecutor, place: str, sql: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            answers = [answer async for answer in executor.run(sql)]
        assert isinstance(answers[0], Header), place
        assert isinstance(answers[-1], End), place

    asyncio.run(main())
