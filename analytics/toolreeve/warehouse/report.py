"""The questions that the product itself asks of the warehouse, and their answers as values.

Runs in the warehouse's own process, on a reader of its own; the SQL here is all ours.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from toolreeve.audit import (
    AlertRaised,
    Arguments,
    Completed,
    Decided,
    Effect,
    Event,
    KeptArgument,
    Outcome,
)
from toolreeve.audit.event import Position, event_id
from toolreeve.decision import Instant
from toolreeve.warehouse.store import Warehouse

MICROSECOND = 1_000
FETCH_ROWS = 2_000
BEGINNING = Instant(0)


class ToolUsage(Struct, frozen=True, kw_only=True):
    """How one effective tool was used. `limited` is part of `denied`, `failed` of `allowed`."""

    server: str
    tool: str
    calls: int
    allowed: int
    denied: int
    limited: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None
    agents: int
    last_at: Instant


class AlertRecord(Struct, frozen=True):
    """An alert, and when it was over."""

    raised: AlertRaised
    resolved_at: Instant | None


class DecisionRecord(Struct, frozen=True):
    """A decision as it was loaded by `load`, with its outcome where that is known."""

    load: int
    decided: Event
    completed: Completed | None


def usage(
    warehouse: Warehouse, *, since: Instant = BEGINNING, server: str = ""
) -> tuple[ToolUsage, ...]:
    """Use of each effective tool since an instant, the most used first."""
    rows = warehouse.reader().execute(
        """
        SELECT
            server, tool, count(*), count(*) FILTER (WHERE effect = 'allow'),
            count(*) FILTER (WHERE effect = 'deny'), count(*) FILTER (WHERE code = 'limited'),
            count(*) FILTER (WHERE outcome IN
                ('tool_error', 'rpc_error', 'timeout', 'not_sent', 'unknown')),
            quantile_cont(duration_ms, 0.5), quantile_cont(duration_ms, 0.95),
            count(DISTINCT agent), epoch_us(max(time))
        FROM decisions
        WHERE time >= make_timestamp($1) AND ($2 = '' OR server = $2)
        GROUP BY server, tool
        ORDER BY count(*) DESC, server, tool
        """,
        [since // MICROSECOND, server],
    )
    return tuple(
        ToolUsage(
            server=row[0],
            tool=row[1],
            calls=row[2],
            allowed=row[3],
            denied=row[4],
            limited=row[5],
            failed=row[6],
            p50_ms=row[7],
            p95_ms=row[8],
            agents=row[9],
            last_at=_instant(row[10]),
        )
        for row in rows.fetchall()
    )


def alerts(
    warehouse: Warehouse, *, since: Instant = BEGINNING, open_only: bool = False
) -> tuple[AlertRecord, ...]:
    """Alerts that crossed their line since an instant, the newest first."""
    rows = warehouse.reader().execute(
        """
        SELECT
            alert_id, rule, detector, severity, summary, labels, epoch_us(since),
            epoch_us(crossed), observed, threshold, baseline, query, epoch_us(resolved)
        FROM alerts
        WHERE crossed >= make_timestamp($1) AND (resolved IS NULL OR NOT $2)
        ORDER BY crossed DESC, alert_id
        """,
        [since // MICROSECOND, open_only],
    )
    return tuple(_alert(row) for row in rows.fetchall())


def decisions(
    warehouse: Warehouse,
    *,
    after_load: int,
    up_to_load: int,
    server: str = "",
    tool: str = "",
    newest: int | None = None,
) -> Iterator[DecisionRecord]:
    """Decisions of some loads in the order in which they were loaded; blocks while it reads.

    With `newest` only so many of them, the newest ones.
    """
    order = "load, time, enforcer, epoch, sequence"
    backwards = "load DESC, time DESC, enforcer DESC, epoch DESC, sequence DESC"
    chosen = f"ORDER BY {backwards} LIMIT {newest:d}" if newest is not None else ""
    reader = warehouse.reader().execute(
        f"""
        WITH chosen AS (
            FROM decided
            WHERE load > $1 AND load <= $2 AND ($3 = '' OR server = $3) AND ($4 = '' OR tool = $4)
            {chosen}
        )
        SELECT
            d.load, d.enforcer, d.epoch, d.sequence, epoch_us(d.time), d.server, d."grant",
            d.agent, d.session, d.request_id, d.tool, d.wire_tool, d.tool_group, d.effect, d.code,
            d.rule, d.reason, d.policy_revision, d.retry_after_ms, d.limit_counter,
            d.argument_names, d.arguments, d.arguments_hash, d.arguments_bytes,
            d.protocol_version, d.decision_ns, d.mode, c.outcome, c.duration_ns, c.request_bytes,
            c.response_bytes, c.rpc_error_code, c.detail
        FROM chosen AS d
        LEFT JOIN completed AS c
            ON c.enforcer = d.enforcer AND c.decided_epoch = d.epoch
            AND c.decided_sequence = d.sequence AND NOT c.again
        ORDER BY {", ".join("d." + column for column in order.split(", "))}
        """,  # noqa: S608  names of our own and a number
        [after_load, up_to_load, server, tool],
    )
    while rows := reader.fetchmany(FETCH_ROWS):
        yield from map(_decision, rows)


def newest_time(warehouse: Warehouse) -> Instant:
    """Time of the newest decision; 0 where there is none."""
    row = warehouse.reader().execute("SELECT epoch_us(max(time)) FROM decided").fetchone()
    return _instant(row[0]) if row and row[0] is not None else Instant(0)


def tools(warehouse: Warehouse) -> tuple[str, ...]:
    """Every effective tool that was ever called."""
    rows = warehouse.reader().execute("SELECT DISTINCT tool FROM decided ORDER BY tool")
    return tuple(tool for (tool,) in rows.fetchall())


class Tried(Struct, frozen=True, kw_only=True):
    """What is kept of a decision for those who watch: who tried what, when, and how it went."""

    at: Instant
    server: str
    tool: str
    grant: str
    agent: str
    admitted: bool
    values: dict[str, object]


def tried(
    warehouse: Warehouse,
    *,
    tools: Sequence[str],
    since: Instant,
    after_load: int = 0,
    up_to_load: int,
) -> Iterator[Tried]:
    """Calls of some tools, in the order in which they were loaded; blocks while it reads."""
    reader = warehouse.reader().execute(
        """
        SELECT epoch_us(time), server, tool, "grant", agent, effect, arguments
        FROM decided
        WHERE tool IN (SELECT unnest($1::VARCHAR[])) AND time >= make_timestamp($2)
            AND load > $3 AND load <= $4
        ORDER BY load, time, enforcer, epoch, sequence
        """,
        [list(tools), since // MICROSECOND, after_load, up_to_load],
    )
    while rows := reader.fetchmany(FETCH_ROWS):
        for micros, server, tool, grant, agent, effect, arguments in rows:
            yield Tried(
                at=_instant(micros),
                server=server,
                tool=tool,
                grant=grant,
                agent=agent,
                admitted=effect == Effect.ALLOW.value,
                values=arguments,
            )


class ToolEvent(Struct, frozen=True, kw_only=True):
    """What is kept of a tool's definition being seen, changed or approved."""

    at: Instant
    enforcer: str
    change: str
    server: str
    tool: str
    digest: str
    previous_digest: str
    approved_digest: str
    members: tuple[str, ...]
    looks_like: str
    together: int


