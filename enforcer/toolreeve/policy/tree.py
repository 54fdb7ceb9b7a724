"""The YAML reader's tree of a text as plain values: every node with its place."""

from typing import Any

from msgspec import Struct


class Mark(Struct, frozen=True):
    """Where a node stands: offsets into the text; line and column from 1."""

    line: int
    column: int
    start: int
    end: int


class Scalar(Struct, frozen=True, kw_only=True):
    """A leaf. `kind` is the last part of its YAML tag: "str", "int", "float", "bool", "null"."""

    mark: Mark
    text: str
    kind: str
    anchored: bool


class Items(Struct, frozen=True, kw_only=True):
    """A list."""

    mark: Mark
    items: "tuple[Node, ...]"
    anchored: bool


class Members(Struct, frozen=True, kw_only=True):
    """An object, its members in their order and with their duplicates."""

    mark: Mark
    members: "tuple[tuple[Node, Node], ...]"
    anchored: bool


Node = Scalar | Items | Members


class TreeError(ValueError):
    """The text is not YAML."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.column = column
        self.problem = problem


def build_tree(text: str) -> Node | None:
    """Read one YAML document; None where there is none.

    Raises TreeError, and RecursionError where it is nested beyond what Python's stack holds.
    """
    # The reader takes 60 ms to load and an enforcer with a good JSON policy never needs it.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    reader: Any = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False  # they are complained of, not warned about
    try:
        root: Any = reader.compose(text)
    except MarkedYAMLError as error:
        marked: Any = error
        mark = marked.problem_mark or marked.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise TreeError(line, column, str(marked.problem or marked.context)) from error
    except (YAMLError, ValueError) as error:
        raise TreeError(1, 1, str(error).partition("\n")[0]) from error
    return None if root is None else _plain(root)


def _plain(node: Any) -> Node:
    start, end = node.start_mark, node.end_mark
    mark = Mark(start.line + 1, start.column + 1, start.index, end.index)
    anchored = bool(node.anchor)
    if anchored and node.id != "scalar":
        return Items(mark=mark, items=(), anchored=True)  # may hold itself: look no further
    match node.id:
        case "mapping":
            members = tuple((_plain(key), _plain(value)) for key, value in node.value)
            return Members(mark=mark, members=members, anchored=anchored)
        case "sequence":
            items = tuple(_plain(item) for item in node.value)
            return Items(mark=mark, items=items, anchored=anchored)
        case _:
            kind = str(node.tag).rpartition(":")[2]
            return Scalar(mark=mark, text=_joined(str(node.value)), kind=kind, anchored=anchored)


def _joined(text: str) -> str:
    r"""Text in which two escapes that are one character (`\ud83d\ude42`) are that character."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
