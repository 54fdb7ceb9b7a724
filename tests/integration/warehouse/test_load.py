"""Loading: each event once, whatever order and however often its group comes."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolreeve.audit import (
    Completed,
    Decided,
    Outcome,
    Position,
)
from toolreeve.decision import Instant
from toolreeve.warehouse.batch import Spoiled
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import Group

Open = Callable[[], Warehouse]
Make = Callable[[str], Any]


def rows(warehouse: Warehouse, sql: str) -> list[Any]:
    return warehouse.reader().execute(sql).fetchall()


def changed(group: Group, **fields: Any) -> Group:
    known = {name: getattr(group, name) for name in group.__struct_fields__}
    return Group(**{**known, **fields})


def test_a_decision_and_its_outcome_are_one_row(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    warehouse = open_warehouse()
    report = warehouse.load(history("edge-1").calls(3), at=at)
    assert (report.load, len(report.events), report.anomalies) == (1, 24, ())
    assert rows(warehouse, "SELECT count(*), count(outcome) FROM decisions") == [(12, 12)]
    assert rows(
        warehouse,
        "SELECT arguments['/id']::VARCHAR AS vm, count(*) FROM decisions GROUP BY vm ORDER BY vm",
    ) == [("vm-0", 4), ("vm-1", 4), ("vm-2", 4)]
    assert rows(warehouse, "SELECT decision_id, duration_ms FROM decisions ORDER BY sequence")[
        0
    ] == ("edge-1:1:1", 1.0)


def test_what_comes_again_is_skipped(
    open_warehouse: Open, history: Make, at: Instant, content: Any
) -> None:
    groups = history("edge-1").calls(5)
    warehouse = open_warehouse()
    warehouse.load(groups, at=at)
    before = content(warehouse)
    report = warehouse.load(groups[1:4], at=at)
    assert (report.load, report.events, report.duplicates) == (1, (), 24)
    warehouse = open_warehouse()
    assert warehouse.load([*groups, *groups], at=at).duplicates == 80
    assert content(warehouse) == before


def test_a_group_behind_a_gap_is_loaded_at_once_and_the_gap_is_known_until_it_is_filled(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    one, two, three, four = history("edge-1").calls(4)
    warehouse = open_warehouse()
    warehouse.load([one], at=at)
    report = warehouse.load([four, *history("edge-2").calls(1)], at=at)
    (gap,) = report.anomalies
    assert (gap.kind, gap.first_sequence, gap.last_sequence) == ("gap", 9, 24)
    assert rows(warehouse, "SELECT enforcer, count(*) FROM decisions GROUP BY 1 ORDER BY 1") == [
        ("edge-1", 8),
        ("edge-2", 4),
    ]
    assert warehouse.watermarks()[0].position == Position(1, 8)
    assert rows(
        warehouse, "SELECT problem, enforcer, first_sequence, last_sequence FROM integrity"
    ) == [("gap", "edge-1", 9, 24)]
    warehouse = open_warehouse()
    warehouse.load([three], at=at)
    warehouse.load([two, four], at=at)
    assert rows(warehouse, "FROM integrity") == []
    assert warehouse.watermarks()[0].position == Position(1, 32)
    assert rows(warehouse, "SELECT count(*) FROM decisions WHERE enforcer = 'edge-1'") == [(16,)]
    assert rows(warehouse, "SELECT kind FROM anomalies") == [
        ("gap",),
        ("gap_filled",),
        ("gap_filled",),
    ]


def test_a_history_that_begins_in_the_middle_is_loaded_and_its_beginning_can_follow(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    groups = history("edge-1").calls(3)
    warehouse = open_warehouse()
    warehouse.load(groups[2:], at=at)
    assert warehouse.watermarks() == ()
    warehouse.load(groups[:2], at=at)
    assert warehouse.watermarks()[0].position == Position(1, 24)
    assert rows(warehouse, "FROM integrity") == []


@given(data=st.data())
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_order_any_repeats_and_any_batches_give_the_same_rows(
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    history: Make,
    at: Instant,
    content: Any,
) -> None:
    first, second = history("edge-1"), history("edge-2")
    groups = [*first.calls(4, 2), *second.calls(3, 1)]
    first.restart()
    groups += first.calls(2, 1)
    folder = tmp_path_factory.mktemp("orders")
    whole = Warehouse.open(folder / "whole.duckdb", at=at)
    whole.load(groups, at=at)
    mixed = Warehouse.open(folder / "mixed.duckdb", at=at)
    try:
        order = data.draw(st.permutations(range(len(groups))))
        repeats = data.draw(st.lists(st.sampled_from(range(len(groups))), max_size=6))
        queue = [groups[place] for place in [*order, *repeats]]
        while queue:
            size = data.draw(st.integers(1, len(queue)))
            mixed.load(queue[:size], at=at)
            queue = queue[size:]
            if data.draw(st.booleans()):
                mixed.close()
                mixed = Warehouse.open(folder / "mixed.duckdb", at=at)
        assert content(mixed) == content(whole)
        assert rows(mixed, "FROM integrity") == []
    finally:
        whole.close()
        mixed.close()


def test_a_second_history_under_the_same_numbers_is_kept_aside_and_reported_once(
    open_warehouse: Open, history: Make, at: Instant, decide: Callable[..., Decided]
) -> None:
    true, false = history("edge-1"), history("edge-1")
    shared = true.seal(decide())
    false.seal(decide())
    behind, forked = true.seal(decide("vm_start")), false.seal(decide("vm_stop"))
    warehouse = open_warehouse()
    warehouse.load([shared, behind], at=at)
    report = warehouse.load([forked], at=at)
    assert [anomaly.kind for anomaly in report.anomalies] == ["fork"]
    assert warehouse.load([forked], at=at).anomalies == ()
    assert rows(warehouse, "SELECT tool FROM decisions ORDER BY sequence") == [
        ("vm_restart",),
        ("vm_start",),
    ]
    assert rows(warehouse, "SELECT payload FROM quarantine") == [(forked.raws[0],)]
    assert rows(warehouse, "SELECT problem FROM integrity") == [("quarantined",)]


def test_a_group_that_does_not_follow_the_one_before_is_kept_aside(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    one, two = history("edge-1").calls(2)
    warehouse = open_warehouse()
    warehouse.load([one], at=at)
    report = warehouse.load([changed(two, previous_hash=b"\x07" * 32)], at=at)
    assert [anomaly.kind for anomaly in report.anomalies] == ["fork"]
    warehouse.load([two], at=at)
    assert warehouse.watermarks()[0].position == Position(1, 16)


def test_a_false_group_behind_a_gap_does_not_keep_the_true_one_out(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    one, two, three = history("edge-1").calls(3)
    warehouse = open_warehouse()
    warehouse.load([one, changed(three, previous_hash=b"\x07" * 32)], at=at)
    report = warehouse.load([two], at=at)
    assert [anomaly.kind for anomaly in report.anomalies] == ["fork", "gap_filled"] or [
        anomaly.kind for anomaly in report.anomalies
    ] == ["gap_filled", "fork"]
    assert warehouse.watermarks()[0].position == Position(1, 16)
    assert ("fork",) in rows(warehouse, "SELECT problem FROM integrity")


def test_a_start_that_does_not_follow_the_epoch_before_is_seen_until_the_rest_has_come(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    edge = history("edge-1")
    one, two = edge.calls(2)
    edge.restart()
    warehouse = open_warehouse()
    warehouse.load([one, *edge.calls(1)], at=at)
    assert rows(warehouse, "SELECT problem, epoch FROM integrity") == [("unlinked epoch", 2)]
    warehouse.load([two], at=at)
    assert rows(warehouse, "FROM integrity") == []


def test_an_event_that_cannot_be_read_is_kept_with_its_bytes_and_the_rest_flows(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    edge = history("edge-1")
    (one,) = edge.calls(1)
    foreign = history("edge-2").calls(1)[0].raws[0]
    raws = (one.raws[0], b"\xff\xff", foreign, *one.raws[3:])
    warehouse = open_warehouse()
    report = warehouse.load([changed(one, raws=raws)], at=at)
    assert [anomaly.kind for anomaly in report.anomalies] == ["poison", "poison"]
    assert report.quarantined == 2
    assert len(report.events) == 6
    kept = rows(warehouse, "SELECT sequence, payload FROM quarantine ORDER BY sequence")
    assert kept == [(2, b"\xff\xff"), (3, foreign)]
    assert warehouse.watermarks()[0].position == Position(1, 8)


def test_values_that_no_column_takes_spoil_their_own_event_only(
    open_warehouse: Open, history: Make, at: Instant, decide: Callable[..., Decided]
) -> None:
    edge = history("edge-1")
    group = edge.seal(
        decide(),
        Completed(decision_id=f"edge-1:{2**70}:1", outcome=Outcome.SUCCESS),
        Completed(decision_id="edge-2:1:1", outcome=Outcome.SUCCESS),
        Completed(decision_id="edge-1:1:one", outcome=Outcome.SUCCESS),
        Completed(decision_id="edge-1:1:1", outcome=Outcome.TIMEOUT),
    )
    warehouse = open_warehouse()
    report = warehouse.load([group, *history("edge-3").calls(1)], at=at)
    assert report.quarantined == 3
    assert rows(warehouse, "SELECT outcome FROM decisions WHERE enforcer = 'edge-1'") == [
        ("timeout",)
    ]
    assert rows(warehouse, "SELECT count(*) FROM decisions") == [(5,)]


def test_a_row_that_the_table_refuses_spoils_its_own_event_only(
    open_warehouse: Open, history: Make, at: Instant, decide: Callable[..., Decided]
) -> None:
    warehouse = open_warehouse()
    warehouse.reader().execute("CREATE UNIQUE INDEX one_of_each ON decided (tool)")
    groups = [history("edge-1").seal(decide("a"), decide("b"))]
    groups.append(history("edge-2").seal(decide("c"), decide("d")))
    warehouse.load(groups[:1], at=at)
    more = history("edge-3").seal(decide("a"), decide("e"))
    report = warehouse.load([more, groups[1]], at=at)
    assert report.quarantined == 1
    assert rows(warehouse, "SELECT tool FROM decisions ORDER BY tool") == [*map(tuple, "abcde")]
    assert rows(warehouse, "SELECT enforcer, sequence FROM quarantine") == [("edge-3", 1)]


def test_a_message_that_is_no_group_is_kept_once(open_warehouse: Open, at: Instant) -> None:
    warehouse = open_warehouse()
    message = Spoiled("edge-9", "not an EventBatch", b"nonsense")
    warehouse.load([], at=at, spoiled=[message])
    warehouse.load([], at=at, spoiled=[message, message])
    assert rows(warehouse, "SELECT enforcer, reason, payload FROM quarantine") == [
        ("edge-9", "not an EventBatch", b"nonsense")
    ]


def test_the_first_of_two_outcomes_counts_and_a_decision_stays_one_row(
    open_warehouse: Open, history: Make, at: Instant, decide: Callable[..., Decided]
) -> None:
    edge = history("edge-1")
    first = Completed(decision_id="edge-1:1:1", outcome=Outcome.SUCCESS)
    again = Completed(decision_id="edge-1:1:1", outcome=Outcome.UNKNOWN)
    groups = [edge.seal(decide()), edge.seal(first, again), edge.seal(again)]
    edge.restart()
    late = edge.seal(again)
    warehouse = open_warehouse()
    warehouse.load(groups[:2], at=at)
    warehouse = open_warehouse()
    warehouse.load([groups[2], late], at=at)
    assert rows(warehouse, "SELECT outcome FROM decisions") == [("success",)]
    assert rows(warehouse, "SELECT count(*) FROM completed WHERE again") == [(3,)]


def test_an_outcome_that_comes_before_its_decision_counts_once(
    open_warehouse: Open, history: Make, at: Instant, decide: Callable[..., Decided]
) -> None:
    edge = history("edge-1")
    ended = Completed(decision_id="edge-1:1:1", outcome=Outcome.SUCCESS)
    one, two, three = edge.seal(decide()), edge.seal(ended), edge.seal(ended)
    warehouse = open_warehouse()
    warehouse.load([two], at=at)
    warehouse.load([one], at=at)
    warehouse.load([three], at=at)
    assert rows(warehouse, "SELECT outcome FROM decisions") == [("success",)]


def test_marks_are_set_with_the_load_they_came_with(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(2)
    warehouse.load(groups[:1], at=at, marks={"detected": 0})
    warehouse.load(groups[1:], at=at, marks={"detected": 1})
    warehouse = open_warehouse()
    assert warehouse.mark("detected") == 1
    assert warehouse.last_load == 2
