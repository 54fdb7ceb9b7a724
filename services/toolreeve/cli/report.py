"""`toolreeve report`: how tools are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import ago, span, written

if TYPE_CHECKING:
    from toolreeve.v1 import query_pb2

USAGE_COLUMNS = (
    "server", "tool", "calls", "allowed", "denied", "limited", "failed",
    "p50 ms", "p95 ms", "agents", "last",
)  # fmt: skip

USAGE_NUMERIC = USAGE_COLUMNS[2:-1]


@click.group()
def report() -> None:
    """Reports about the use of tools."""


@report.command()
@click.option("--since", "span_ns", type=span, help="Only the last 10m, 24h, 7d.")
@click.option("--server", default="", help="Only this upstream.")
@service_option(Service.QUERY)
@json_option
def usage(*, span_ns: int | None, server: str, place: Place, as_json: bool) -> None:
    """Count calls, refusals and failures by effective tool.

    `limited` is the part of `denied` that a limit refused; durations are of forwarded calls.
    """
    rows = ask_usage(place, since_ns=ago(span_ns) if span_ns else 0, server=server)
    if as_json:
        print_json([{name.replace(" ", "_"): row[name] for name in row} for row in rows])
    else:
        print_rows(
            shown_usage(rows),
            USAGE_COLUMNS,
            numeric=USAGE_NUMERIC,
            empty="no tool has been called",
        )


def ask_usage(place: Place, *, since_ns: int = 0, server: str = "") -> list[dict[str, Any]]:
    """Return the usage report as rows under USAGE_COLUMNS. `since_ns` 0: from the beginning."""
    from toolreeve.v1 import query_pb2, query_pb2_grpc

    request = query_pb2.ReportUsageRequest(since_unix_nano=since_ns, server=server)
    with channel(place) as opened:
        stub = query_pb2_grpc.QueryServiceStub(opened)
        answer = stub.ReportUsage(request, timeout=ANSWER_SECONDS_MAX)
    return [_plain(one) for one in answer.tools]


def shown_usage(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the report's rows with durations to two decimals, so that they stand aligned."""
    durations = ("p50 ms", "p95 ms")
    return [
        {**row, **{name: f"{row[name]:.2f}" for name in durations if row[name] is not None}}
        for row in rows
    ]


def _plain(one: query_pb2.ToolUsage) -> dict[str, Any]:
    return {
        "server": one.server,
        "tool": one.tool,
        "calls": one.calls,
        "allowed": one.allowed,
        "denied": one.denied,
        "limited": one.limited,
        "failed": one.failed,
        "p50 ms": round(one.p50_ms, 2) if one.HasField("p50_ms") else None,
        "p95 ms": round(one.p95_ms, 2) if one.HasField("p95_ms") else None,
        "agents": one.agents,
        "last": written(one.last_unix_nano),
    }
