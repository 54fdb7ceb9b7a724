"""What a query sees, and the form of its answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from toolreeve.warehouse.errors import QueryError
from toolreeve.warehouse.executor import QueryExecutor, QuerySettings
from toolreeve.warehouse.parts import Parts


def test_what_was_committed_before_a_query_began_is_in_its_answer(desk: Any) -> None:
    for total in (5, 10, 15):
        desk.load(5)
        assert desk.ask("SELECT count(*) FROM decisions").rows == [[total]]


def test_an_empty_warehouse_answers_with_its_columns(desk: Any) -> None:
    answer = desk.ask("SELECT tool, time, arguments FROM decisions")
    assert answer.columns == [("tool", "VARCHAR"), ("time", "TIMESTAMP"), ("arguments", "VARIANT")]
    assert answer.rows == []
    for view in ("alerts", "fleet", "tool_usage_hourly", "policy_changes", "integrity", "holds"):
        assert desk.ask(f"FROM {view}").rows == []


def test_which_vm_was_restarted_how_often(desk: Any) -> None:
    desk.load(7)
    answer = desk.ask(
        "SELECT arguments['/id'] AS vm, count(*) AS calls FROM decisions"
        " WHERE tool = 'vm_restart' GROUP BY vm ORDER BY calls DESC, vm::VARCHAR"
    )
    assert answer.rows == [[0, 3], [1, 2], [2, 2]]


def test_values_keep_their_meaning_in_json(desk: Any) -> None:
    answer = desk.ask(
        "SELECT TIMESTAMP '2026-01-02 03:04:05.000006', DATE '2026-01-02', 1.10::DECIMAL(9, 2),"
        " 9007199254740992, 9007199254740993, -9007199254740993, 'ab'::BLOB, 'nan'::DOUBLE, NULL,"
        " true, [1, 2], {'a': 1.5}, MAP {'k': DATE '2026-01-01'}, 'ü\"', INTERVAL 90 SECOND,"
        " TIMESTAMPTZ '2026-01-02 03:04:05+02'"
    )
    assert answer.rows == [
        [
            "2026-01-02T03:04:05.000006Z",
            "2026-01-02",
            "1.10",
            9007199254740992,
            "9007199254740993",
            "-9007199254740993",
            "6162",
            "nan",
            None,
            True,
            [1, 2],
            {"a": "1.5"},
            {"k": "2026-01-01"},
            'ü"',
            "PT90S",
            "2026-01-02T01:04:05Z",
        ]
    ]


def test_a_result_is_cut_at_the_bound_on_rows_and_says_so(desk: Any) -> None:
    answer = desk.ask("SELECT * FROM range(5000)", rows_max=2500)
    assert [len(answer.rows), answer.end.rows, answer.end.truncated] == [2500, 2500, True]
    answer = desk.ask("SELECT * FROM range(2500)", rows_max=2500)
    assert [answer.end.rows, answer.end.truncated] == [2500, False]


def test_bounds_above_the_services_own_are_refused(desk: Any) -> None:
    settings = QuerySettings(rows_max=10, seconds_max=5)
    with pytest.raises(QueryError, match="rows_max must be from 1 to 10"):
        desk.ask("SELECT 1", settings=settings, rows_max=11)
    with pytest.raises(QueryError, match="seconds_max must be from 1 to 5"):
        desk.ask("SELECT 1", settings=settings, seconds_max=6)


@pytest.mark.parametrize(
    ("sql", "place", "problem"),
    [
        ("SELECT tool,\n  nope\nFROM decisions", (2, 3), "nope"),
        ("SELECT tool FROM decision", (1, 18), "there is no view 'decision'"),
        ("SELECT 'ü', tol FROM decisions", (1, 13), "tol"),
        ("SELECT lenth(tool) FROM decisions", (1, 8), "lenth"),
        ("SELECT tool FORM decisions x y", (1, 18), "syntax error"),
        ("SELECT 'x'::INTEGER", (1, 11), "x"),
    ],
)
def test_an_error_names_its_place(
    desk: Any, sql: str, place: tuple[int, int], problem: str
) -> None:
    with pytest.raises(QueryError, match=problem) as raised:
        desk.ask(sql)
    assert (raised.value.line, raised.value.column) == place


def test_only_so_many_queries_wait(desk: Any) -> None:
    async def main() -> None:
        settings = QuerySettings(running_max=1, waiting_max=1, seconds_max=10)
        executor = QueryExecutor(desk.parts, settings)

        async def ask() -> str:
            try:
                async for _ in executor.run("SELECT count(*) FROM range(1000)"):
                    pass
            except QueryError as error:
                return error.code
            return "answered"

        async with asyncio.timeout(20):
            codes = await asyncio.gather(*(ask() for _ in range(4)))
        assert sorted(codes) == ["answered", "answered", "unavailable", "unavailable"]

    asyncio.run(main())


def test_a_reader_that_leaves_ends_the_query(desk: Any) -> None:
    async def main() -> None:
        executor = QueryExecutor(desk.parts, QuerySettings(running_max=1, seconds_max=30))
        answers = executor.run("SELECT * FROM range(900000)")
        async with asyncio.timeout(10):
            await anext(answers)
            await anext(answers)
            await answers.aclose()
            async for _ in executor.run("SELECT 1"):
                pass

    asyncio.run(main())


def test_many_small_loads_leave_few_files(desk: Any) -> None:
    for number in range(60):
        desk.load(3)
        desk.parts.release(desk.parts.snapshot())
        if number % 10 == 0:
            desk.parts.tidy()
    assert desk.parts.count() < 60
    assert desk.ask("SELECT count(*), count(DISTINCT sequence) FROM decisions").rows == [[180, 180]]


def test_files_of_a_running_query_stay_and_go_behind_it(desk: Any, tmp_path: Path) -> None:
    desk.load(3)
    held = desk.parts.snapshot()
    for _ in range(30):
        desk.load(3)
        desk.parts.release(desk.parts.snapshot())
        desk.parts.tidy()
    assert all(path.exists() for paths in held.files.values() for path in paths)
    desk.parts.release(held)
    on_disk = len(list((tmp_path / "parts").glob("*.parquet")))
    assert on_disk == desk.parts.count()


def test_large_files_are_found_again_after_a_restart_and_nothing_else_is(
    desk: Any, tmp_path: Path
) -> None:
    for _ in range(8):
        desk.load(8_000)
        desk.parts.release(desk.parts.snapshot())
        desk.parts.tidy()
    (tmp_path / "parts" / "stray.parquet").write_bytes(b"")
    again = Parts(desk.warehouse, tmp_path / "parts")
    assert 1 <= again.count() <= 8
    assert not (tmp_path / "parts" / "stray.parquet").exists()
    desk.parts = again
    desk.load(1)
    assert desk.ask("SELECT count(*), count(DISTINCT sequence) FROM decisions").rows == [
        [64_001, 64_001]
    ]
