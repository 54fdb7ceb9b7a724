"""A worker over a real NATS: everything exactly once, an alert that reaches people."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from toolreeve.decision import Instant
from toolreeve.v1 import query_pb2 as pb
from toolreeve.v1.query_pb2_grpc import QueryServiceStub

Start = Callable[..., Any]
WORKER = (sys.executable, "-m", "toolreeve.cli", "worker")
SECOND = 1_000_000_000


def test_every_published_call_becomes_one_decision_with_its_outcome(
    start_worker: Start, fleet: Any, now: Instant
) -> None:
    fleet.publish("edge-1", fleet.calls("edge-1", 40, at=now))
    fleet.publish("edge-2", fleet.calls("edge-2", 30, at=now, admitted=10))
    worker = start_worker()
    worker.wait_for(
        "SELECT enforcer, count(*), count(DISTINCT decision_id), count(outcome) FROM decisions"
        " GROUP BY enforcer ORDER BY enforcer",
        [["edge-1", 40, 40, 40], ["edge-2", 30, 30, 10]],
    )
    assert worker.rows("FROM integrity") == []
    assert worker.stop() == 0


def test_a_worker_killed_again_and_again_neither_loses_nor_doubles_a_call(
    start_worker: Start, fleet: Any, now: Instant
) -> None:
    worker = start_worker(consume={"ack_seconds": 0.5})
    groups = fleet.calls("edge-1", 3_000, at=now)
    for start in range(0, 3_000, 600):
        fleet.publish("edge-1", groups[start : start + 600])
        worker.kill()
        worker.start()
    worker.wait_for("SELECT count(*), count(DISTINCT sequence) FROM decisions", [[3_000, 3_000]])
    fleet.publish("edge-1", groups)  # everything once more, under other message ids
    fleet.publish("edge-2", fleet.calls("edge-2", 1, at=now))
    worker.wait_for("SELECT count(*) FROM decisions WHERE enforcer = 'edge-2'", [[1]])
    assert worker.rows("SELECT count(*), count(outcome) FROM decisions") == [[3_001, 3_001]]
    assert worker.rows("FROM integrity WHERE enforcer = 'edge-1'") == []


def test_a_burst_of_restarts_is_one_alert_in_the_table_and_at_the_receiver(
    start_worker: Start, fleet: Any, receiver: Any, now: Instant
) -> None:
    receiver.answers = [500]  # the first attempt fails and is repeated
    worker = start_worker(webhooks=[{"name": "ops", "url": receiver.url}])
    burst = fleet.calls(
        "edge-1", 12, at=now, step_ns=SECOND // 10, tool="vm_restart", vm="vm-7", admitted=10
    )
    fleet.publish("edge-1", burst)
    (told,) = receiver.wait_for(1)
    assert told["version"] == "4"
    assert told["status"] == "firing"
    assert told["receiver"] == "ops"
    (alert,) = told["alerts"]
    assert alert["labels"]["alertname"] == "vm-restart-burst"
    assert alert["labels"]["target"] == "vm-7"
    assert alert["endsAt"] == "0001-01-01T00:00:00Z"
    worker.wait_for("SELECT count(*), any_value(labels['target']) FROM alerts", [[1, "vm-7"]])
    worker.wait_for("SELECT delivered, attempts FROM notifications", [[True, 2]])
    ((query, alert_id),) = worker.rows("SELECT query, alert_id FROM alerts")
    assert alert_id == alert["labels"]["alert_id"]
    assert len(worker.rows(query)) == 12

    worker.kill()
    worker.start()
    fleet.publish(
        "edge-1",
        fleet.calls("edge-1", 5, at=Instant(now + 2 * SECOND), tool="vm_restart", vm="vm-7"),
    )
    worker.wait_for("SELECT count(*) FROM decisions", [[17]])
    worker.wait_for("SELECT count(*) FROM alerts", [[1]])
    assert len(receiver.bodies) == 1


def test_reports_alerts_and_progress_are_answered(
    start_worker: Start, fleet: Any, now: Instant
) -> None:
    worker = start_worker()
    fleet.publish("edge-1", fleet.calls("edge-1", 8, at=now, tool="vm_start", admitted=5))
    fleet.publish(
        "edge-1", fleet.calls("edge-1", 6, at=now, tool="vm_restart", vm="web", step_ns=1000)
    )
    worker.wait_for("SELECT count(*) FROM decisions", [[14]])
    worker.wait_for("SELECT count(*) FROM alerts", [[1]])
    with grpc.insecure_channel(worker.address) as channel:
        stub = QueryServiceStub(channel)
        usage = {tool.tool: tool for tool in stub.ReportUsage(pb.ReportUsageRequest()).tools}
        assert (usage["vm_start"].calls, usage["vm_start"].allowed) == (8, 5)
        assert (usage["vm_start"].denied, usage["vm_start"].limited) == (3, 3)
        assert usage["vm_start"].p50_ms == 2.0
        assert usage["vm_start"].agents == 1
        (alert,) = stub.ListAlerts(pb.ListAlertsRequest(open_only=True)).alerts
        assert alert.raised.rule == "vm-restart-burst"
        assert alert.resolved_unix_nano == 0
        progress = stub.GetProgress(pb.GetProgressRequest())
        marks = {mark.enforcer_id: mark.sequence for mark in progress.watermarks}
        assert marks["edge-1"] == 14 + 11
        assert progress.pending >= 0


def test_the_tail_shows_the_newest_decisions_and_then_each_new_one(
    start_worker: Start, fleet: Any, now: Instant
) -> None:
    worker = start_worker()
    fleet.publish("edge-1", fleet.calls("edge-1", 5, at=now))
    worker.wait_for("SELECT count(*) FROM decisions", [[5]])
    with grpc.insecure_channel(worker.address) as channel:
        stub = QueryServiceStub(channel)
        tail = stub.TailDecisions(pb.TailDecisionsRequest(last=2), timeout=20)
        shown = [next(tail).decision_id, next(tail).decision_id]
        assert shown == ["edge-1:1:7", "edge-1:1:9"]
        fleet.publish("edge-1", fleet.calls("edge-1", 3, at=Instant(now + SECOND), tool="vm_stop"))
        fresh = [next(tail) for _ in range(3)]
        assert [item.decided.tool for item in fresh] == ["vm_stop"] * 3
        assert fresh[0].completed.decision_id == fresh[0].decision_id
        tail.cancel()


def test_a_query_that_is_wrong_says_where(start_worker: Start) -> None:
    worker = start_worker()
    with grpc.insecure_channel(worker.address) as channel:
        stub = QueryServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.RunQuery(pb.RunQueryRequest(sql="SELECT tool,\n  nope FROM decisions")))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "line 2, column 3" in str(raised.value.details())


def test_nobody_writes_anothers_history(start_worker: Start, fleet: Any, now: Instant) -> None:
    worker = start_worker()
    forged = fleet.calls("edge-1", 1, at=now)
    fleet.publish("edge-2", [*forged, b"no group at all"])
    worker.wait_for("SELECT count(*) FROM integrity WHERE problem = 'quarantined'", [[2]])
    assert worker.rows("SELECT count(*) FROM decisions") == [[0]]
    fleet.publish("edge-1", forged)
    worker.wait_for("SELECT count(*) FROM decisions", [[1]])


def test_a_row_that_was_committed_a_moment_ago_is_seen(
    start_worker: Start, fleet: Any, now: Instant
) -> None:
    worker = start_worker()
    for number in range(1, 4):
        fleet.publish("edge-1", fleet.calls("edge-1", 10, at=Instant(now + number * SECOND)))
        begun = time.monotonic()
        worker.wait_for("SELECT count(*) FROM decisions", [[10 * number]])
        assert time.monotonic() - begun < 5
    assert json.loads(json.dumps(worker.rows("SELECT max(epoch) FROM fleet"))) == [[1]]


def test_a_worker_killed_in_the_middle_of_bursts_says_each_of_them_once(
    start_worker: Start, fleet: Any, receiver: Any, now: Instant
) -> None:
    worker = start_worker(
        consume={"ack_seconds": 0.5, "messages_max": 3},
        webhooks=[{"name": "ops", "url": receiver.url}],
    )
    for number in range(8):
        at = Instant(now + number * SECOND)
        burst = fleet.calls("edge-1", 12, at=at, tool="vm_restart", vm=f"vm-{number}")
        fleet.publish("edge-1", burst)
        time.sleep(0.03 * (number % 4))
        worker.kill()
        worker.start()
    worker.wait_for("SELECT count(*), count(DISTINCT decision_id) FROM decisions", [[96, 96]])
    worker.wait_for(
        "SELECT count(*), count(DISTINCT labels['target']) FROM alerts"
        " WHERE labels['target'] IS NOT NULL",
        [[8, 8]],
    )
    worker.wait_for(
        "SELECT count(DISTINCT alert_id) FROM notifications WHERE delivered AND alert_id IN"
        " (SELECT alert_id FROM alerts WHERE labels['target'] IS NOT NULL)",
        [[8]],
    )
    assert worker.rows("FROM integrity") == []


def test_the_worker_goes_on_when_nats_was_away(
    start_worker: Start,
    private_nats: Callable[[], Any],
    prefix: str,
    make_fleet: Callable[[str], Any],
    now: Instant,
) -> None:
    server = private_nats()
    fleet = make_fleet(server.url)
    worker = start_worker(nats_url=server.url, consume={"ack_seconds": 0.5})
    fleet.publish("edge-1", fleet.calls("edge-1", 20, at=now))
    worker.wait_for("SELECT count(*) FROM decisions", [[20]])
    server.kill()
    assert worker.rows("SELECT count(*) FROM decisions") == [[20]]
    server.start()
    fleet.publish("edge-1", fleet.calls("edge-1", 20, at=Instant(now + SECOND)))
    worker.wait_for("SELECT count(*) FROM decisions", [[40]])


def test_a_worker_starts_and_answers_before_nats_is_there(
    start_worker: Start, private_nats: Callable[[], Any]
) -> None:
    server = private_nats()
    url = server.url
    server.stop()
    worker = start_worker(nats_url=url)
    assert worker.rows("SELECT count(*) FROM decisions") == [[0]]
    with grpc.insecure_channel(worker.address) as channel:
        assert QueryServiceStub(channel).GetProgress(pb.GetProgressRequest()).pending == -1
    assert worker.stop() == 0


def test_a_lost_warehouse_is_filled_again_from_the_stream_to_the_same_rows(
    start_worker: Start, fleet: Any, now: Instant, tmp_path: Path
) -> None:
    worker = start_worker(consume={"ack_seconds": 0.5})
    fleet.publish("edge-1", fleet.calls("edge-1", 30, at=now))
    content = "SELECT decision_id, time, outcome FROM decisions ORDER BY decision_id"
    worker.wait_for("SELECT count(*) FROM decisions", [[30]])
    before = worker.rows(content)
    worker.stop()
    for file in (tmp_path / "data").glob("warehouse.duckdb*"):
        file.unlink()
    worker.start()
    worker.wait_for("SELECT count(*) FROM decisions", [[30]])
    assert worker.rows(content) == before
    worker.wait_for("SELECT count(*) FROM integrity", [[0]])


def test_a_second_worker_over_the_same_folder_is_refused(
    start_worker: Start, tmp_path: Path
) -> None:
    start_worker()
    second = subprocess.run(
        [*WORKER, "--config", str(tmp_path / "worker.toml")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 1
    assert "another process has" in second.stderr
    assert "stop the other worker" in second.stderr


def test_an_address_that_others_can_reach_must_be_asked_for(tmp_path: Path) -> None:
    config = tmp_path / "worker.toml"
    config.write_text(f'data = "{tmp_path}"\nlisten = "0.0.0.0:0"\n')
    refused = subprocess.run(
        [*WORKER, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert refused.returncode == 2
    assert "plaintext = true" in refused.stderr
