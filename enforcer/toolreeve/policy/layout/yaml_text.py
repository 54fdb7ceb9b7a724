"""A policy in YAML with its keys in canonical order, as its author wrote everything else.

Quotes, flow and block style, blank lines and comments stay. Where keys change places, the text of
each key moves whole, with the comment lines directly above it. So nothing is written anew that
could come to mean something else.
"""

from msgspec import Struct

from toolreeve.policy.layout.order import Kind, inside, ordered
from toolreeve.policy.tree import Items, Members, Node, Scalar, build_tree


class YamlLayoutError(ValueError):
    """Keys cannot be brought into order without losing a comment's place."""

    def __init__(self, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.line = line
        self.problem = problem
        self.remedy = remedy


class _Edit(Struct, frozen=True):
    """Replace text from `start` to `end`."""

    start: int
    end: int
    text: str


def write_yaml(text: str) -> str:
    """Order a policy's keys in a YAML text. Raises YamlLayoutError, or TreeError on bad YAML."""
    text = "\n".join(line.rstrip(" \t\r") for line in text.split("\n")).rstrip("\n") + "\n"
    root = build_tree(text)
    if root is None:
        return text
    return _Text(text).laid_out(root, _body_end(text))


def _body_end(text: str) -> int:
    """Where the document ends: before `...` or a footer of comments after a blank line."""
    lines = text.splitlines(keepends=True)
    while lines and lines[-1].rstrip("\n") in {"", "..."}:
        lines.pop()
    kept = len(lines)
    while kept and lines[kept - 1].startswith("#"):
        kept -= 1
    if kept and not lines[kept - 1].strip():
        lines = lines[:kept]
    return sum(map(len, lines))


class _Text:
    def __init__(self, text: str) -> None:
        self._text = text

    def laid_out(self, root: Node, end: int) -> str:
        """The whole text, with the document that ends at `end` in order."""
        return self._with(self._edits(root, Kind.POLICY, end), 0, end) + self._text[end:]

    def _with(self, edits: list[_Edit], start: int, end: int) -> str:
        pieces: list[str] = []
        at = start
        for edit in edits:
            pieces += [self._text[at : edit.start], edit.text]
            at = edit.end
        return "".join([*pieces, self._text[at:end]])

    def _edits(self, node: Node, kind: Kind, end: int) -> list[_Edit]:
        """What to change inside `node`. The edits do not overlap and stand in their order."""
        if isinstance(node, Scalar) or kind is Kind.FREE:
            return []
        if isinstance(node, Items):
            return self._items(node, kind, end)
        if self._text[node.mark.start : node.mark.start + 1] == "{":
            return self._flow(node, kind)
        return self._block(node, kind, end)

    def _flow(self, node: Members, kind: Kind) -> list[_Edit]:
        """`{b: 1, a: 2}`: the pairs change places, what stands between them stays."""
        pairs = {
            key.text: (key.mark.start, max(key.mark.end, value.mark.end), value)
            for key, value in node.members
            if isinstance(key, Scalar)
        }
        written = {
            name: self._with(self._edits(value, inside(kind, name), stop), begin, stop)
            for name, (begin, stop, value) in pairs.items()
        }
        names = ordered(kind, pairs)
        inner = [at for begin, stop, _ in pairs.values() for at in (begin, stop)]
        places = [node.mark.start, *inner, node.mark.end]
        between = zip(places[::2], places[1::2], strict=True)
        if names != list(pairs) and any("#" in self._text[here:there] for here, there in between):
            raise YamlLayoutError(
                node.mark.line,
                "a comment stands between keys in {...} that are not in order",
                "put the comment above, or bring the keys into order yourself",
            )
        return [
            _Edit(begin, stop, written[name])
            for (begin, stop, _), name in zip(pairs.values(), names, strict=True)
        ]

    def _items(self, node: Items, kind: Kind, end: int) -> list[_Edit]:
        """A list: its items keep their places."""
        found: list[_Edit] = []
        if self._text[node.mark.start : node.mark.start + 1] == "[":
            stops = [item.mark.end for item in node.items]
        else:
            stops = [self._top(self._dash(item.mark.start)) for item in node.items[1:]]
        for item, stop in zip(node.items, [*stops, end], strict=False):
            found += self._edits(item, inside(kind, None), stop)
        return found

    def _dash(self, at: int) -> int:
        """Where the dash of the list's item stands whose content begins at `at`."""
        line = self._line_start(at)
        while line and not self._text[line:at].lstrip(" ").startswith("-"):
            line = self._line_start(line - 1)
        return line + self._text[line:at].find("-")

    def _block(self, node: Members, kind: Kind, end: int) -> list[_Edit]:
        """Keys on lines of their own: each moves with its value and the comments above it."""
        keys = [key for key, _ in node.members if isinstance(key, Scalar)]
        begins = [key.mark.start for key in keys]
        tops = [self._top(begin) for begin in begins]
        if not self._alone(begins[0]):  # it follows the dash of a list
            tops[0] = begins[0]
        elif tops[0] == 0:  # a comment that opens the file speaks of all of it
            tops[0] = self._line_start(begins[0])
        ends = [self._bottom(stop) for stop in [*tops[1:], end]]
        comments: dict[str, str] = {}
        bodies: dict[str, str] = {}
        for (key, value), top, stop in zip(node.members, tops, ends, strict=True):
            assert isinstance(key, Scalar)
            begin = key.mark.start
            inner = self._edits(value, inside(kind, key.text), stop)
            comments[key.text] = self._text[top : max(top, self._line_start(begin))]
            bodies[key.text] = self._with(inner, begin, stop)
        edits: list[_Edit] = []
        indent = " " * (keys[0].mark.column - 1)
        for slot, name in enumerate(ordered(kind, [key.text for key in keys])):
            if tops[slot] != begins[slot]:
                words = f"{comments[name]}{indent}{bodies[name]}"
                edits.append(_Edit(tops[slot], ends[slot], words))
            else:
                line = self._line_start(begins[slot])
                edits.append(_Edit(line, line, comments[name]))
                edits.append(_Edit(begins[slot], ends[slot], bodies[name]))
        return edits

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _alone(self, at: int) -> bool:
        """Whether nothing stands before this place on its line."""
        return not self._text[self._line_start(at) : at].strip(" ")

    def _top(self, at: int) -> int:
        """Where the comment lines directly above a place begin; its own line without any."""
        top = self._line_start(at)
        own = self._text[top:at]
        column = len(own) - len(own.lstrip(" "))
        while top:
            above = self._line_start(top - 1)
            line = self._text[above : top - 1]
            if not line.lstrip(" ").startswith("#") or len(line) - len(line.lstrip(" ")) > column:
                break
            top = above
        return top

    def _bottom(self, end: int) -> int:
        """Where the last line before `end` ends that is not blank, without its newline."""
        return len(self._text[:end].rstrip("\n "))
