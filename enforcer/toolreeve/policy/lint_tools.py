"""What is forgotten about one tool that may be called."""

from collections.abc import Iterator

from toolreeve.policy.catalogue.classify import classify
from toolreeve.policy.catalogue.escape import escape_hatch
from toolreeve.policy.catalogue.expand import operation_pointer
from toolreeve.policy.catalogue.tool import RiskClass, Tool
from toolreeve.policy.lint_findings import Code, Seen
from toolreeve.policy.lint_modes import ENFORCE_TOOL
from toolreeve.policy.lint_paths import open_arguments
from toolreeve.policy.model import Action, Policy, ToolRule


def of_tool(
    policy: Policy, tool: Tool, rule: ToolRule | None, pointer: str, dispatched: set[str]
) -> Iterator[Seen]:
    """What is forgotten about a tool that may be called."""
    name = tool.name
    chosen_at = operation_pointer(tool)
    if name not in dispatched and not tool.wire_tool and chosen_at is not None:
        problem = f'"{name}" stands for many operations, and no rule can tell them apart'
        remedy = f'add "dispatch": {{"{name}": {{"name": "{chosen_at}"}}}}, or deny it'
        yield Seen(Code.META_WITHOUT_DISPATCH, pointer, problem, remedy, name)
    hatch = escape_hatch(tool)
    if hatch is not None:
        problem = f'"{name}" is allowed: {_as_clause(hatch)}'
        yield Seen(Code.ESCAPE_HATCH_ALLOWED, pointer, problem, 'write "action": "deny"', name)
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
            yield Seen(code, pointer, problem, remedy, name)
    for argument, probe in open_arguments(policy, rule, tool):
        problem = f'"{name}" takes "{probe}" as "{argument}", which reaches a path'
        remedy = f'hold "{argument}" to an integer or a pattern under "arguments"'
        yield Seen(Code.ARGUMENT_UNVALIDATED, pointer, problem, remedy, name)


def of_tool_on_trial(tool: Tool, rule: ToolRule) -> Iterator[Seen]:
    """What a tool can do that its rule would stop, and does not while its mode is lax."""
    judged = classify(tool)
    hatch = escape_hatch(tool)
    if hatch is not None:
        code, what = Code.ESCAPE_HATCH_ALLOWED, _as_clause(hatch)
    elif judged.class_ is RiskClass.DESTRUCTIVE:
        code, what = Code.DESTRUCTIVE_UNGUARDED, f"destroys ({judged.why})"
    elif judged.class_ is RiskClass.FINANCIAL:
        code, what = Code.FINANCIAL_UNGUARDED, f"moves money ({judged.why})"
    else:
        return
    mode = "" if rule.mode is None else rule.mode.value
    problem = f'"{tool.name}" is let through by its mode "{mode}": {what}'
    yield Seen(code, f"{rule.pointer}/mode", problem, ENFORCE_TOOL, tool.name)


def _as_clause(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:].rstrip(".")
