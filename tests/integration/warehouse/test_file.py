"""The file: one owner, the form it has, what is said where it cannot be opened."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from toolreeve.decision import Instant
from toolreeve.warehouse.errors import WarehouseError
from toolreeve.warehouse.store import Warehouse

Open = Callable[[], Warehouse]


def test_a_second_process_is_told_that_the_file_is_taken(open_warehouse: Open, at: Instant) -> None:
    import subprocess
    import sys

    warehouse = open_warehouse()
    code = (
        "import sys; from pathlib import Path\n"
        "from toolreeve.warehouse.store import Warehouse\n"
        "from toolreeve.warehouse.errors import WarehouseError\n"
        "try: Warehouse.open(Path(sys.argv[1]), at=1)\n"
        "except WarehouseError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(warehouse.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "another process has" in said.stdout
    assert "stop the other worker" in said.stdout


def test_a_file_that_is_not_a_warehouse_is_refused_with_a_remedy(
    tmp_path: Path, at: Instant
) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(b"\0" * 20_000)
    with pytest.raises(WarehouseError, match="sets the file aside"):
        Warehouse.open(path, at=at)


def test_a_file_of_a_newer_program_is_refused(open_warehouse: Open, at: Instant) -> None:
    warehouse = open_warehouse()
    path = warehouse.path
    warehouse.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 'x', 'y', now()::TIMESTAMP)")
    with pytest.raises(WarehouseError, match="schema version 99"):
        Warehouse.open(path, at=at)


def test_every_view_and_every_column_of_a_view_is_documented(open_warehouse: Open) -> None:
    from toolreeve.warehouse import report

    told = report.dictionary(open_warehouse())
    views = {view for view, column, _, _ in told if not column}
    assert {"decisions", "tool_usage_hourly", "policy_changes", "alerts", "fleet"} <= views
    assert [entry for entry in told if not entry[3]] == []
