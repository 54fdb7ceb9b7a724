"""Document to policy: each key is checked, and everything that is wrong is noted."""

from collections.abc import Mapping

from toolreeve.policy import keys
from toolreeve.policy.limits import SECOND_NS, read_window
from toolreeve.policy.model import Default, Dispatch, Limit, Mode, OnStale, Pinning, Policy
from toolreeve.policy.reader import Reader
from toolreeve.policy.rules import read_all_tools, read_tools
from toolreeve.policy.text import Path


def read_policy(reader: Reader, value: object, canonical: bytes) -> Policy | None:
    """The policy that `value` means, or None when there is something to complain of."""
    members = reader.mapping(value, (), keys.POLICY_KEYS, keys.OF_OTHER_DIALECTS)
    if not isinstance(value, dict):
        return None
    if "version" not in members:
        reader.missing((), "version", 'add "version": "1"')
    else:
        reader.choice(members["version"], ("version",), keys.VERSIONS)
    default = None
    if "default" not in members:
        reader.missing((), "default", 'add "default": "deny"')
    else:
        default = reader.choice(members["default"], ("default",), keys.DEFAULTS)
    mode = None
    if "mode" in members:
        mode = reader.choice(members["mode"], ("mode",), keys.MODES)
    pin = None
    if "pin" in members:
        pin = reader.choice(members["pin"], ("pin",), keys.PINNINGS)
    stale_after, on_stale = _read_staleness(reader, members)
    name = reader.name(members["name"], ("name",)) if "name" in members else None
    if "description" in members:
        reader.text(members["description"], ("description",))
    if "$schema" in members:
        reader.text(members["$schema"], ("$schema",))
    hide = tuple(
        pattern
        for item, path in reader.items(members.get("hide", []), ("hide",), most=keys.ENTRIES_MAX)
        if (pattern := reader.name(item, path)) is not None
    )
    dispatch = _read_dispatch(reader, members.get("dispatch", {}))
    methods = _read_methods(reader, members.get("methods", {}))
    counters: dict[str, Limit] = {}
    all_tools = None
    if "all_tools" in members:
        all_tools = read_all_tools(reader, members["all_tools"], counters)
    tools = read_tools(reader, members.get("tools", {}), counters)
    if reader.found or default is None:
        return None
    return Policy(
        version="1",
        name=name or "",
        default=Default(default),
        mode=Mode.ENFORCE if mode is None else Mode(mode),
        pin=Pinning.OBSERVE if pin is None else Pinning(pin),
        stale_after_ns=None if stale_after is None else stale_after * SECOND_NS,
        on_stale=OnStale(on_stale),
        hide=hide,
        dispatch=dispatch,
        methods=methods,
        all_tools=all_tools,
        tools=tools,
        canonical=canonical,
    )


def _read_staleness(reader: Reader, members: Mapping[str, object]) -> tuple[int | None, str]:
    """After how many seconds, and what then."""
    path: Path = ("max_staleness",)
    seconds = None
    if "max_staleness" in members:
        seconds = read_window(reader, members["max_staleness"], path)
    if "on_stale" not in members:
        return seconds, OnStale.KEEP.value
    if "max_staleness" not in members:
        remedy = 'add "max_staleness": "hour"'
        reader.complain(("on_stale",), "nothing says when it is stale", remedy, at_key=True)
    return seconds, reader.choice(members["on_stale"], ("on_stale",), keys.ON_STALE) or "keep"


def _read_methods(reader: Reader, value: object) -> tuple[tuple[str, Default], ...]:
    found: list[tuple[str, Default]] = []
    for method, entry in reader.any_mapping(value, ("methods",)).items():
        path: Path = ("methods", method)
        if reader.name(method, path) is None:
            continue
        if method == "tools/call":
            remedy = 'write rules under "tools"'
            reader.complain(path, "tool calls are decided by the tools", remedy, at_key=True)
            continue
        choice = reader.choice(entry, path, keys.DEFAULTS)
        if choice is not None:
            found.append((method, Default(choice)))
    return tuple(found)


def _read_dispatch(reader: Reader, value: object) -> tuple[Dispatch, ...]:
    found: list[Dispatch] = []
    for wire_tool, entry in reader.any_mapping(value, ("dispatch",)).items():
        path: Path = ("dispatch", wire_tool)
        if reader.name(wire_tool, path) is None:
            continue
        members = reader.mapping(entry, path, keys.DISPATCH_KEYS)
        if "name" not in members:
            if isinstance(entry, dict):
                reader.missing(path, "name", 'add "name": "/action", the pointer to the operation')
            continue
        pointers = {
            key: reader.pointer(members[key], (*path, key))
            for key in ("name", "arguments", "group")
            if key in members
        }
        prefix = None
        if "prefix" in members:
            most = keys.PREFIX_CHARACTERS_MAX
            prefix = reader.string(members["prefix"], (*path, "prefix"), characters_max=most)
        name = pointers["name"]
        if name is not None:
            found.append(
                Dispatch(
                    wire_tool=wire_tool,
                    name=name,
                    arguments=pointers.get("arguments"),
                    group=pointers.get("group"),
                    prefix=prefix or "",
                )
            )
    return tuple(found)
