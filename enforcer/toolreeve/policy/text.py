"""Text to document: JSON or YAML, with the line and column of every value.

JSON is read by the JSON reader, which keeps no positions. They are looked up only when there is
something to complain of, among the text's tokens. An enforcer that loads a good policy in JSON
never loads the YAML reader.
"""

import json
import math
from collections.abc import Callable

from msgspec import Struct

from toolreeve.policy.complaint import Complaint, PolicyTextError
from toolreeve.policy.json_tree import build_json_tree
from toolreeve.policy.pointer import write_pointer
from toolreeve.policy.tree import Items, Members, Node, Scalar, TreeError, build_tree

TEXT_BYTES_MAX = 1_048_576
DEPTH_MAX = 32
INTEGER_DIGITS_MAX = 64
HALVED = "a string holds half of a surrogate pair"
HALVED_REMEDY = "write the whole character"

Path = tuple[str | int, ...]


class Document(Struct, frozen=True):
    """A text and the JSON value it means."""

    source: str
    text: str
    is_json: bool
    value: object


def read(text: bytes | str, source: str) -> Document:
    """Read a text as one JSON value. Raises PolicyTextError for anything that is wrong with it."""
    document, complaints = read_all(text, source)
    if complaints:
        raise PolicyTextError(complaints)
    return document


def read_all(text: bytes | str, source: str) -> tuple[Document, tuple[Complaint, ...]]:
    """Read a text as one JSON value, and say what stands in it that cannot be taken.

    Duplicate keys, aliases and odd scalars are complained of and left out, so that what else is
    wrong can be said with them. Raises PolicyTextError where there is no value to go on with.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise _at(source, 1, 1, f"text is longer than {TEXT_BYTES_MAX} bytes", "split the policy")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
            raise _at(source, line, column, "text is not UTF-8", "save it as UTF-8") from error
    if text.startswith("\ufeff"):
        raise _at(source, 1, 1, "text starts with a byte-order mark", "save it without one")
    if text.lstrip(" \t\r\n").startswith("{"):
        value, doubled = _read_json(text, source)
        if not doubled:
            return Document(source, text, True, value), ()
        value, complaints = _Tree(source, text, is_json=True).value()  # says where
        return Document(source, text, True, value), complaints
    value, complaints = _Tree(source, text, is_json=False).value()
    return Document(source, text, False, value), complaints


Place = Callable[[Path, bool], tuple[int, int]]


def places(document: Document) -> Place:
    """How to find where a path stands: (path, at its key) to (line, column), both from 1.

    A path that leads nowhere (something is missing) is placed at the deepest value on the way.
    Reads the text once more, for all the places that are asked for.
    """
    tree = _Tree(document.source, document.text, is_json=document.is_json)
    return tree.place


def _at(source: str, line: int, column: int, problem: str, remedy: str) -> PolicyTextError:
    found = Complaint(
        source=source, line=line, column=column, pointer="", problem=problem, remedy=remedy
    )
    return PolicyTextError([found])


def _number(read_one: Callable[[str], int | float]) -> Callable[[str], int | float]:
    def read_bounded(digits: str) -> int | float:
        if len(digits) > INTEGER_DIGITS_MAX:
            raise ValueError("a number has too many digits")
        number = read_one(digits)
        if not math.isfinite(number):
            raise ValueError(f"{digits} is not a finite number")
        return number

    return read_bounded


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _read_json(text: str, source: str) -> tuple[object, bool]:
    """The value, and whether an object in it names a key twice; the tree walk finds out where.

    That is told only of text that is JSON to its end, and holds nothing else that is wrong.
    """
    doubled = False

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal doubled
        found = dict(pairs)
        doubled = doubled or len(found) != len(pairs)
        return found

    try:
        value: object = json.loads(
            text,
            object_pairs_hook=members,
            parse_int=_number(int),
            parse_float=_number(float),
            parse_constant=_refuse_constant,
        )
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates have no bytes
    except json.JSONDecodeError as error:
        raise _not_json(source, text, error) from error
    except UnicodeEncodeError as error:
        raise _at(source, 1, 1, HALVED, HALVED_REMEDY) from error
    except RecursionError as error:
        raise _at(source, 1, 1, "nested too deep", f"nest at most {DEPTH_MAX} deep") from error
    except ValueError as error:
        remedy = "write a plain JSON number, or a string"
        raise _at(source, 1, 1, str(error), remedy) from error
    if _too_deep(value):
        raise _at(source, 1, 1, "nested too deep", f"nest at most {DEPTH_MAX} deep")
    return value, doubled


def _is_halved(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def _not_json(source: str, text: str, error: json.JSONDecodeError) -> PolicyTextError:
    """The JSON reader's complaint; a comma before a bracket is told alike by every Python."""
    place = error.pos
    if text[place : place + 1] in {"}", "]"}:
        place = len(text[:place].rstrip()) - 1
    if text[place : place + 1] == "," and text[place + 1 :].lstrip()[:1] in {"}", "]"}:
        line = text.count("\n", 0, place) + 1
        column = place - text.rfind("\n", 0, place)
        return _at(source, line, column, "not JSON: a comma before a bracket", "remove the comma")
    problem = f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    remedy = "mend the JSON (a comma too many or too few is the usual cause)"
    return _at(source, error.lineno, error.colno, problem, remedy)


