"""`tools` and `all_tools`: what may be done with which tool, read from a document."""

import re

from toolreeve.policy import keys
from toolreeve.policy.clauses import read_clauses
from toolreeve.policy.limits import read_limits
from toolreeve.policy.model import (
    CLASS_PREFIX,
    Action,
    Approval,
    Limit,
    Mode,
    ToolRule,
    is_class,
)
from toolreeve.policy.pointer import write_pointer
from toolreeve.policy.reader import Reader
from toolreeve.policy.schema_check import read_schema
from toolreeve.policy.text import Path

_DURATION = re.compile(keys.DURATION_PATTERN)
SECOND_NS = 1_000_000_000


def read_tools(reader: Reader, value: object, counters: dict[str, Limit]) -> tuple[ToolRule, ...]:
    """All entries under `tools`."""
    entries = reader.any_mapping(value, ("tools",))
    if len(entries) > keys.ENTRIES_MAX:
        remedy = f"name at most {keys.ENTRIES_MAX} tools, or use globs"
        reader.complain(("tools",), f"{len(entries)} tools are named", remedy)
        return ()
    rules: list[ToolRule] = []
    for pattern, entry in entries.items():
        path: Path = ("tools", pattern)
        if reader.name(pattern, path) is None:
            continue
        if is_class(pattern):
            reader.choice(pattern.removeprefix(CLASS_PREFIX), path, keys.CLASSES, at_key=True)
        rules.append(_read_rule(reader, entry, path, pattern, counters))
    return tuple(rules)


def read_all_tools(reader: Reader, value: object, counters: dict[str, Limit]) -> ToolRule:
    """`all_tools`: conditions and limits that every call meets besides its own rule's."""
    path: Path = ("all_tools",)
    members = reader.mapping(value, path, keys.ALL_TOOLS_KEYS)
    if "description" in members:
        reader.text(members["description"], (*path, "description"))
    return ToolRule(
        pattern="*",
        require=read_clauses(reader, members.get("require", []), (*path, "require")),
        deny_if=read_clauses(reader, members.get("deny_if", []), (*path, "deny_if")),
        limits=read_limits(reader, members.get("limits", []), (*path, "limits"), counters),
        pointer=write_pointer(path),
    )


def _read_rule(
    reader: Reader, value: object, path: Path, pattern: str, counters: dict[str, Limit]
) -> ToolRule:
    members = reader.mapping(value, path, keys.RULE_KEYS, keys.OF_OTHER_DIALECTS)
    action = Action.ALLOW.value
    if "action" in members:
        action = reader.choice(members["action"], (*path, "action"), keys.ACTIONS) or action
    mode = None
    if "mode" in members:
        mode = reader.choice(members["mode"], (*path, "mode"), keys.MODES)
    reason = ""
    if "reason" in members:
        reason = reader.text(members["reason"], (*path, "reason")) or ""
    if "description" in members:
        reader.text(members["description"], (*path, "description"))
    arguments = None
    if "arguments" in members:
        arguments = read_schema(reader, members["arguments"], (*path, "arguments"))
    approval = None
    if "approval" in members:
        approval = _read_approval(reader, members["approval"], (*path, "approval"))
    rule = ToolRule(
        pattern=pattern,
        action=Action(action),
        mode=None if mode is None else Mode(mode),
        reason=reason,
        require=read_clauses(reader, members.get("require", []), (*path, "require")),
        deny_if=read_clauses(reader, members.get("deny_if", []), (*path, "deny_if")),
        arguments=arguments,
        limits=read_limits(reader, members.get("limits", []), (*path, "limits"), counters),
        approval=approval,
        pointer=write_pointer(path),
    )
    _contradictions(reader, rule, members, path)
    return rule


def _contradictions(reader: Reader, rule: ToolRule, members: dict[str, object], path: Path) -> None:
    """Complain of what stands beside an action under which it never does anything."""
    if rule.action is Action.DENY:
        for key in ("limits", "require", "deny_if", "arguments"):
            if members.get(key):
                problem = f'"{key}" of a denied tool is never looked at'
                reader.complain((*path, key), problem, f'remove "{key}", or the action')
    if rule.approval is not None and rule.action is not Action.REQUIRE_APPROVAL:
        remedy = 'add "action": "require_approval", or remove "approval"'
        reader.complain((*path, "approval"), "nothing here asks for an approval", remedy)


def _read_approval(reader: Reader, value: object, path: Path) -> Approval:
    members = reader.mapping(value, path, keys.APPROVAL_KEYS)
    seconds = 600
    if "timeout" in members:
        seconds = _read_duration(reader, members["timeout"], (*path, "timeout")) or seconds
    approvers = tuple(
        name
        for item, place in reader.items(
            members.get("approvers", []), (*path, "approvers"), most=keys.CONDITIONS_MAX
        )
        if (name := reader.name(item, place)) is not None
    )
    count = 1
    if "count" in members:
        place = (*path, "count")
        count = reader.integer(members["count"], place, 1, keys.APPROVALS_MAX) or count
        if approvers and count > len(set(approvers)):
            problem = f"{count} must approve, and {len(set(approvers))} may"
            reader.complain(place, problem, "name more approvers, or ask for fewer")
    return Approval(timeout_ns=seconds * SECOND_NS, approvers=approvers, count=count)


def _read_duration(reader: Reader, value: object, path: Path) -> int | None:
    """Whole seconds from `90s`, `10m`, `2h` or `1d`."""
    if isinstance(value, str) and _DURATION.fullmatch(value) is not None:
        seconds = int(value[:-1]) * keys.DURATION_SECONDS[value[-1]]
        if seconds <= keys.APPROVAL_SECONDS_MAX:
            return seconds
    days = keys.APPROVAL_SECONDS_MAX // 86_400
    remedy = f'write "90s", "10m", "2h" or "1d", at most {days} days'
    reader.complain(path, "not a length of time", remedy)
    return None
