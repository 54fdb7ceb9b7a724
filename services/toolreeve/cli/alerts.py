"""`toolreeve alerts`: what the detectors have raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import ago, span, written

if TYPE_CHECKING:
    from toolreeve.v1 import query_pb2


@click.group()
def alerts() -> None:
    """What the detectors have raised."""


@alerts.command("list")
@click.option("--since", "span_ns", type=span, help="Only the last 10m, 24h, 7d.")
@click.option("--open", "open_only", is_flag=True, help="Only those not over yet.")
@service_option(Service.QUERY)
@json_option
def list_alerts(*, span_ns: int | None, open_only: bool, place: Place, as_json: bool) -> None:
    """Show alerts, and with --json the SQL that shows the calls behind each."""
    from toolreeve.v1 import query_pb2, query_pb2_grpc

    request = query_pb2.ListAlertsRequest(
        since_unix_nano=ago(span_ns) if span_ns else 0, open_only=open_only
    )
    with channel(place) as opened:
        stub = query_pb2_grpc.QueryServiceStub(opened)
        answer = stub.ListAlerts(request, timeout=ANSWER_SECONDS_MAX)
    rows = [_plain(one) for one in answer.alerts]
    if as_json:
        print_json(rows)
    else:
        print_rows(
            rows,
            ["crossed", "severity", "rule", "summary", "observed", "threshold", "resolved"],
            numeric=("observed", "threshold"),
            empty="no alert has been raised",
        )


def _plain(one: query_pb2.Alert) -> dict[str, Any]:
    raised = one.raised
    return {
        "alert": raised.alert_id,
        "rule": raised.rule,
        "detector": raised.detector,
        "severity": raised.severity,
        "summary": raised.summary,
        "labels": dict(raised.labels),
        "since": written(raised.since_unix_nano),
        "crossed": written(raised.crossed_unix_nano),
        "observed": raised.observed,
        "threshold": raised.threshold,
        "baseline": raised.baseline,
        "query": raised.query,
        "resolved": written(one.resolved_unix_nano),
    }
