"""The tables as the loader fills them, and the statements that do it.

A load passes one JSON text of columns for each table, which DuckDB turns into rows by itself:
measured at 24 columns it costs 15 us a row, where binding lists of Python values and `unnest`
cost 18-23 us and single-row inserts 2,600 us.
"""

import json
from collections.abc import Sequence

import msgspec
from msgspec import Struct

Row = tuple[object, ...]


class Table(Struct, frozen=True):
    """A table's columns as (name, type). `TIMESTAMP` takes microseconds, `VARIANT` JSON text."""

    name: str
    columns: tuple[tuple[str, str], ...]


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    """Read "name TYPE, name TYPE"; a name without a type is a VARCHAR."""
    pairs = (word.strip().partition(" ") for word in text.split(", "))
    return tuple((name, kind or "VARCHAR") for name, _, kind in pairs)


_PLACE = "enforcer, epoch UBIGINT, sequence UBIGINT, time TIMESTAMP, "

DECIDED = Table(
    "decided",
    _columns(
        _PLACE + "server, grant, agent, session, request_id, tool, wire_tool, tool_group, effect,"
        " code, rule, reason, policy_revision, retry_after_ms BIGINT, limit_counter,"
        " argument_names VARCHAR[], arguments VARIANT, arguments_hash BLOB,"
        " arguments_bytes BIGINT, protocol_version, decision_ns BIGINT, mode,"
        " argument_hashes BIGINT[], hash_key, details, code_before, stale, leased, load BIGINT"
    ),
)
COMPLETED = Table(
    "completed",
    _columns(
        _PLACE + "decided_epoch UBIGINT, decided_sequence UBIGINT, outcome, duration_ns BIGINT,"
        " request_bytes BIGINT, response_bytes BIGINT, rpc_error_code INTEGER, detail,"
        " refunded VARCHAR[], again BOOLEAN, load BIGINT"
    ),
)
POLICY_EVENTS = Table(
    "policy_events",
    _columns(
        _PLACE + "change, server, policy, revision, previous_revision, origin,"
        " manifest_sequence UBIGINT, code, reason, rollout, break_glass, load BIGINT"
    ),
)
LIFECYCLE = Table(
    "enforcer_lifecycle",
    _columns(
        _PLACE + "change, software_version, host, servers VARCHAR[], previous_epoch UBIGINT,"
        " previous_head BLOB, boot_id, public_key BLOB, reason, load BIGINT"
    ),
)
REFUSAL_EVENTS = Table(
    "refusal_events",
    _columns(
        _PLACE + "server, grant, code, reason, transport, http_status INTEGER,"
        " rpc_error_code INTEGER, method, wire_tool, request_bytes BIGINT, count BIGINT,"
        " load BIGINT"
    ),
)
HOLD_EVENTS = Table(
    "hold_events",
    _columns(
        _PLACE + "change, hold_id, fleet BOOLEAN, server, grant, tool, argument_pointer,"
        " argument_value, actor, reason, expires_at TIMESTAMP, load BIGINT"
    ),
)
GRANT_EVENTS = Table(
    "grant_events",
    _columns(
        _PLACE + "grant, agent, servers VARCHAR[], expires_at TIMESTAMP, tokens INTEGER,"
        " revoked BOOLEAN, actor, reason, load BIGINT"
    ),
)
APPROVAL_EVENTS = Table(
    "approval_events",
    _columns(
        _PLACE + "change, approval_id, decision_id, server, grant, tool, arguments_hash BLOB,"
        " policy_revision, expires_at TIMESTAMP, approved BOOLEAN, actor, reason, load BIGINT"
    ),
)
TOOL_EVENTS = Table(
    "tool_events",
    _columns(
        _PLACE + "change, server, tool, digest, previous_digest, approved_digest,"
        " members VARCHAR[], definition, looks_like, together BIGINT, actor, reason, load BIGINT"
    ),
)
ALERTS_RAISED = Table(
    "alerts_raised",
    _columns(
        _PLACE + "alert_id, rule, detector, severity, summary, labels MAP(VARCHAR,VARCHAR),"
        " since_at TIMESTAMP, crossed_at TIMESTAMP, observed DOUBLE, threshold DOUBLE,"
        " baseline DOUBLE, query, load BIGINT"
    ),
)
ALERTS_RESOLVED = Table("alerts_resolved", _columns(_PLACE + "alert_id, reason, load BIGINT"))

