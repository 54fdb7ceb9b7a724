"""What of a call a limit counts, and whose count it is."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from toolreeve.decision.bucket import Amount
from toolreeve.decision.call import Call
from toolreeve.policy import Scope, canonical_json, resolve

GRANT = Scope.GRANT  # what most limits say; Python takes long to find a member of an enum


def amount_of(keys: tuple[str, ...], arguments: Mapping[str, object]) -> Amount | None:
    """What the call counts; None where it is no finite number from 0 up."""
    _, value = resolve(arguments, keys)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        return None
    if isinstance(value, int):
        return Decimal(value)
    return Decimal(str(value)) if math.isfinite(value) else None


def whose(scope: Scope, call: Call) -> str:
    """Who shares a count, without the values it is kept by."""
    if scope is GRANT:
        return f"grant {call.server} {call.grant}"
    if scope is Scope.SESSION:
        return f"session {call.server} {call.grant} {call.session}"
    if scope is Scope.FLEET:
        return f"fleet {call.server}"
    return f"server {call.server}" if scope is Scope.SERVER else "enforcer"


def values_of(pointers: Sequence[tuple[str, ...]], arguments: Mapping[str, object]) -> bytes:
    """What stands at each pointer, and whether anything does, as text that says no other."""
    values: list[tuple[bool, object]] = []
    for keys in pointers:
        found, value = resolve(arguments, keys)
        plain = type(value) is str or type(value) is int
        values.append((found, value if plain else _plain(value)))
    return canonical_json(values)


def _plain(value: Any) -> Any:
    """A value so that equal ones have the same text: 7.0 is 7, wherever it stands."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_plain(element) for element in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: _plain(element) for key, element in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value
