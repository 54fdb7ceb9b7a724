"""The policy that a server's tools call for, rule by rule from their risk classes.

Denied unless named. Reads pass; writes 30 a minute and executions 10 a minute, by grant;
destruction and money by approval, money with a cap on what is spent in a day; escape hatches are
denied. Arguments are held to the server's own schema, tightened.
"""

from collections.abc import Sequence

from msgspec import Struct

from toolreeve.policy import keys
from toolreeve.policy.catalogue.classify import amount_of, classify
from toolreeve.policy.catalogue.escape import escape_hatch
from toolreeve.policy.catalogue.expand import Expanded, expand
from toolreeve.policy.catalogue.tighten import tighten
from toolreeve.policy.catalogue.tool import Classified, RiskClass, Tool, may_be_named
from toolreeve.policy.model import Dispatch
from toolreeve.policy.pointer import write_pointer

WRITES_A_MINUTE = 30
EXECUTIONS_A_MINUTE = 10
SPENT_A_DAY = 1_000
PAYMENTS_A_DAY = 10
UNKNOWN_OPERATIONS = "Its operations are not known. Name each in a rule of its own."


class Recommendation(Struct, frozen=True, kw_only=True):
    """Every effective tool with its class, and the policy document for them.

    `unlisted` are meta-tools whose operations are not known; `unnamed` are tools that no rule can
    name, because their names are no names in a policy: they stay denied by default.
    """

    tools: tuple[Classified, ...]
    policy: dict[str, object]
    unlisted: tuple[str, ...]
    unnamed: tuple[str, ...]


def recommend(
    tools: Sequence[Tool], *, name: str = "", dispatch: Sequence[Dispatch] | None = None
) -> Recommendation:
    """Propose a policy for a server's tools. Deterministic: the same tools, the same policy."""
    offered = expand(tools, dispatch)
    classified = tuple(classify(tool) for tool in offered.tools)
    rules: dict[str, object] = {}
    unnamed: list[str] = []
    for tool, judged in zip(offered.tools, classified, strict=True):
        if may_be_named(tool.name):
            rules[tool.name] = _rule(tool, judged)
        else:
            unnamed.append(tool.name)
    for wire_tool in sorted(offered.unlisted):
        if wire_tool not in rules and may_be_named(wire_tool):
            rules[wire_tool] = {"action": "deny", "reason": UNKNOWN_OPERATIONS}
    document: dict[str, object] = {"version": "1"}
    if name:
        document["name"] = name
    document["default"] = "deny"
    if offered.dispatch:
        document["dispatch"] = _dispatch(offered)
    document["tools"] = rules
    return Recommendation(
        tools=classified,
        policy=document,
        unlisted=tuple(sorted(offered.unlisted)),
        unnamed=tuple(unnamed),
    )


def _dispatch(offered: Expanded) -> dict[str, object]:
    found: dict[str, object] = {}
    for entry in offered.dispatch:
        members = {"name": entry.name}
        if entry.arguments is not None:
            members["arguments"] = entry.arguments
        if entry.group is not None:
            members["group"] = entry.group
        if entry.prefix:
            members["prefix"] = entry.prefix
        found[entry.wire_tool] = members
    return found


def _rule(tool: Tool, judged: Classified) -> dict[str, object]:
    hatch = escape_hatch(tool)
    if hatch is not None:
        return {"action": "deny", "reason": hatch}
    rule: dict[str, object] = {}
    match judged.class_:
        case RiskClass.READ:
            limits = None
        case RiskClass.WRITE:
            limits = [_calls(tool.name, WRITES_A_MINUTE)]
        case RiskClass.EXECUTE:
            limits = [_calls(tool.name, EXECUTIONS_A_MINUTE)]
        case RiskClass.FINANCIAL:
            rule["action"] = "require_approval"
            limits = [_spent(tool)]
        case RiskClass.DESTRUCTIVE:
            rule["action"] = "require_approval"
            limits = None
    arguments = tighten(tool)
    if arguments is not None:
        rule["arguments"] = arguments
    if limits is not None:
        rule["limits"] = limits
    return rule


def _calls(tool: str, most: int) -> dict[str, object]:
    return {"counter": _counter(tool, "rate"), "window": "minute", "max": most, "scope": "grant"}


def _spent(tool: Tool) -> dict[str, object]:
    amount = amount_of(tool)
    if amount is None:
        limit: dict[str, object] = {"counter": _counter(tool.name, "payments")}
        return {**limit, "window": "day", "max": PAYMENTS_A_DAY, "scope": "grant"}
    limit = {"counter": _counter(tool.name, "spend"), "window": "day", "max": SPENT_A_DAY}
    return {**limit, "scope": "grant", "amount": write_pointer([amount])}


def _counter(tool: str, what: str) -> str:
    """A counter's name, which is as long as a tool's at most."""
    return f"{tool[: keys.NAME_CHARACTERS_MAX - len(what) - 1]}_{what}"
