"""A decision on record, explained: what the record and its policy's revision say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.audit import run_query
from toolreeve.cli.authoring.telling import plain_looks, print_looks
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import print_json
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, channel

if TYPE_CHECKING:
    from toolreeve.decision import CompiledPolicy
    from toolreeve.decision.look import Look

COLUMNS = (
    "time", "server", "tool", "wire_tool", "agent", '"grant"', "effect", "code", "mode", "rule",
    "reason", "retry_after_ms", "limit_counter", "arguments", "argument_names", "policy_revision",
)  # fmt: skip


def explain_recorded(
    decision_id: str, *, query: Place, control: Place, redacted: bool, as_json: bool
) -> None:
    """Print what a recorded decision's policy says of it, as far as the record goes."""
    from toolreeve.decision.retrace import Recorded, retrace

    record = _record(query, decision_id)
    revision = str(record["policy_revision"])
    kept: dict[str, object] = dict(record["arguments"] or {})
    looks: tuple[Look, ...] = ()
    if revision:
        recorded = Recorded(
            tool=record["tool"],
            code=record["code"],
            rule=record["rule"],
            names=tuple(record["argument_names"] or ()),
            kept=kept,
        )
        looks = retrace(_policy(control, revision), recorded)
    unknown = sum(1 for look in looks if not look.known)
    if as_json:
        print_json(
            {
                "decision": {**record, "arguments": None if redacted else kept},
                "looks": plain_looks(looks, redacted=redacted),
                "unknown": unknown,
            }
        )
        return
    click.echo(f"{record['tool']} on {record['server']}, called by {record['agent']}")
    click.echo(f"{record['time']}, decided by {revision or 'no policy'}")
    if kept and not redacted:
        click.echo("kept of the arguments: " + ", ".join(f"{at} = {v}" for at, v in kept.items()))
    click.echo()
    print_looks(looks, redacted=redacted)
    click.echo()
    parts = ("on record:", record["effect"], record["code"], record["mode"], record["rule"])
    click.echo("  ".join(part for part in parts if part))
    if record["reason"]:
        click.echo(f"  {record['reason']}")
    if record["retry_after_ms"] is not None:
        click.echo(f"  One more call would have been admitted in {record['retry_after_ms']} ms.")
    if unknown:
        click.echo(
            f"  {unknown} of {len(looks)} cannot be looked at again: the record has the names of "
            "arguments, the values of listed pointers, and not how full the counters were."
        )


def _record(query: Place, decision_id: str) -> dict[str, Any]:
    enforcer, _, rest = decision_id.partition(":")
    epoch, _, sequence = rest.partition(":")
    if not (enforcer and _is_number(epoch) and _is_number(sequence)):
        raise CommandError(
            f"{decision_id!r} is no decision's id",
            "it is ENFORCER:EPOCH:SEQUENCE, as the agent was told and as 'decisions' has it",
            exit_code=BAD_INPUT,
        )
    quoted = enforcer.replace("'", "''")
    sql = (
        f"SELECT {', '.join(COLUMNS)} FROM decisions WHERE enforcer = '{quoted}' "  # noqa: S608
        f"AND epoch = {epoch} AND sequence = {sequence}"
    )
    with channel(query) as opened:
        result = run_query(opened, sql, rows_max=1)
    if not result.rows:
        raise CommandError(
            f"no decision {decision_id} is in the history",
            "look for it with 'toolreeve audit query'; the newest may take a second to arrive",
        )
    return dict(zip(result.columns, result.rows[0], strict=True))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _policy(control: Place, revision: str) -> CompiledPolicy:
    from toolreeve.decision import compile_policy
    from toolreeve.policy import parse
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(control) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        request = operator_pb2.GetRevisionRequest(revision=revision)
        answer = stub.GetRevision(request, timeout=ANSWER_SECONDS_MAX)
    return compile_policy(parse(answer.body, source=revision))
