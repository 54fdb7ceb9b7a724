"""What is being called: the operation behind the name on the wire.

Many servers hide their operations behind one meta-tool: `truenas {category, action, params}`.
A rule for `vm_restart` that looked at the wire name would never fire. So everything looks at the
effective tool, which a policy's `dispatch` finds.
"""

from collections.abc import Mapping

from msgspec import Struct

from toolreeve.policy import Dispatch, parse_pointer, resolve

NAME_CHARACTERS_MAX = 256


class EffectiveTool(Struct, frozen=True, kw_only=True):
    """The operation meant by a call, and the arguments it gets."""

    name: str
    arguments: Mapping[str, object]
    group: str = ""


class NamelessCall(Struct, frozen=True):
    """A meta-tool's call that does not say in a readable way which operation it means."""

    reason: str


class Call(Struct, frozen=True, kw_only=True):
    """One tool call as decisions see it.

    `unapproved` says why the definition of the tool on the wire is not approved, where the policy
    pins definitions and it is not; else it is empty. `counted_before`: it goes on with a call that
    limits have counted. `approved`: a person has approved this very call. `waited`: it has waited
    for a lease, and does so no longer.
    """

    server: str
    grant: str
    session: str = ""
    tool: str
    arguments: Mapping[str, object]
    unapproved: str = ""
    counted_before: bool = False
    waited: bool = False
    approved: bool = False


def effective_tool(
    dispatch: Dispatch | None, wire_tool: str, arguments: Mapping[str, object]
) -> EffectiveTool | NamelessCall:
    """Find the operation of a call to `wire_tool`.

    Without dispatch, and where nothing stands at the name's pointer, it is the wire tool itself.
    A name that is not a plain string, or arguments that are not an object, cannot be decided.
    """
    if dispatch is None:
        return EffectiveTool(name=wire_tool, arguments=arguments)
    found, name = resolve(arguments, parse_pointer(dispatch.name))
    if not found:
        return EffectiveTool(name=wire_tool, arguments=arguments)
    if not isinstance(name, str):
        return NamelessCall(f"{dispatch.name} is not a string")
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        return NamelessCall(f"{dispatch.name} is empty, too long, or holds control characters")
    inner: object = arguments
    if dispatch.arguments is not None:
        found, inner = resolve(arguments, parse_pointer(dispatch.arguments))
        if not found:
            inner = {}
    if not isinstance(inner, dict):
        return NamelessCall(f"{dispatch.arguments} is not an object")
    group: object = ""
    if dispatch.group is not None:
        found, group = resolve(arguments, parse_pointer(dispatch.group))
    return EffectiveTool(
        name=dispatch.prefix + name,
        arguments=inner,  # pyright: ignore[reportUnknownArgumentType]
        group=group if isinstance(group, str) else "",
    )
