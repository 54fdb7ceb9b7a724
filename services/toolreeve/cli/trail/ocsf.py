"""Events in the words of OCSF 1.6: every one an API Activity (class 6003), a line of JSON each.

One class for all, because an export is whole only with all its events, and a SIEM routes by class:
what is no call has the activity `Other` and its kind as the operation. What OCSF has no word for
stands under `unmapped`, and so do the event's own bytes, what stood beside them, and the chain's
head behind it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from toolreeve.audit import (
    AlertRaised,
    Body,
    Completed,
    Decided,
    Effect,
    GrantChanged,
    HoldPlaced,
    Outcome,
    RequestRefused,
)
from toolreeve.audit.details import Details
from toolreeve.wire import WireError
from toolreeve.wire.lines import Place, line_of, time_of

CLASS = 6003
CATEGORY = 6
OTHER = 99
SUCCESS, FAILURE = 1, 2
INFORMATIONAL, LOW, MEDIUM = 1, 2, 3
VERSION = "1.6.0"
_SEVERITY = {"info": 1, "warning": 3, "critical": 5}
"""Of our alerts, in OCSF's numbers."""
_METADATA = {
    "version": VERSION,
    "product": {"name": "toolreeve", "vendor_name": "toolreeve"},
}


class _Line(Struct, frozen=True):
    """As much of a line as a verifier reads."""

    unmapped: Place


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(_Line)


def write_line(raw: bytes, head: bytes, details: Details | None = None) -> bytes:
    """The line of one event, with its newline. Raises WireError as `wire.lines` does."""
    said = line_of(raw, head, details)
    unmapped = {name: getattr(said, name) for name in Place.__struct_fields__}
    if details is None:
        del unmapped["details"]
    words = _words(said.body)
    line = {
        "activity_id": OTHER,
        "activity_name": said.kind,
        "category_uid": CATEGORY,
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + OTHER,
        "time": time_of(raw) // 1_000_000,
        "severity_id": INFORMATIONAL,
        "metadata": {**_METADATA, "uid": said.event_id},
        "actor": {"app_name": said.enforcer},
        "api": {"operation": said.kind},
        "src_endpoint": {"name": said.enforcer},
        **words,
        "unmapped": unmapped,
    }
    return _encoder.encode(line) + b"\n"


def read_place(line: bytes) -> Place:
    """Where a line says its event stands, and the bytes. Raises WireError where it is no line."""
    try:
        place = _decoder.decode(line).unmapped
        bytes.fromhex(place.head)
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"not a line of an export: {error}") from error
    return place


def _words(body: Body | None) -> dict[str, Any]:
    match body:
        case Decided():
            return _decided(body)
        case Completed():
            return _completed(body)
        case RequestRefused():
            return {
                "severity_id": LOW,
                "status_id": FAILURE,
                "status_code": body.code,
                "status_detail": body.reason,
                "count": body.count,
                "api": {"operation": body.method or "unknown", "service": {"name": body.server}},
            }
        case AlertRaised():
            return {"severity_id": _SEVERITY.get(body.severity, OTHER), "message": body.summary}
        case HoldPlaced():
            return {"actor": {"user": {"name": body.hold.actor}}, "message": body.hold.reason}
        case GrantChanged():
            return {"actor": {"user": {"name": body.actor}}, "message": body.reason}
        case _:
            return {}


def _decided(body: Decided) -> dict[str, Any]:
    allowed = body.effect is Effect.ALLOW
    policy = {"uid": body.policy_revision, "name": body.rule}
    return {
        "severity_id": INFORMATIONAL if allowed else MEDIUM,
        "status_id": SUCCESS if allowed else FAILURE,
        "status_code": body.code,
        "status_detail": body.reason,
        "actor": {
            "user": {"name": body.agent},
            "session": {"uid": body.session},
            "authorizations": [{"decision": "allow" if allowed else "deny", "policy": policy}],
        },
        "api": {
            "operation": body.tool,
            "service": {"name": body.server},
            "request": {"uid": body.request_id},
        },
        "resources": [
            {"type": kept.pointer, "name": kept.value_json} for kept in body.arguments.kept
        ],
    }


def _completed(body: Completed) -> dict[str, Any]:
    succeeded = body.outcome is Outcome.SUCCESS
    return {
        "severity_id": INFORMATIONAL if succeeded else LOW,
        "status_id": SUCCESS if succeeded else FAILURE,
        "status_code": body.outcome.value,
        "status_detail": body.detail,
        "duration": body.duration_ns // 1_000_000,
        "api": {
            "operation": "completed",
            "request": {"uid": body.decision_id},
            "response": {"code": body.rpc_error_code or 0},
        },
    }
