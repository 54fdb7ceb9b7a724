"""What an agent may see of a server, and what it may do there beside calling tools."""

from collections.abc import Sequence

from toolreeve.decision import CompiledPolicy
from toolreeve.policy import Default, Mode

ALWAYS_ALLOWED = frozenset(
    {"initialize", "ping", "server/discover", "logging/setLevel", "subscriptions/listen"}
)


def visible_tools(policy: CompiledPolicy | None, tools: Sequence[object]) -> list[object]:
    """Keep of a `tools/list` result what may be called; each entry stays as it is.

    A meta-tool stays when it is not hidden and not denied by name, for which of its operations
    may be called is only known when it is called. Without a policy nothing is kept, and neither
    is an entry without a name.
    """
    if policy is None:
        return []
    return [tool for tool in tools if _is_visible(policy, tool)]


def _is_visible(policy: CompiledPolicy, tool: object) -> bool:
    if not isinstance(tool, dict):
        return False
    name: object = tool.get("name")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(name, str):
        return False
    if policy.mode is not Mode.ENFORCE:
        return True  # a policy on trial changes nothing
    if policy.dispatch_of(name) is None:
        return policy.may_call(name)
    return not policy.hides(name) and not policy.denies(name)


def method_allowed(policy: CompiledPolicy | None, method: str) -> bool:
    """Whether a request that is not a tool call may pass.

    What a client needs to get going, notifications and lists always may; the rest as `methods`
    says, and where it is silent the policy's default.
    """
    if method in ALWAYS_ALLOWED or method.startswith("notifications/") or method.endswith("/list"):
        return True
    if policy is None:
        return False
    return policy.method(method) is Default.ALLOW or policy.mode is not Mode.ENFORCE
