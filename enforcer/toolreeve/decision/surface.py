"""What a policy lets an agent see of a server, and ask of it beside calling tools."""

from collections.abc import Iterator

from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.look import Look, Stage
from toolreeve.policy import Default, Mode, write_pointer
from toolreeve.policy.methods import always_passes


def shows(policy: CompiledPolicy, wire_tool: str) -> bool:
    """Whether `tools/list` shows a tool.

    A meta-tool stays when it is not hidden and not denied by name, for which of its operations
    may be called is only known when it is called.
    """
    if policy.mode is not Mode.ENFORCE:
        return True  # a policy on trial changes nothing
    if policy.dispatch_of(wire_tool) is None:
        return policy.may_call(wire_tool)
    return not policy.hides(wire_tool) and not policy.denies(wire_tool)


def refuses_method(policy: CompiledPolicy, method: str) -> bool:
    """Whether a policy says no to a request that is not a tool call, carried out or not."""
    return not always_passes(method) and policy.method(method) is Default.DENY


def passes(policy: CompiledPolicy, method: str) -> bool:
    """Whether a request that is not a tool call passes."""
    return policy.mode is not Mode.ENFORCE or not refuses_method(policy, method)


def method_looks(policy: CompiledPolicy, method: str) -> Iterator[Look]:
    """What a policy says of a request that is not a tool call."""
    if always_passes(method):
        yield Look(stage=Stage.METHOD, finding=f"{method} passes whatever stands here")
        return
    refuses = refuses_method(policy, method)
    choice = policy.method(method).value
    named = any(name == method for name, _ in policy.policy.methods)
    pointer = write_pointer(["methods", method]) if named else "/default"
    how = "names" if named else "no method names"
    yield Look(
        stage=Stage.METHOD,
        pointer=pointer,
        finding=f"{how} {method}: {choice}",
        holds=True,
        speaks_against=refuses,
    )
    if refuses and policy.mode is not Mode.ENFORCE:
        finding = f"{policy.mode.value}: the request is let through all the same"
        yield Look(stage=Stage.MODE, pointer="/mode", finding=finding)
