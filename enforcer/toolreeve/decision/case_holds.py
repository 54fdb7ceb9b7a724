"""Holds in a case: which are in force when a call is made."""

from toolreeve.decision.case_times import TimeError, read_time
from toolreeve.decision.hold import Hold, Holds
from toolreeve.decision.instant import Instant
from toolreeve.policy import canonical_json
from toolreeve.policy.reader import Reader, kind_of
from toolreeve.policy.text import Path

HOLD_KEYS = ("fleet", "server", "grant", "tool", "argument", "value", "until", "reason")
HOLDS_MAX = 100
ACTOR = "a case"


def read_holds(reader: Reader, value: object, path: Path) -> Holds:
    """All holds of a list, in force together; one that is wrong is complained of and left out."""
    holds = Holds()
    for item, place in reader.items(value, path, most=HOLDS_MAX):
        hold = _read_hold(reader, item, place)
        if hold is not None:
            holds = holds.place(hold)
    return holds


def _read_hold(reader: Reader, value: object, path: Path) -> Hold | None:
    members = reader.mapping(value, path, HOLD_KEYS)
    if not isinstance(value, dict):
        return None
    fleet = members.get("fleet", False)
    if not isinstance(fleet, bool):
        problem = f"expected true or false, found {kind_of(fleet)}"
        reader.complain((*path, "fleet"), problem, "write true, or leave it out")
        return None
    names = {
        key: reader.name(members[key], (*path, key)) or ""
        for key in ("server", "grant", "tool")
        if key in members
    }
    pointer = ""
    if "argument" in members:
        pointer = reader.pointer(members["argument"], (*path, "argument")) or ""
    if ("argument" in members) != ("value" in members):
        remedy = 'write both, as in {"argument": "/id", "value": 3}'
        reader.complain(path, '"argument" and "value" stand together', remedy)
        return None
    if len(members) == len(value) and not (fleet or names or pointer):  # pyright: ignore[reportUnknownArgumentType]
        remedy = 'say "server", "grant", "tool" or "argument", or "fleet": true'
        reader.complain(path, "the hold stops nothing", remedy)
        return None
    reason = "held"
    if "reason" in members:
        reason = reader.text(members["reason"], (*path, "reason")) or reason
    return Hold(
        hold_id=f"hold-{path[-1]}",
        fleet=fleet,
        **names,
        argument_pointer=pointer,
        argument_value_json=canonical_json(members["value"]).decode() if pointer else "",
        actor=ACTOR,
        reason=reason,
        expires_at=_until(reader, members, path),
    )


def _until(reader: Reader, members: dict[str, object], path: Path) -> Instant | None:
    if "until" not in members:
        return None
    try:
        return read_time(members["until"])
    except TimeError as error:
        reader.complain((*path, "until"), str(error), error.remedy)
        return None
