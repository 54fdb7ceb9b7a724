"""The functions that a query may call."""

import re

from toolreeve.warehouse.executor import functions


def test_none_of_them_reads_writes_waits_or_tells_of_the_machine() -> None:
    named = set(functions())
    banned = re.compile(
        r"read_|write_|copy|glob|getenv|setting|sleep|pg_|duckdb_|pragma|nextval|currval|setval"
        r"|variable|^version|query|serialize|secret|current_(user|database|schema|catalog)|log_"
    )
    assert sorted(name for name in named if banned.search(name)) == []


def test_they_are_in_lower_case_and_each_stands_once() -> None:
    named = functions()
    assert len(named) == len(set(named)) > 400
    assert all(name == name.lower() for name in named)