SEAL_EVENTS = Table(
    "seal_events",
    _columns(_PLACE + "sealed_sequence UBIGINT, head BLOB, signature BLOB, load BIGINT"),
)
DAMAGE_EVENTS = Table(
    "damage_events", _columns(_PLACE + "kept_in, groups UBIGINT, lost VARCHAR[], load BIGINT")
)
CHECKPOINT_EVENTS = Table(
    "checkpoint_events", _columns(_PLACE + "origin, size UBIGINT, root BLOB, note, load BIGINT")
)

ERASURE_EVENTS = Table(
    "erasure_events",
    _columns(_PLACE + "erasure_id, actor, reason, selector, events BIGINT, load BIGINT"),
)

ERASED = Table(
    "erased", _columns("said_by, enforcer, epoch UBIGINT, sequence UBIGINT, load BIGINT")
)
LEAVES = Table(
    "leaves",
    _columns(
        "origin, leaf UBIGINT, enforcer, epoch UBIGINT, first_sequence UBIGINT,"
        " last_sequence UBIGINT, load BIGINT"
    ),
)
GROUPS = Table(
    "groups",
    _columns(
        "enforcer, epoch UBIGINT, first_sequence UBIGINT, last_sequence UBIGINT,"
        " previous_hash BLOB, head BLOB, load BIGINT"
    ),
)
CURSORS = Table(
    "cursors",
    _columns(
        "enforcer, epoch UBIGINT, first_sequence UBIGINT, sequence UBIGINT, previous_hash BLOB,"
        " head BLOB, last_time TIMESTAMP, load BIGINT"
    ),
)
ANOMALIES = Table(
    "anomalies",
    _columns(
        "time TIMESTAMP, kind, enforcer, epoch UBIGINT, first_sequence UBIGINT,"
        " last_sequence UBIGINT, detail, load BIGINT"
    ),
)
QUARANTINE = Table(
    "quarantine",
    _columns(
        "time TIMESTAMP, reason, enforcer, epoch UBIGINT, sequence UBIGINT, digest BLOB,"
        " payload BLOB, load BIGINT"
    ),
)
NOTICES = Table(
    "notices",
    _columns(
        "time TIMESTAMP, alert_id, status, receiver, delivered BOOLEAN, attempts INTEGER, detail,"
        " load BIGINT"
    ),
)

EVENT_TABLES = (
    DECIDED,
    COMPLETED,
    POLICY_EVENTS,
    LIFECYCLE,
    REFUSAL_EVENTS,
    HOLD_EVENTS,
    GRANT_EVENTS,
    APPROVAL_EVENTS,
    TOOL_EVENTS,
    ALERTS_RAISED,
    ALERTS_RESOLVED,
    SEAL_EVENTS,
    DAMAGE_EVENTS,
    CHECKPOINT_EVENTS,
    ERASURE_EVENTS,
)
"""Grow only, and every row says by which load it came. Of what is erased only values change."""

TABLES = (*EVENT_TABLES, ERASED, LEAVES, GROUPS, CURSORS, ANOMALIES, QUARANTINE, NOTICES)

_encode = msgspec.json.Encoder().encode


def insert_sql(table: Table) -> str:
    """The statement that adds rows from the one parameter `columns_json` makes."""
    names = ", ".join(f'"{name}"' for name, _ in table.columns)
    values = ", ".join(_value(f'unnest(r."{name}")', kind) for name, kind in table.columns)
    structure = json.dumps({name: [_JSON_TYPES.get(kind, kind)] for name, kind in table.columns})
    return (
        f"INSERT INTO {table.name} ({names}) "  # noqa: S608  our own names, no values
        f"SELECT {values} FROM (SELECT from_json_strict(?, '{structure}') AS r)"
    )


def columns_json(table: Table, rows: Sequence[Row], load: int) -> str:
    """`rows`, each without its last column `load`, as the parameter of `insert_sql`."""
    columns: dict[str, Sequence[object]] = {}
    for (name, _), values in zip(table.columns, zip(*rows, strict=True), strict=False):
        columns[name] = values
    columns["load"] = (load,) * len(rows)
    return _encode(columns).decode()


_JSON_TYPES = {"TIMESTAMP": "BIGINT", "BLOB": "VARCHAR", "VARIANT": "VARCHAR"}


def _value(column: str, kind: str) -> str:
    match kind:
        case "TIMESTAMP":
            return f"make_timestamp({column})"
        case "BLOB":
            return f"from_base64({column})"
        case "VARIANT":
            return f"{column}::JSON::VARIANT"
        case _:
            return column
