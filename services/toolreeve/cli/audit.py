"""`toolreeve audit`: the history of every decision, in SQL or live."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.following import until_interrupted
from toolreeve.cli.lazy import LazyGroup
from toolreeve.cli.output import json_option, print_csv, print_json, print_json_line, print_table
from toolreeve.cli.reach import Place, Service, channel, service_option
from toolreeve.cli.times import written

if TYPE_CHECKING:
    import grpc

    from toolreeve.v1 import audit_pb2, query_pb2

TABLE_ROWS_MAX = 1_000  # unless more are asked for: nobody reads them, and aligning them takes long
NUMERIC = ("INT", "DECIMAL", "DOUBLE", "FLOAT")


class Result(Struct, frozen=True):
    """What a query brought. Values are what JSON can say; see query.proto for the rest."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[list[Any]]
    elapsed_ms: int
    truncated: bool


# name -> (module, attribute, one line for --help)
COMMANDS = {
    "query": ("toolreeve.cli.audit", "query", "Run one SELECT over the history."),
    "tail": ("toolreeve.cli.audit", "tail", "Follow decisions as they reach the warehouse."),
    "export": ("toolreeve.cli.trail.export", "export", "Write the history as files."),
    "match": (
        "toolreeve.cli.erasing.match",
        "match",
        "Find the calls that a value you know stood in.",
    ),
    "erase": ("toolreeve.cli.erasing.erase", "erase", "Erase what events hold of arguments."),
    "rotate-key": (
        "toolreeve.cli.erasing.rotate_key",
        "rotate_key",
        "Hash arguments under a new key.",
    ),
    "proof": ("toolreeve.cli.trail.proof", "proof", "Prove that one event stands in the history."),
    "verify": ("toolreeve.cli.trail.verify", "verify", "Check that a history is whole."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def audit() -> None:
    """Ask the audit history, in SQL or live; take it along and prove it."""


@click.command()
@click.argument("sql", required=False)
@click.option("--file", "file", type=click.File("r"), help="Read the SQL from a file; - is stdin.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@click.option(
    "--rows-max", type=click.IntRange(min=0), default=0, help="Stop after this many rows."
)
@click.option(
    "--seconds-max", type=click.IntRange(min=0), default=0, help="Give up after this long."
)
@service_option(Service.QUERY)
@json_option
def query(
    *,
    sql: str | None,
    file: Any,
    as_csv: bool,
    rows_max: int,
    seconds_max: int,
    place: Place,
    as_json: bool,
) -> None:
    """Run one SELECT over the history.

    Tables and views: decisions, tool_usage_hourly, policy_changes, alerts, fleet. Times are UTC.
    """
    if (sql is None) == (file is None):
        raise CommandError(
            "no query is given" if sql is None else "a query and --file are both given",
            "give SQL as one argument, or --file FILE",
            exit_code=BAD_INPUT,
        )
    if as_csv and as_json:
        raise CommandError(
            "--csv and --json exclude one another", "choose one", exit_code=BAD_INPUT
        )
    text = sql if sql is not None else file.read()
    if rows_max == 0 and not (as_csv or as_json):
        rows_max = TABLE_ROWS_MAX
    with channel(place) as opened:
        result = run_query(opened, text, rows_max=rows_max, seconds_max=seconds_max)
    if as_json:
        print_json([dict(zip(result.columns, row, strict=True)) for row in result.rows])
    elif as_csv:
        print_csv(result.columns, result.rows)
    else:
        numeric = [
            name
            for name, type_ in zip(result.columns, result.types, strict=True)
            if any(part in type_ for part in NUMERIC)
        ]
        print_table(result.columns, result.rows, numeric=numeric)
        rows = "1 row" if len(result.rows) == 1 else f"{len(result.rows)} rows"
        click.echo(f"{rows} in {result.elapsed_ms} ms")
    if result.truncated:
        click.echo(
            f"toolreeve: only the first {len(result.rows)} rows are shown; "
            "narrow the query, raise --rows-max, or use --csv",
            err=True,
        )


def run_query(opened: grpc.Channel, sql: str, *, rows_max: int = 0, seconds_max: int = 0) -> Result:
    """Run one SELECT through the query service. Raises grpc.RpcError as it comes."""
    from toolreeve.v1 import query_pb2, query_pb2_grpc

    columns: tuple[query_pb2.QueryColumn, ...] = ()
    rows: list[list[Any]] = []
    end = query_pb2.QueryEnd()
    request = query_pb2.RunQueryRequest(sql=sql, rows_max=rows_max, seconds_max=seconds_max)
    for response in query_pb2_grpc.QueryServiceStub(opened).RunQuery(request):
        match response.WhichOneof("part"):
            case "header":
                columns = tuple(response.header.columns)
            case "rows":
                rows.extend(json.loads(response.rows.rows_json))
            case "end":
                end = response.end
            case None:
                pass  # a part this version does not know
    return Result(
        columns=tuple(column.name for column in columns),
        types=tuple(column.type for column in columns),
        rows=rows,
        elapsed_ms=end.elapsed_ms,
        truncated=end.truncated,
    )


@click.command()
@click.option("--server", default="", help="Only this upstream.")
@click.option("--tool", default="", help="Only this effective tool.")
@click.option("--last", default=10, show_default=True, help="Begin with this many of the newest.")
@service_option(Service.QUERY)
@json_option
def tail(*, server: str, tool: str, last: int, place: Place, as_json: bool) -> None:
    """Follow decisions as they reach the warehouse, until Ctrl-C.

    With --json, one object a line.
    """
    from toolreeve.v1 import query_pb2, query_pb2_grpc

    request = query_pb2.TailDecisionsRequest(server=server, tool=tool, last=last)
    with channel(place) as opened:
        following = until_interrupted(
            query_pb2_grpc.QueryServiceStub(opened).TailDecisions(request)
        )
        for one in following:
            if as_json:
                print_json_line(_plain(one))
            else:
                click.echo(_line(one))


def _line(one: query_pb2.TailDecisionsResponse) -> str:
    decided = one.decided
    verdict = "allow" if decided.effect == 1 else f"deny {decided.code}"
    kept = " ".join(f"{kept.pointer}={kept.value_json}" for kept in decided.arguments.kept)
    parts = [
        written(one.time_unix_nano) or "-",
        f"{verdict:<14}",
        f"{decided.server}/{decided.tool}",
        kept,
        f"by {decided.agent}",
    ]
    if one.HasField("completed"):
        parts.append(_outcome(one.completed.outcome))
    return "  ".join(part for part in parts if part)


def _plain(one: query_pb2.TailDecisionsResponse) -> dict[str, Any]:
    decided = one.decided
    return {
        "decision_id": one.decision_id,
        "time": written(one.time_unix_nano),
        "server": decided.server,
        "tool": decided.tool,
        "wire_tool": decided.wire_tool,
        "effect": "allow" if decided.effect == 1 else "deny",
        "code": decided.code,
        "rule": decided.rule,
        "reason": decided.reason,
        "grant": decided.grant,
        "agent": decided.agent,
        "policy_revision": decided.policy_revision,
        "retry_after_ms": decided.retry_after_ms if decided.HasField("retry_after_ms") else None,
        "arguments": {kept.pointer: json.loads(kept.value_json) for kept in decided.arguments.kept},
        "outcome": _outcome(one.completed.outcome) if one.HasField("completed") else None,
    }


def _outcome(outcome: audit_pb2.Outcome.ValueType) -> str:
    from toolreeve.v1 import audit_pb2

    return audit_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_").lower()
