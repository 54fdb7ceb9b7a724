"""What other programs would take a message for: which method, which tool, which arguments.

The readers of JSON may agree and their programs still differ: one takes keys whatever their case,
one checks types, one lets the last of two keys win. Each view here is such a program's.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec
from mcp_types.jsonrpc import JSONRPCNotification, JSONRPCRequest, jsonrpc_message_adapter
from pydantic import ValidationError

TOOLS_CALL = "tools/call"


class View(msgspec.Struct, frozen=True):
    """A message as a program takes it. `method` is None where it sees no request in it."""

    method: object
    name: object = None
    arguments: object = None
    id: object = None


def by_any_case(raw: bytes) -> View:
    """Go's `encoding/json` into a struct: keys in any case, the last one wins."""
    envelope = _folded(json.loads(raw))
    inside = _folded(envelope.get("params"))
    return View(
        envelope.get("method"), inside.get("name"), inside.get("arguments"), envelope.get("id")
    )


def by_the_sdk(raw: bytes) -> View:
    """The MCP SDK for Python: typed models, made by pydantic."""
    try:
        message = jsonrpc_message_adapter.validate_json(raw)
    except ValidationError:
        return View(None)
    if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
        return View(None)
    params: dict[str, Any] = message.params or {}
    number = message.id if isinstance(message, JSONRPCRequest) else None
    return View(message.method, params.get("name"), params.get("arguments"), number)


def by_duck(raw: bytes) -> View:
    """A program that looks at `method` alone and asks for nothing else, as scripts do."""
    envelope: Any = json.loads(raw)
    params: Any = envelope.get("params")
    inside: dict[str, Any] = params if isinstance(params, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    return View(
        envelope.get("method"), inside.get("name"), inside.get("arguments"), envelope.get("id")
    )


def by_a_careless_router(raw: bytes) -> View:
    """A program that trims the method and takes it in any case before it looks for a handler."""
    view = by_duck(raw)
    if not isinstance(view.method, str):
        return view
    return msgspec.structs.replace(view, method=view.method.strip().translate(_FOLDS).lower())


VIEWS: dict[str, Callable[[bytes], View]] = {
    "any case": by_any_case,
    "sdk": by_the_sdk,
    "duck": by_duck,
    "careless": by_a_careless_router,
}

# Letters that fold to ASCII ones: the long s and the Kelvin sign.
_FOLDS = str.maketrans({"\u017f": "s", "\u212a": "k"})


def _folded(value: object) -> dict[str, Any]:
    members: dict[str, Any] = value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    return {key.translate(_FOLDS).lower(): inner for key, inner in members.items()}
