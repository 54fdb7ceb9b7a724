"""Refusals that are not carried out, and modes that change nothing.

A policy on trial is one finding, whatever it holds: what else is said of it is said as if it were
enforced. A single tool on trial in a policy that is enforced is a finding of its own.
"""

from collections.abc import Iterator

from toolreeve.policy.model import Action, Default, Mode, Pinning, Policy, ToolRule

Said = tuple[str, str, str]
"""Pointer, problem, remedy."""

TOLD = {Mode.WARN: ", and the agent is only told", Mode.SHADOW: ", and nobody is told"}
ENFORCE_TOOL = 'write "mode": "enforce", or remove "mode"'


def on_trial(policy: Policy, rule: ToolRule | None) -> bool:
    """Whether this one rule is not carried out in a policy that is."""
    if rule is None or policy.mode is not Mode.ENFORCE:
        return False
    return rule.mode is not None and rule.mode is not Mode.ENFORCE


def not_enforced(policy: Policy) -> Iterator[Said]:
    """Each mode under which something would be refused and is let through."""
    if policy.mode is not Mode.ENFORCE and _refuses_by_its_mode(policy):
        problem = f'"{policy.mode.value}": what this policy refuses is let through'
        remedy = 'write "mode": "enforce" once nothing is refused but what should be'
        yield "/mode", problem + TOLD[policy.mode], remedy
    for rule in policy.tools:
        what = refusal_of(policy, rule)
        if rule.mode is not None and on_trial(policy, rule) and what:
            problem = f'{what} "{rule.pattern}" is not carried out: its calls are let through'
            yield f"{rule.pointer}/mode", problem + TOLD[rule.mode], ENFORCE_TOOL


def idle_modes(policy: Policy) -> Iterator[Said]:
    """Each mode that stands where nothing is refused."""
    if policy.mode is not Mode.ENFORCE and not _refuses_by_its_mode(policy):
        problem = f'"{policy.mode.value}" changes nothing: no call is refused in that mode'
        yield "/mode", problem, 'remove "mode"'
    for rule in policy.tools:
        if rule.mode is not None and not refusal_of(policy, rule):
            problem = f'the mode of "{rule.pattern}" changes nothing: none of its calls is refused'
            yield f"{rule.pointer}/mode", problem, 'remove "mode"'


def refusal_of(policy: Policy, rule: ToolRule) -> str:
    """By what a rule can refuse a call, `all_tools` included; empty where by nothing."""
    if rule.action is Action.DENY:
        return "the denial of"
    if rule.action is Action.REQUIRE_APPROVAL:
        return "the approval of"
    checked = [rule] if policy.all_tools is None else [rule, policy.all_tools]
    if any(one.limits for one in checked):
        return "the limit of"
    if any(one.arguments is not None or one.require or one.deny_if for one in checked):
        return "the check of arguments of"
    if policy.pin is Pinning.ENFORCE:
        return "the pin of"
    return ""


def _refuses_by_its_mode(policy: Policy) -> bool:
    """Whether anything is refused in the policy's own mode, and not in a mode of its rule's."""
    if policy.default is Default.DENY or policy.hide or policy.pin is Pinning.ENFORCE:
        return True
    if any(choice is Default.DENY for _, choice in policy.methods):
        return True
    if policy.all_tools is not None and refusal_of(policy, policy.all_tools):
        return True
    return any(rule.mode is None and refusal_of(policy, rule) for rule in policy.tools)
