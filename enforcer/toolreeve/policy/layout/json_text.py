"""A policy as JSON: two blanks a level, and on one line what fits into 100 columns."""

import json
import re

from toolreeve.policy.layout.order import Kind, inside, ordered

COLUMNS_MAX = 100
INDENT = "  "

_UNSEEN = re.compile("[\u007f-\u009f\u2028\u2029\ufeff]")
_SPREAD = frozenset({Kind.POLICY, Kind.RULES})


def write_json(document: object) -> str:
    """Lay out a policy's document. The text ends in a newline and means the same document."""
    return _laid_out(document, Kind.POLICY, "", 0) + "\n"


def _laid_out(value: object, kind: Kind, indent: str, before: int) -> str:
    """`value` at a place where `before` columns of its first line are taken."""
    flat = _flat(value, kind)
    if not value or not isinstance(value, dict | list):
        return flat
    # One column for the comma that may follow. The document and its tools are always spread out.
    if kind not in _SPREAD and before + len(flat) + 1 <= COLUMNS_MAX:
        return flat
    deeper = indent + INDENT
    if isinstance(value, list):
        items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
        spread = [_laid_out(item, inside(kind, None), deeper, len(deeper)) for item in items]
        return "[\n" + ",\n".join(deeper + item for item in spread) + f"\n{indent}]"
    members: dict[str, object] = value  # pyright: ignore[reportUnknownVariableType]
    lines: list[str] = []
    for key in ordered(kind, members):
        start = f"{deeper}{_text(key)}: "
        lines.append(start + _laid_out(members[key], inside(kind, key), deeper, len(start)))
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _flat(value: object, kind: Kind) -> str:
    """`value` on one line."""
    if isinstance(value, dict):
        members: dict[str, object] = value  # pyright: ignore[reportUnknownVariableType]
        pairs = (
            f"{_text(key)}: {_flat(members[key], inside(kind, key))}"
            for key in ordered(kind, members)
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
        return "[" + ", ".join(_flat(item, inside(kind, None)) for item in items) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _text(value: str) -> str:
    """A string as JSON. Characters that are neither seen nor printed are written as escapes."""
    written = json.dumps(value, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
