"""Tool lists, shown as far as the caller may see them.

Only the `tools` member is touched, and in the newest protocol the two members that would let a
cache show one caller's list to another. A list that cannot be read strictly is not shown at all:
what a policy hides must not come out through a list that two readers read differently.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from toolreeve.proxy.shapes import is_array, is_object
from toolreeve.proxy.strictjson import Refused, parse

TTL_MS_MAX: Final = 5_000

Visible = Callable[[list[object], bool], list[object]]
"""What is shown of a page's tools; told too whether another page follows."""


class Listing(msgspec.Struct, frozen=True):
    """A filtered answer to tools/list, and the tools that are left in it."""

    raw: bytes
    shown: list[object]


_encode = msgspec.json.Encoder().encode


def filter_listing(raw: bytes, visible: Visible, *, stateless: bool) -> Listing | Refused:
    """Show what is visible of a response to tools/list, or say why it cannot be read.

    An answer that is an error is passed as it is. `stateless` is the era of 2026-07-28.
    """
    parsed = parse(raw)
    if isinstance(parsed, Refused):
        return parsed
    response = parsed.value
    if not is_object(response):
        return _unreadable("the answer to tools/list is no object")
    if "error" in response and "result" not in response:
        return Listing(parsed.raw, [])
    result = response.get("result")
    tools = result.get("tools") if is_object(result) else None
    if not is_object(result) or not is_array(tools):
        return _unreadable("the answer to tools/list holds no array of tools")
    if not all(_is_tool(tool) for tool in tools):
        return _unreadable("a tool in the list is no object with a name")
    if len({str(tool["name"]) for tool in tools if is_object(tool)}) != len(tools):
        return _unreadable("two tools in the list have one name")
    kept = visible(tools, bool(result.get("nextCursor")))
    shown: dict[str, object] = {**result, "tools": kept}
    if stateless or "cacheScope" in shown or "ttlMs" in shown:
        shown["cacheScope"] = "private"
    if "ttlMs" in shown:
        shown["ttlMs"] = _short(shown["ttlMs"])
    return Listing(_encode({**response, "result": shown}), kept)


def _short(ttl_ms: object) -> int:
    if isinstance(ttl_ms, int | float) and not isinstance(ttl_ms, bool):
        return int(min(max(ttl_ms, 0), TTL_MS_MAX))
    return 0


def _is_tool(tool: object) -> bool:
    return is_object(tool) and isinstance(tool.get("name"), str)


def _unreadable(reason: str) -> Refused:
    return Refused(code="tool_list", reason=reason, http_status=502, rpc_code=-32603)
