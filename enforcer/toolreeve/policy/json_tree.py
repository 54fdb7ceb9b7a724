"""Where everything stands in a JSON text.

Only for text that the JSON reader has taken. What a text means, that reader alone says; here its
tokens are found again, which in valid JSON takes one expression, and get their places.
"""

import re
from bisect import bisect_right

from msgspec import Struct

from toolreeve.policy.tree import Items, Mark, Members, Node, Scalar

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^\s"{}\[\],:]+')
_LINE_END = re.compile(r"\r\n|\n|\r")


class _Open(Struct):
    """An object or a list that is not closed yet. In an object, keys and values take turns."""

    mark: Mark
    is_object: bool
    inside: list[Node]


def build_json_tree(text: str) -> Node:
    """The tree of a valid JSON text."""
    lines = [0, *(end.end() for end in _LINE_END.finditer(text))]
    outer: list[_Open] = []
    for token in _TOKEN.finditer(text):
        line = bisect_right(lines, token.start())
        mark = Mark(line, token.start() - lines[line - 1] + 1, token.start(), token.end())
        sign = token.group()
        if sign in {"{", "["}:
            outer.append(_Open(mark, sign == "{", []))
            continue
        node: Node
        if sign in {"}", "]"}:
            node = _closed(outer.pop())
        else:
            node = Scalar(mark=mark, text=sign, kind="json", anchored=False)
        if not outer:
            return node
        outer[-1].inside.append(node)
    raise AssertionError("the JSON reader has taken this text")


def _closed(found: _Open) -> Node:
    if not found.is_object:
        return Items(mark=found.mark, items=tuple(found.inside), anchored=False)
    keys, values = found.inside[::2], found.inside[1::2]
    members = tuple(zip(keys, values, strict=True))
    return Members(mark=found.mark, members=members, anchored=False)
