"""What an agent may see of a server, and what it may do there beside calling tools."""

from collections.abc import Sequence

from toolreeve.decision import CompiledPolicy
from toolreeve.decision.surface import passes, shows
from toolreeve.policy.methods import always_passes


def visible_tools(policy: CompiledPolicy | None, tools: Sequence[object]) -> list[object]:
    """Keep of a `tools/list` result what may be called; each entry stays as it is.

    Without a policy nothing is kept, and neither is an entry without a name.
    """
    if policy is None:
        return []
    return [tool for tool in tools if _is_visible(policy, tool)]


def _is_visible(policy: CompiledPolicy, tool: object) -> bool:
    if not isinstance(tool, dict):
        return False
    name: object = tool.get("name")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return isinstance(name, str) and shows(policy, name)


def method_allowed(policy: CompiledPolicy | None, method: str) -> bool:
    """Whether a request that is not a tool call may pass.

    What a client needs to get going, notifications and lists always may; the rest as `methods`
    says, and where it is silent the policy's default.
    """
    if policy is None:
        return always_passes(method)
    return passes(policy, method)
