"""Every kind of event, every kind of value, and what the views make of them."""

from collections.abc import Callable
from typing import Any

from toolreeve.audit import (
    AlertRaised,
    AlertResolved,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalUsed,
    Decided,
    Effect,
    EnforcerStarted,
    EnforcerStopped,
    Hold,
    HoldPlaced,
    HoldReleased,
    PolicyApplied,
    PolicyRefused,
    RequestRefused,
)
from toolreeve.decision import Instant
from toolreeve.detect.attempt import plain, text_of
from toolreeve.warehouse.store import Warehouse

Open = Callable[[], Warehouse]
Make = Callable[[str], Any]


def rows(warehouse: Warehouse, sql: str) -> list[Any]:
    return warehouse.reader().execute(sql).fetchall()


def test_every_kind_of_event_has_its_row(
    open_warehouse: Open, history: Make, at: Instant, decide: Callable[..., Decided]
) -> None:
    edge = history("edge-1")
    started = EnforcerStarted(software_version="1", host="h", servers=("truenas",), boot_id="b")
    hold = Hold(hold_id="h-1", tool="vm_restart", actor="ops", reason="burst")
    asked = ApprovalAsked(
        approval_id="a-1",
        decision_id="edge-1:1:2",
        server="truenas",
        grant="g-1",
        tool="vm_clone",
        arguments_hash=b"h",
        policy_revision="sha256:00",
        expires_at=at,
    )
    alert = AlertRaised(
        alert_id="al-1",
        rule="vm-restart-burst",
        detector="burst",
        severity="critical",
        summary="s",
        labels=(("target", "vm-1"),),
        since_at=at,
        crossed_at=at,
        observed=5.0,
        threshold=5.0,
        query="SELECT 1",
    )
    group = edge.seal(
        started,
        decide("vm_clone", effect=Effect.DENY),
        PolicyApplied(server="truenas", policy="p", revision="sha256:01", origin="control"),
        PolicyRefused(server="truenas", code="invalid", reason="no", origin="control"),
        RequestRefused(server="truenas", code="parse", reason="not JSON", transport="http"),
        HoldPlaced(hold=hold),
        HoldReleased(hold_id="h-1", actor="ops", reason="over"),
        asked,
        ApprovalGiven(approval_id="a-1", approved=True, actor="ops", reason="fine"),
        ApprovalUsed(approval_id="a-1", decision_id="edge-1:1:2"),
        alert,
        AlertResolved(alert_id="al-1", reason="quiet"),
        EnforcerStopped(reason="signal"),
    )
    warehouse = open_warehouse()
    report = warehouse.load([group], at=at)
    assert (len(report.events), report.quarantined) == (13, 0)
    assert rows(warehouse, "SELECT enforcer, servers, revisions, stop_reason FROM fleet") == [
        ("edge-1", ["truenas"], {"truenas": "sha256:01"}, "signal")
    ]
    assert rows(warehouse, "SELECT change, revision, code FROM policy_changes ORDER BY time") == [
        ("applied", "sha256:01", ""),
        ("refused", "", "invalid"),
    ]
    assert rows(warehouse, "SELECT hold_id, tool, released_by FROM holds") == [
        ("h-1", "vm_restart", "ops")
    ]
    assert rows(
        warehouse, "SELECT alert_id, labels['target'], resolved IS NOT NULL FROM alerts"
    ) == [("al-1", "vm-1", True)]
    assert rows(warehouse, "SELECT change, approved FROM approval_events ORDER BY sequence") == [
        ("asked", None),
        ("given", True),
        ("used", None),
    ]
    assert rows(warehouse, "SELECT code, transport FROM refused_requests") == [("parse", "http")]
    assert rows(warehouse, "SELECT calls, denied, limited FROM tool_usage_hourly") == [(1, 1, 1)]


def test_kept_arguments_of_every_kind_can_be_asked_for(
    open_warehouse: Open, history: Make, at: Instant
) -> None:
    from toolreeve.audit import Arguments, KeptArgument

    kept = {
        "/id": "7",
        "/name": '"o\'vm \\u0000 \\ud83d\\ude00"',
        "/big": "123456789012345678901234567890",
        "/ratio": "0.5",
        "/force": "true",
        "/none": "null",
        "/cut": '"cut in the mid',
        "/deep/x": "[1, {}]",
        "/long": "[" * 50_000,
    }
    arguments = Arguments(kept=tuple(KeptArgument(*pair) for pair in kept.items()))
    body = Decided(
        server="s",
        grant="g",
        agent="a",
        request_id="1",
        tool="t",
        wire_tool="t",
        effect=Effect.ALLOW,
        code="allowed",
        arguments=arguments,
    )
    warehouse = open_warehouse()
    report = warehouse.load([history("edge-1").seal(body)], at=at)
    assert report.quarantined == 0
    ((values,),) = rows(warehouse, "SELECT arguments FROM decisions")
    assert values == {
        "/id": 7,
        "/name": "o'vm \0 😀",
        "/big": "123456789012345678901234567890",
        "/ratio": 0.5,
        "/force": True,
        "/none": None,
        "/cut": '"cut in the mid',
        "/deep/x": [1, {}],
        "/long": "[" * 50_000,
    }
    assert rows(warehouse, "SELECT count(*) FROM decisions WHERE arguments['/id'] = 7") == [(1,)]
    seen_live = {pointer: plain(text) for pointer, text in kept.items()}
    assert {pointer: text_of(value) for pointer, value in values.items()} == seen_live