def tool_events(warehouse: Warehouse, *, up_to_load: int) -> Iterator[ToolEvent]:
    """All of them, in the order in which they were loaded; blocks while it reads."""
    reader = warehouse.reader().execute(
        """
        SELECT epoch_us(time), enforcer, change, server, tool, digest, previous_digest,
            approved_digest, members, looks_like, together
        FROM tool_events
        WHERE load <= $1
        ORDER BY load, time, enforcer, epoch, sequence
        """,
        [up_to_load],
    )
    while rows := reader.fetchmany(FETCH_ROWS):
        for row in rows:
            yield ToolEvent(
                at=_instant(row[0]),
                enforcer=row[1],
                change=row[2],
                server=row[3],
                tool=row[4],
                digest=row[5],
                previous_digest=row[6],
                approved_digest=row[7],
                members=tuple(row[8]),
                looks_like=row[9],
                together=row[10],
            )


def told(warehouse: Warehouse) -> frozenset[tuple[str, str, str]]:
    """Notifications that were delivered, as (alert id, status, receiver)."""
    rows = warehouse.reader().execute(
        "SELECT alert_id, status, receiver FROM notifications WHERE delivered"
    )
    return frozenset((alert_id, status, receiver) for alert_id, status, receiver in rows.fetchall())


def dictionary(warehouse: Warehouse) -> tuple[tuple[str, str, str, str], ...]:
    """The published views: (view, column, type, comment); a view's own row has no column."""
    return tuple(
        warehouse.reader()
        .execute(
            """
            SELECT view_name, '', '', comment FROM duckdb_views() WHERE NOT internal
            UNION ALL
            SELECT table_name, column_name, data_type, comment
            FROM duckdb_columns()
            WHERE table_name IN (SELECT view_name FROM duckdb_views() WHERE NOT internal)
            ORDER BY ALL
            """
        )
        .fetchall()
    )


def _instant(micros: int) -> Instant:
    return Instant(micros * MICROSECOND)


def _alert(row: tuple[Any, ...]) -> AlertRecord:
    raised = AlertRaised(
        alert_id=row[0],
        rule=row[1],
        detector=row[2],
        severity=row[3],
        summary=row[4],
        labels=tuple(sorted(row[5].items())),
        since_at=_instant(row[6]),
        crossed_at=_instant(row[7]),
        observed=row[8],
        threshold=row[9],
        baseline=row[10],
        query=row[11],
    )
    return AlertRecord(raised, None if row[12] is None else _instant(row[12]))


def _decision(row: tuple[Any, ...]) -> DecisionRecord:
    load, enforcer, epoch, sequence, micros, *rest = row
    names, values, keyed_hash, size = rest[15:19]
    decided = Decided(
        server=rest[0],
        grant=rest[1],
        agent=rest[2],
        session=rest[3],
        request_id=rest[4],
        tool=rest[5],
        wire_tool=rest[6],
        tool_group=rest[7],
        effect=Effect(rest[8]),
        code=rest[9],
        rule=rest[10],
        reason=rest[11],
        policy_revision=rest[12],
        retry_after_ms=rest[13],
        limit_counter=rest[14],
        arguments=Arguments(
            names=tuple(names),
            kept=tuple(KeptArgument(key, json.dumps(values[key])) for key in sorted(values)),
            keyed_hash=keyed_hash,
            size_bytes=size,
        ),
        protocol_version=rest[19],
        decision_ns=rest[20],
        mode=rest[21],
    )
    event = Event(
        enforcer=enforcer, epoch=epoch, sequence=sequence, at=_instant(micros), body=decided
    )
    outcome, duration_ns, request_bytes, response_bytes, rpc_error_code, detail = rest[22:28]
    if outcome is None:
        return DecisionRecord(load, event, None)
    completed = Completed(
        decision_id=event_id(enforcer, Position(epoch, sequence)),
        outcome=Outcome(outcome),
        duration_ns=duration_ns,
        request_bytes=request_bytes,
        response_bytes=response_bytes,
        rpc_error_code=rpc_error_code,
        detail=detail,
    )
    return DecisionRecord(load, event, completed)
