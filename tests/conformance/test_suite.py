"""The official conformance suite finds the same behind an enforcer as without one."""

from typing import Final

import pytest
from tests.conformance.conftest import NO_NAMES, Reports
from tests.conformance.sites import REPOSITORY
from tests.conformance.suite import REVISIONS, UNSCORED, Report

pytestmark = pytest.mark.timeout(300)

REQUIRED: Final = {"2026-07-28": 37, "2025-11-25": 30}
# Scenarios in which something differs by nature:
# a server on stdio, or without sessions, has no event streams to close and to come back to.
NO_STREAMS: Final = {"server-sse-polling", "server-sse-multiple-streams"}
BY_NATURE: Final = {
    ("gateway", "2026-07-28"): set[str](),
    ("gateway", "2025-11-25"): set[str](),
    ("bridge", "2026-07-28"): set[str](),
    ("bridge", "2025-11-25"): NO_STREAMS,
    ("session", "2026-07-28"): NO_NAMES,
    ("session-stdio", "2026-07-28"): NO_NAMES,
    ("stateless", "2025-11-25"): NO_STREAMS,
    ("stateless-stdio", "2025-11-25"): NO_STREAMS,
}

Key = tuple[str, str, str, int]


def keyed(report: Report) -> dict[Key, str]:
    return {(one.scenario, one.check, one.name, one.turn): one.status for one in report.findings}


def differences(one: Report, other: Report) -> dict[Key, tuple[str | None, str | None]]:
    """What was judged differently; an INFO judges nothing and counts as much as nothing."""
    first, second = keyed(one), keyed(other)
    both = {key: (first.get(key), second.get(key)) for key in sorted(first.keys() | second.keys())}
    return {
        key: (before, after)
        for key, (before, after) in both.items()
        if before != after and {before, after} != {"INFO", None}
    }


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_server_alone_does_all_that_a_revision_requires(
    reports: Reports, revision: str
) -> None:
    report = reports("direct", revision)
    scenarios = {one.scenario for one in report.findings}
    failed = {one.scenario for one in report.findings if one.status == "FAILURE"}
    assert len(scenarios) >= REQUIRED[revision]
    assert not [one for one in failed if not one.startswith(UNSCORED)]


@pytest.mark.parametrize(("way", "revision"), BY_NATURE)
def test_behind_the_enforcer_the_suite_finds_the_same_but_for_what_differs_by_nature(
    reports: Reports, way: str, revision: str
) -> None:
    found = differences(reports("direct", revision), reports(way, revision))
    unexpected = {key: one for key, one in found.items() if key[0] not in BY_NATURE[way, revision]}
    assert not unexpected
    assert {scenario for scenario, *_ in found} == BY_NATURE[way, revision]


def test_where_a_stream_is_missing_no_check_fails(reports: Reports) -> None:
    for (way, revision), scenarios in BY_NATURE.items():
        if scenarios is NO_STREAMS:
            report = reports(way, revision)
            assert not [
                one
                for one in report.findings
                if one.scenario in scenarios and one.status == "FAILURE"
            ]


# The columns of the tables in the reference.
COLUMNS: Final = {
    "2026-07-28": ("direct", "gateway", "bridge", "session", "session-stdio"),
    "2025-11-25": ("direct", "gateway", "bridge", "stateless", "stateless-stdio"),
}


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_reference_shows_what_is_found(reports: Reports, revision: str) -> None:
    columns = COLUMNS[revision]
    found = {way: reports(way, revision).scenarios() for way in columns}
    rows = [
        f"| `{scenario}` | " + " | ".join(found[way].get(scenario, "-") for way in columns) + " |"
        for scenario in found["direct"]
        if not scenario.startswith(UNSCORED)
    ]
    page = (REPOSITORY / "docs" / "reference" / "protocol.md").read_text()
    assert not [row for row in rows if row not in page], "\n".join(["the table:", *rows])