def _too_deep(value: object) -> bool:
    layer: list[object] = [value]
    for _ in range(DEPTH_MAX + 1):
        following: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                following.extend(item.values())  # pyright: ignore[reportUnknownArgumentType]
            elif isinstance(item, list):
                following.extend(item)  # pyright: ignore[reportUnknownArgumentType]
        if not following:
            return False
        layer = following
    return True


class _Tree:
    """A text's tree, read as a document."""

    def __init__(self, source: str, text: str, *, is_json: bool) -> None:
        self._source = source
        self._text = text
        self._is_json = is_json
        self._complaints: list[Complaint] = []
        try:
            root = build_json_tree(text) if is_json else build_tree(text)
        except TreeError as error:
            problem = f"not YAML: {error.problem}"
            raise _at(source, error.line, error.column, problem, "mend the YAML") from error
        except RecursionError as error:
            raise _at(source, 1, 1, "nested too deep", f"nest at most {DEPTH_MAX} deep") from error
        if root is None:
            raise _at(source, 1, 1, "the text is empty", "write a policy; see the reference")
        self._root: Node = root
        self._keys: dict[int, dict[str, tuple[Node, Node]]] = {}  # of objects looked into

    def value(self) -> tuple[object, tuple[Complaint, ...]]:
        """The document, and what was left out of it: duplicate keys, aliases, odd scalars."""
        value = self._build(self._root, ())
        return value, tuple(self._complaints)

    def place(self, path: Path, at_key: bool) -> tuple[int, int]:
        """Where the value at `path` stands, or its key."""
        node, mark = self._root, self._root.mark
        for step, key in enumerate(path):
            found = self._member(node, key)
            if found is None:
                break
            key_node, node = found
            last = step == len(path) - 1
            mark = (key_node if last and at_key else node).mark
        return mark.line, mark.column

    def _member(self, node: Node, key: str | int) -> tuple[Node, Node] | None:
        if isinstance(node, Members):
            return self._by_key(node).get(str(key))
        if isinstance(node, Items) and isinstance(key, int) and key < len(node.items):
            return node.items[key], node.items[key]
        return None

    def _by_key(self, node: Members) -> dict[str, tuple[Node, Node]]:
        """An object's members by their keys, of equal ones the first; made once for all places."""
        members = self._keys.get(id(node))
        if members is None:
            members = self._keys[id(node)] = {}
            for pair in node.members:
                name = self._key(pair[0])
                if name is not None:
                    members.setdefault(name, pair)
        return members

    def _key(self, node: Node) -> str | None:
        """A key as a string; None for what cannot be one. YAML's plain 1 is the string "1"."""
        if not isinstance(node, Scalar):
            return None
        if not self._is_json:
            return node.text
        key = self._json_scalar(node)
        return key if isinstance(key, str) else None

    def _json_scalar(self, node: Scalar) -> object:
        return json.loads(self._text[node.mark.start : node.mark.end])

    def _complain(self, node: Node, path: Path, problem: str, remedy: str) -> None:
        found = Complaint(
            source=self._source,
            line=node.mark.line,
            column=node.mark.column,
            pointer=write_pointer(path),
            problem=problem,
            remedy=remedy,
        )
        self._complaints.append(found)

    def _build(self, node: Node, path: Path) -> object:
        if len(path) > DEPTH_MAX:
            self._complain(node, path, "nested too deep", f"nest at most {DEPTH_MAX} deep")
            return None
        if node.anchored:
            remedy = "write the value out where it is needed"
            self._complain(node, path, "anchors and aliases are not part of a policy", remedy)
            return None
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if isinstance(node, Items):
            return [self._build(item, (*path, index)) for index, item in enumerate(node.items)]
        members: dict[str, object] = {}
        for key_node, value_node in node.members:
            key = self._key(key_node)
            if key is None:
                self._complain(key_node, path, "a key is not a string", "quote it")
            elif _is_halved(key):
                self._complain(key_node, path, HALVED, HALVED_REMEDY)
            elif key in members:
                problem = f'"{key}" stands here twice'
                self._complain(key_node, (*path, key), problem, "keep one of them")
            else:
                members[key] = self._build(value_node, (*path, key))
        return members

    def _scalar(self, node: Scalar, path: Path) -> object:
        if self._is_json:
            return self._json_scalar(node)
        match node.kind:
            case "null":
                return None
            case "bool":
                return node.text.lower() == "true"
            case "int" | "float":
                read_one: Callable[[str], int | float] = int if node.kind == "int" else float
                try:
                    return _number(read_one)(node.text.replace("_", "#"))
                except ValueError:
                    remedy = "write a plain decimal number, or quote it"
                    self._complain(node, path, f"{node.text} is not a plain number", remedy)
                    return None
            case "str" | "timestamp":
                if _is_halved(node.text):
                    self._complain(node, path, HALVED, HALVED_REMEDY)
                    return None
                return node.text
            case _:
                problem = f"the tag !{node.kind} is not part of a policy"
                self._complain(node, path, problem, "remove it")
                return None
