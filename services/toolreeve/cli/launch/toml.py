"""Writes the settings files that the parts read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "str | bool | int | float | Mapping[str, Value] | Sequence[Value]"

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(table: Mapping[str, Value]) -> str:
    """Return TOML for strings, booleans, numbers, and lists and tables of them."""
    return "".join(f"{_key(key)} = {_written(value)}\n" for key, value in table.items())


def _written(value: Value) -> str:
    match value:
        case str():
            return _quoted(value)
        case bool() | int() | float():
            return json.dumps(value)
        case Mapping():
            inner = ", ".join(f"{_key(key)} = {_written(one)}" for key, one in value.items())
            return f"{{ {inner} }}"
        case _:
            return f"[{', '.join(_written(one) for one in value)}]"


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    # What JSON escapes, TOML reads alike; DEL is the one character that only TOML forbids bare.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
