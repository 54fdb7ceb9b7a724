"""The form that PolicyLayer's pages describe in words: rules with `action`, `rate_limit`, `reason`.

    rules: [{tool: vm_restart, action: allow, rate_limit: {max: 10, window: 60}, reason: ...}]

Also with `rules` keyed by tool, and with `rules` or one rule under each entry of `tools`. Nothing
says there what holds when several rules name one tool; here all of them do, and one that denies
wins.
"""

import re
from typing import cast

from msgspec import Struct

from toolreeve.policy import keys
from toolreeve.policy.dialects.outcome import Draft, max_calls
from toolreeve.policy.reader import kind_of
from toolreeve.policy.text import Path

TOP_KEYS = ("version", "name", "description", "default", "hide", "rules", "tools")
RULE_KEYS = ("name", "tool", "action", "rate_limit", "reason")
RATE_KEYS = ("max", "window")
EVERY = "*"

_RATE = re.compile(r"([1-9][0-9]{0,17})/(minute|hour|day)")

PER_GRANT = (
    "calls are counted for each grant, over all its sessions",
    "counts were kept for each agent session there; to have that, write scope: session",
)
SLIDING = (
    "the window slides: no span of that length ever holds more than max",
    "counts were reset from time to time there; align: calendar does that on the clock",
)
CLOSED = (
    "tools that no rule names are refused",
    "the text has no default; write default: allow to let them pass",
)
NOT_LISTED = (
    "the tool is left out of tools/list, besides being refused",
    "nothing is said there of hiding what is denied",
)
TEXT_LOST = (
    "the reason of the rule for all tools is left out; the refusal says what refused the call",
    "default and all_tools have no text of their own",
)
CATCH_ALL = (
    "the rule for all tools is the default, for tools that no other rule names",
    "nothing is said there of several rules for one tool",
)
ONE_TEXT = (
    "one reason is kept for the tool, the first",
    "several rules of one tool have reasons of their own",
)
SWALLOWED = (
    "the tool's limits are left out",
    "a rule of the tool denies every call",
)
TOGETHER = (
    "all rules of the tool hold together, and deny or approval wins",
    "nothing is said there of several rules for one tool",
)


class _Rule(Struct):
    """What all rules of one tool come to."""

    action: str = "allow"
    decided: bool = False
    reason: str | None = None
    limits: list[dict[str, object]] = []
    count: int = 0


def read_faq(draft: Draft, document: object) -> dict[str, object]:
    """Translate a document. What is wrong is in the draft's complaints."""
    reader = draft.reader
    members = reader.mapping(document, (), TOP_KEYS)
    if members.get("version", "1") not in ("1", 1) or members.get("version") is True:
        reader.choice(members["version"], ("version",), keys.VERSIONS)
    policy: dict[str, object] = {"version": "1"}
    if "name" in members:
        policy["name"] = reader.name(members["name"], ("name",))
    if "description" in members:
        policy["description"] = draft.line(members["description"], ("description",))
    policy["default"] = "deny"
    if "default" in members:
        policy["default"] = reader.choice(members["default"], ("default",), keys.DEFAULTS)
    elif not _catches_all(members.get("rules")):
        draft.note((), CLOSED)
    hidden = reader.items(members.get("hide", []), ("hide",), most=keys.ENTRIES_MAX)
    if hide := [name for item, path in hidden if (name := reader.name(item, path)) is not None]:
        policy["hide"] = hide
    tools: dict[str, _Rule] = {}
    _read_rules(draft, tools, members.get("rules", []), ("rules",))
    for tool, entry in reader.any_mapping(members.get("tools", {}), ("tools",)).items():
        _read_tool(draft, tools, entry, tool)
    _written(draft, tools, policy)
    return policy


def _read_tool(draft: Draft, tools: dict[str, _Rule], value: object, tool: str) -> None:
    """An entry of `tools`: one rule, or a list of them under `rules`."""
    path: Path = ("tools", tool)
    if not isinstance(value, dict) or "rules" not in value:
        _read_rule(draft, tools, value, path, tool)  # pyright: ignore[reportUnknownArgumentType]
        return
    members = draft.reader.mapping(value, path, ("rules",))  # pyright: ignore[reportUnknownArgumentType]
    tools.setdefault(tool, _Rule(limits=[]))
    for item, place in _listed(draft, members["rules"], (*path, "rules")):
        _read_rule(draft, tools, item, place, tool)


def _catches_all(rules: object) -> bool:
    """Whether a list of rules has one without a tool that says what to do."""
    for rule in cast("list[object]", rules) if isinstance(rules, list) else []:
        members = cast("dict[str, object]", rule) if isinstance(rule, dict) else {}
        if "action" in members and members.get("tool", EVERY) == EVERY:
            return True
    return False


