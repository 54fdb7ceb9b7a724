"""What a policy forgets, seen beside the tools that the server offers.

A policy that parses can still do nothing: a rule for a tool that does not exist, a limit that
never fires, a door left open beside a locked one. Each finding has a code that does not change,
the place in the text, and a remedy.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from enum import Enum

from msgspec import Struct

from toolreeve.policy import text as texts
from toolreeve.policy.catalogue.classify import classify
from toolreeve.policy.catalogue.escape import escape_hatch
from toolreeve.policy.catalogue.expand import expand, is_meta, operation_property
from toolreeve.policy.catalogue.naming import class_of_name
from toolreeve.policy.catalogue.tool import RiskClass, Tool, may_be_named
from toolreeve.policy.complaint import Complaint
from toolreeve.policy.glob import literal_prefix, matches
from toolreeve.policy.lint_limits import idle_limits
from toolreeve.policy.lint_paths import open_arguments
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


class Code(Enum):
    """What a finding is about. docs/reference/lint.md explains each."""

    NOTHING_ALLOWED = "nothing-allowed"
    RULE_MATCHES_NOTHING = "rule-matches-nothing"
    RULE_UNREACHABLE = "rule-unreachable"
    TOOL_WITHOUT_RULE = "tool-without-rule"
    META_WITHOUT_DISPATCH = "meta-tool-without-dispatch"
    DISPATCH_MATCHES_NOTHING = "dispatch-matches-nothing"
    ESCAPE_HATCH_ALLOWED = "escape-hatch-allowed"
    DESTRUCTIVE_UNGUARDED = "destructive-unguarded"
    FINANCIAL_UNGUARDED = "financial-unguarded"
    ARGUMENT_UNVALIDATED = "argument-unvalidated"
    LIMIT_NEVER_FIRES = "limit-never-fires"


class Severity(Enum):
    """`error`: calls can pass that nobody meant to allow, or none can. `warning`: dead text."""

    ERROR = "error"
    WARNING = "warning"


WARNINGS = frozenset(
    (
        Code.RULE_MATCHES_NOTHING,
        Code.RULE_UNREACHABLE,
        Code.TOOL_WITHOUT_RULE,
        Code.DISPATCH_MATCHES_NOTHING,
        Code.LIMIT_NEVER_FIRES,
    )
)


class Finding(Struct, frozen=True, kw_only=True):
    """Something that a policy forgets. `tool` is the effective tool it is about, if one is."""

    code: Code
    severity: Severity
    tool: str
    complaint: Complaint

    def __str__(self) -> str:
        return f"{self.complaint} [{self.code.value}]"


class _Seen(Struct, frozen=True):
    """A finding before its place in the text is known."""

    code: Code
    pointer: str
    problem: str
    remedy: str
    tool: str = ""


def lint(
    policy: Policy, tools: Sequence[Tool] | None, *, text: bytes | str, source: str
) -> tuple[Finding, ...]:
    """Say what `policy` forgets about a server's tools, in the order of the text.

    `tools` are the wire tools of `tools/list`, or None where they are not known: then only what
    the policy says by itself is looked at. `text` is what `policy` was parsed from.
    """
    seen = list(_of_policy(policy))
    if tools is not None:
        seen += _of_server(policy, tools)
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
    globs.sort(key=lambda rule: (-len(literal_prefix(rule.pattern)), -len(rule.pattern)))
    rules = exact + globs
    if not rules:
        wanted = CLASS_PREFIX + class_of_name(tool)
        rules = [rule for rule in policy.tools if rule.pattern == wanted]
    denying = (rule for rule in rules if rule.action is Action.DENY)
    return next(denying, rules[0] if rules else None)


def hides(policy: Policy, tool: str) -> bool:
    """Whether a policy hides an effective tool."""
    return any(_matches(pattern, tool) for pattern in policy.hide)


def _of_policy(policy: Policy) -> Iterator[_Seen]:
    """What can be said without the server."""
    for pointer, problem, remedy in idle_limits(policy):
        yield _Seen(Code.LIMIT_NEVER_FIRES, pointer, problem, remedy)
    for rule in policy.tools:
        shadow = _shadow(policy, rule)
        if shadow is not None:
            by, remedy = shadow
            problem = f'the rule for "{rule.pattern}" never holds: {by}'
            yield _Seen(Code.RULE_UNREACHABLE, rule.pointer, problem, remedy)


def _shadow(policy: Policy, rule: ToolRule) -> tuple[str, str] | None:
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


def _of_server(policy: Policy, tools: Sequence[Tool]) -> Iterator[_Seen]:
    offered = expand(tools, policy.dispatch)
    names = [tool.name for tool in offered.tools]
    dispatched = {entry.wire_tool for entry in policy.dispatch}
    yield from _unmatched(policy, tools, names, unlisted=bool(offered.unlisted))
    if _nothing_allowed(policy, names, unlisted=bool(offered.unlisted)):
        remedy = 'allow what agents need: "name": {} under "tools"'
        yield _Seen(
            Code.NOTHING_ALLOWED, "/default", "no tool of this server may be called", remedy
        )
    for tool in offered.tools:
        if hides(policy, tool.name):
            continue
        rule = rule_of(policy, tool.name)
        if rule is None and policy.default is Default.ALLOW:
            problem = f'"{tool.name}" is allowed, and no rule names it'
            remedy = 'name it under "tools", or write "default": "deny"'
            yield _Seen(Code.TOOL_WITHOUT_RULE, "/default", problem, remedy, tool.name)
        if rule is None and policy.default is Default.DENY:
            continue
        if rule is not None and rule.action is Action.DENY:
            continue
        pointer = "/default" if rule is None else rule.pointer
        yield from _of_tool(policy, tool, rule, pointer, dispatched)


def _of_tool(
    policy: Policy, tool: Tool, rule: ToolRule | None, pointer: str, dispatched: set[str]
) -> Iterator[_Seen]:
    """What is forgotten about a tool that may be called."""
    name = tool.name
    if name not in dispatched and not tool.wire_tool and is_meta(tool):
        key = operation_property(tool)
        problem = f'"{name}" stands for many operations, and no rule can tell them apart'
        remedy = f'add "dispatch": {{"{name}": {{"name": "/{key}"}}}}, or deny it'
        yield _Seen(Code.META_WITHOUT_DISPATCH, pointer, problem, remedy, name)
    hatch = escape_hatch(tool)
    if hatch is not None:
        problem = f'"{name}" is allowed: {hatch[0].lower()}{hatch[1:].rstrip(".")}'
        yield _Seen(Code.ESCAPE_HATCH_ALLOWED, pointer, problem, 'write "action": "deny"', name)
    common = policy.all_tools.limits if policy.all_tools is not None else ()
    limited = bool(common) or (rule is not None and bool(rule.limits))
    asked = rule is not None and rule.action is Action.REQUIRE_APPROVAL
    if not (limited or asked):
        judged = classify(tool)
        if judged.class_ in {RiskClass.DESTRUCTIVE, RiskClass.FINANCIAL}:
            destroys = judged.class_ is RiskClass.DESTRUCTIVE
            code = Code.DESTRUCTIVE_UNGUARDED if destroys else Code.FINANCIAL_UNGUARDED
            does = "destroys" if destroys else "moves money"
            problem = f'"{name}" {does} ({judged.why}) and may be called without end'
            remedy = 'write "action": "require_approval", or give it a limit'
            yield _Seen(code, pointer, problem, remedy, name)
    for argument, probe in open_arguments(policy, rule, tool):
        problem = f'"{name}" takes "{probe}" as "{argument}", which reaches a path'
        remedy = f'hold "{argument}" to an integer or a pattern under "arguments"'
        yield _Seen(Code.ARGUMENT_UNVALIDATED, pointer, problem, remedy, name)


def _unmatched(
    policy: Policy, tools: Sequence[Tool], names: Sequence[str], *, unlisted: bool
) -> Iterator[_Seen]:
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
            yield _Seen(
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
        yield _Seen(Code.RULE_MATCHES_NOTHING, rule.pointer, problem, remedy)
    for index, pattern in enumerate(policy.hide):
        if not any(_matches(pattern, name) for name in known):
            problem = f'no tool of this server is called "{pattern}"'
            pointer = write_pointer(("hide", index))
            yield _Seen(Code.RULE_MATCHES_NOTHING, pointer, problem, _near(pattern, known))


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
