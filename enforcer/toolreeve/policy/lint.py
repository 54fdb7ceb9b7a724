"""What a policy forgets, seen beside the tools that the server offers.

A policy that parses can still do nothing: a rule for a tool that does not exist, a limit that
never fires, a door left open beside a locked one. Each finding has a code that does not change,
the place in the text, and a remedy.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from toolreeve.policy import text as texts
from toolreeve.policy.catalogue.expand import expand
from toolreeve.policy.catalogue.naming import class_of_name
from toolreeve.policy.catalogue.tool import Tool, may_be_named
from toolreeve.policy.complaint import Complaint
from toolreeve.policy.glob import literal_prefix, matches
from toolreeve.policy.lint_findings import WARNINGS, Code, Finding, Seen, Severity
from toolreeve.policy.lint_limits import idle_limits
from toolreeve.policy.lint_modes import idle_modes, not_enforced, on_trial
from toolreeve.policy.lint_names import look_alikes
from toolreeve.policy.lint_tools import of_tool, of_tool_on_trial
from toolreeve.policy.methods import always_passes
from toolreeve.policy.model import (
    CLASS_PREFIX,
    Action,
    Default,
    Policy,
    ToolRule,
    is_class,
    is_glob,
)
from toolreeve.policy.pointer import parse_pointer, write_pointer

__all__ = ["Code", "Finding", "Severity", "hides", "lint", "rule_of"]


def lint(
    policy: Policy, tools: Sequence[Tool] | None, *, text: bytes | str, source: str
) -> tuple[Finding, ...]:
    """Say what `policy` forgets about a server's tools, in the order of the text.

    `tools` are the wire tools of `tools/list`, or None where they are not known: then only what
    the policy says by itself is looked at. `text` is what `policy` was parsed from.
    """
    of_server = [] if tools is None else list(_of_server(policy, tools))
    worse = {one.pointer for one in of_server}  # of a mode, and of a tool that it lets through
    seen = [
        one
        for one in _of_policy(policy)
        if one.code is not Code.NOT_ENFORCED or one.pointer not in worse
    ]
    seen += of_server
    if not seen:
        return ()
    place = texts.places(texts.read(text, source))
    found: list[Finding] = []
    for one in dict.fromkeys(seen):
        line, column = place(_path(one.pointer), True)
        complaint = Complaint(
            source=source,
            line=line,
            column=column,
            pointer=one.pointer,
            problem=one.problem,
            remedy=one.remedy,
        )
        severity = Severity.WARNING if one.code in WARNINGS else Severity.ERROR
        found.append(Finding(code=one.code, severity=severity, tool=one.tool, complaint=complaint))
    return tuple(sorted(found, key=lambda one: (one.complaint.line, one.complaint.column)))


def rule_of(policy: Policy, tool: str) -> ToolRule | None:
    """The rule that holds for an effective tool, as `decide` finds it; None for the default."""
    exact = [rule for rule in policy.tools if rule.pattern == tool and not _is_many(rule)]
    globs = [rule for rule in policy.tools if _is_glob(rule) and matches(rule.pattern, tool)]
    globs.sort(
        key=lambda rule: (-len(literal_prefix(rule.pattern)), -len(rule.pattern), rule.pattern)
    )
    rules = exact + globs
    if not rules:
        wanted = CLASS_PREFIX + class_of_name(tool)
        rules = [rule for rule in policy.tools if rule.pattern == wanted]
    denying = (rule for rule in rules if rule.action is Action.DENY)
    return next(denying, rules[0] if rules else None)


def hides(policy: Policy, tool: str) -> bool:
    """Whether a policy hides an effective tool."""
    return any(_matches(pattern, tool) for pattern in policy.hide)


def _of_policy(policy: Policy) -> Iterator[Seen]:
    """What can be said without the server."""
    for pointer, problem, remedy in idle_limits(policy):
        yield Seen(Code.LIMIT_NEVER_FIRES, pointer, problem, remedy)
    for pointer, problem, remedy in not_enforced(policy):
        yield Seen(Code.NOT_ENFORCED, pointer, problem, remedy)
    for pointer, problem, remedy in idle_modes(policy):
        yield Seen(Code.MODE_WITHOUT_EFFECT, pointer, problem, remedy)
    for method, choice in policy.methods:
        if choice is Default.DENY and always_passes(method):
            pointer = write_pointer(("methods", method))
            problem = f'"{method}" is not denied: it passes whatever stands here'
            yield Seen(Code.METHOD_ALWAYS_PASSES, pointer, problem, "remove the entry")
    for rule in policy.tools:
        beaten = _beaten(policy, rule)
        if beaten is not None:
            by, remedy = beaten
            problem = f'the rule for "{rule.pattern}" never holds: {by}'
            yield Seen(Code.RULE_UNREACHABLE, rule.pointer, problem, remedy)


def _beaten(policy: Policy, rule: ToolRule) -> tuple[str, str] | None:
    """What keeps a rule from ever holding, and what to do; None where nothing does."""
    if is_class(rule.pattern):
        return None
    for pattern in policy.hide:
        if _covers(pattern, rule.pattern):
            return f'"{pattern}" is hidden', 'remove it, or take the name out of "hide"'
    if rule.action is Action.DENY:
        return None
    for other in policy.tools:
        if other is rule or other.action is not Action.DENY or is_class(other.pattern):
            continue
        if _covers(other.pattern, rule.pattern):
            return f'"{other.pattern}" denies it', "remove one of the two: a denial always wins"
    return None


def _of_server(policy: Policy, tools: Sequence[Tool]) -> Iterator[Seen]:
    offered = expand(tools, policy.dispatch)
    names = [tool.name for tool in offered.tools]
    dispatched = {entry.wire_tool for entry in policy.dispatch}
    yield from _unmatched(policy, tools, names, unlisted=bool(offered.unlisted))
    if _nothing_allowed(policy, names, unlisted=bool(offered.unlisted)):
        remedy = 'allow what agents need: "name": {} under "tools"'
        yield Seen(Code.NOTHING_ALLOWED, "/default", "no tool of this server may be called", remedy)
    for name, like in look_alikes(names):
        rule = rule_of(policy, name)
        problem = f'"{name}" and "{like}" of this server can be taken for one another'
        remedy = "ask whose tool it is; hide the one that nobody meant to offer"
        pointer = "/default" if rule is None else rule.pointer
        if not hides(policy, name) and not hides(policy, like):
            yield Seen(Code.NAMES_LOOK_ALIKE, pointer, problem, remedy, name)
    for tool in offered.tools:
        if hides(policy, tool.name):
            continue
        rule = rule_of(policy, tool.name)
        if rule is None and policy.default is Default.ALLOW:
            problem = f'"{tool.name}" is allowed, and no rule names it'
            remedy = 'name it under "tools", or write "default": "deny"'
            yield Seen(Code.TOOL_WITHOUT_RULE, "/default", problem, remedy, tool.name)
        if rule is None and policy.default is Default.DENY:
            continue
        if rule is not None and on_trial(policy, rule):
            yield from of_tool_on_trial(tool, rule)
        elif rule is None or rule.action is not Action.DENY:
            pointer = "/default" if rule is None else rule.pointer
            yield from of_tool(policy, tool, rule, pointer, dispatched)


def _unmatched(
    policy: Policy, tools: Sequence[Tool], names: Sequence[str], *, unlisted: bool
) -> Iterator[Seen]:
    """Rules, hidden names and dispatches that speak of nothing the server offers.

    Where the operations of some meta-tool are not known, any name may be one of them.
    """
    wire = {tool.name for tool in tools}
    dispatched = {entry.wire_tool for entry in policy.dispatch}
    direct = any(rule.pattern in wire - dispatched for rule in policy.tools)
    for entry in policy.dispatch:
        # The same operations may be offered as tools of their own, as some servers do by a switch.
        if entry.wire_tool not in wire and not direct:
            pointer = write_pointer(("dispatch", entry.wire_tool))
            problem = f'the server offers no tool "{entry.wire_tool}"'
            yield Seen(
                Code.DISPATCH_MATCHES_NOTHING, pointer, problem, "mend the name or remove the entry"
            )
    known = {*names, *dispatched}
    if unlisted:
        return
    for rule in policy.tools:
        if is_class(rule.pattern) or any(_matches(rule.pattern, name) for name in known):
            continue
        problem = f'no tool of this server is called "{rule.pattern}"'
        if rule.pattern in wire:
            problem = f'"{rule.pattern}" is never called by its own name'
        remedy = _near(rule.pattern, known)
        yield Seen(Code.RULE_MATCHES_NOTHING, rule.pointer, problem, remedy)
    for index, pattern in enumerate(policy.hide):
        if not any(_matches(pattern, name) for name in known):
            problem = f'no tool of this server is called "{pattern}"'
            pointer = write_pointer(("hide", index))
            yield Seen(Code.RULE_MATCHES_NOTHING, pointer, problem, _near(pattern, known))


def _nothing_allowed(policy: Policy, names: Sequence[str], *, unlisted: bool) -> bool:
    """Whether no call can pass, though not every tool was denied by name."""
    if policy.default is Default.ALLOW or unlisted:
        return False
    open_rules = [
        name
        for name in names
        if not hides(policy, name)
        and (rule := rule_of(policy, name)) is not None
        and rule.action is not Action.DENY
    ]
    left_out = [name for name in names if may_be_named(name) and rule_of(policy, name) is None]
    return not open_rules and bool(left_out)


def _near(pattern: str, names: set[str]) -> str:
    near = get_close_matches(pattern, sorted(names), 1)
    return f'did you mean "{near[0]}"?' if near else "mend the name or remove it"


def _is_glob(rule: ToolRule) -> bool:
    return is_glob(rule.pattern) and not is_class(rule.pattern)


def _is_many(rule: ToolRule) -> bool:
    return is_glob(rule.pattern) or is_class(rule.pattern)


def _matches(pattern: str, name: str) -> bool:
    return matches(pattern, name) if is_glob(pattern) else pattern == name


def _covers(wide: str, narrow: str) -> bool:
    """Whether every name that `narrow` stands for is one of `wide`'s.

    A `*` or `?` of `narrow` reads as plain text here, which only a `*` of `wide`, or a `?` for a
    `?`, can take: what is said to be covered always is.
    """
    if not is_glob(wide):
        return wide == narrow
    if "?" in wide and "*" in narrow:
        return False
    return matches(wide, narrow)


def _path(pointer: str) -> tuple[str | int, ...]:
    """The path of a pointer into a policy: list members by their place."""
    found: list[str | int] = []
    for key in parse_pointer(pointer):
        listed = bool(found) and found[-1] in {"limits", "hide", "require", "deny_if"}
        found.append(int(key) if listed and key.isdigit() else key)
    return tuple(found)