def _read_rules(draft: Draft, tools: dict[str, _Rule], value: object, path: Path) -> None:
    """`rules`: a list, or keyed by tool."""
    if not isinstance(value, dict):
        for item, place in _listed(draft, value, path):
            _read_rule(draft, tools, item, place, None)
        return
    for tool, entry in draft.reader.any_mapping(value, path).items():  # pyright: ignore[reportUnknownArgumentType]
        inside: list[tuple[object, Path]] = [(entry, (*path, tool))]
        if isinstance(entry, list):
            inside = _listed(draft, entry, (*path, tool))  # pyright: ignore[reportUnknownArgumentType]
        for item, spot in inside:
            _read_rule(draft, tools, item, spot, tool)


def _listed(draft: Draft, value: object, path: Path) -> list[tuple[object, Path]]:
    return list(draft.reader.items(value, path, most=keys.ENTRIES_MAX))


def _read_rule(
    draft: Draft, tools: dict[str, _Rule], value: object, path: Path, tool: str | None
) -> None:
    """One rule, for the tool under whose name it stands or for the one it names itself."""
    reader = draft.reader
    known = RULE_KEYS if tool is None else tuple(key for key in RULE_KEYS if key != "tool")
    members = reader.mapping(value, path, known)
    if not isinstance(value, dict):
        return
    named = tool if tool is not None else members.get("tool", EVERY)
    name = reader.name(named, path if tool is not None else (*path, "tool"))
    if name is None:
        return
    rule = tools.setdefault(name, _Rule(limits=[]))
    rule.count += 1
    if rule.count == 2:
        draft.note(path, TOGETHER)
    if "action" in members:
        action = reader.choice(members["action"], (*path, "action"), keys.ACTIONS) or "allow"
        if keys.ACTIONS.index(action) > 0 and rule.action != "deny":
            rule.action = action
        rule.decided = True
        if action == "deny" and name != EVERY:
            draft.note(path, NOT_LISTED)
    if members.get("reason"):
        reason = draft.line(members["reason"], (*path, "reason"))
        if rule.reason not in {None, reason}:
            draft.note((*path, "reason"), ONE_TEXT)
        rule.reason = rule.reason or reason
    if "rate_limit" in members:
        _add_rate(draft, rule, name, members["rate_limit"], (*path, "rate_limit"))


def _add_rate(draft: Draft, rule: _Rule, tool: str, value: object, path: Path) -> None:
    """`{max: 10, window: 60}`, or `10/minute`."""
    reader = draft.reader
    window: object
    most: int | None
    if isinstance(value, str):
        found = _RATE.fullmatch(value)
        if found is None:
            remedy = 'write {"max": 10, "window": 60}'
            reader.complain(path, f'"{value}" is not a rate', remedy)
            return
        most, window = max_calls(draft, int(found[1]), path), found[2]
    else:
        members = reader.mapping(value, path, RATE_KEYS)
        if not isinstance(value, dict):
            return
        for key in RATE_KEYS:
            if key not in members:
                reader.missing(path, key, f'add "{key}", as in {{"max": 10, "window": 60}}')
        if len(members) < len(RATE_KEYS):
            return
        most = reader.integer(members["max"], (*path, "max"), 0, keys.CALLS_MAX)
        window = _window(draft, members["window"], (*path, "window"))
    draft.note(path, PER_GRANT)
    draft.note(path, SLIDING)
    number = len(rule.limits) + 1
    stem = "all_tools" if tool == EVERY else tool
    rule.limits.append(
        {
            "counter": f"{stem}_rate" if number == 1 else f"{stem}_rate_{number}",
            "window": window,
            "max": most,
            "scope": "grant",
        }
    )


def _window(draft: Draft, value: object, path: Path) -> object:
    if isinstance(value, str):
        return draft.reader.choice(value, path, tuple(keys.WINDOWS))
    if isinstance(value, int) and not isinstance(value, bool):
        return draft.reader.integer(value, path, 1, keys.WINDOW_SECONDS_MAX)
    problem = f"expected seconds, found {kind_of(value)}"
    draft.reader.complain(path, problem, 'write 60, or "minute"')
    return None


def _written(draft: Draft, tools: dict[str, _Rule], policy: dict[str, object]) -> None:
    """Write `all_tools` and `tools` of the canonical form, and `default` where a rule says it."""
    written: dict[str, object] = {}
    every = tools.pop(EVERY, _Rule(limits=[]))
    if every.limits:
        policy["all_tools"] = {"limits": every.limits}
    if every.decided and every.action == "require_approval":
        written[EVERY] = _entry(every)
    elif every.decided:
        policy["default"] = every.action
        draft.note((), CATCH_ALL)
    if every.reason is not None and EVERY not in written:
        draft.note((), TEXT_LOST)
    for name, rule in tools.items():
        if rule.limits and rule.action == "deny":
            draft.note((), SWALLOWED)
            rule.limits = []
        entry = _entry(rule)
        written[name] = entry | ({"limits": rule.limits} if rule.limits else {})
    policy["tools"] = written


def _entry(rule: _Rule) -> dict[str, object]:
    entry: dict[str, object] = {} if rule.action == "allow" else {"action": rule.action}
    return entry | ({} if rule.reason is None else {"reason": rule.reason})
