"""Operations and categories in a text: a description, or the help of a meta-tool.

Servers write their help for models, each in its own way: `name - text`, bullets, `name(a, b)`, a
table, headings. What they share is that each operation begins a line with its name, and that what
belongs to it is indented further. Lines that begin with a word such as `Required:` tell of the
operation above them, and `Categories:` begins a list of categories.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from toolreeve.policy.catalogue.tool import Help, Tool

NAME = r"[A-Za-z][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*"
OPERATIONS_MAX = 5_000
LINE_CHARACTERS_MAX = 2_000
LIST_CHARACTERS_MAX = 20_000
GROUPS_CHARACTERS_MAX = 100_000
TEXT_CHARACTERS_MAX = 2_000
TEXT_LINES_MAX = 50_000

_OF_OPERATIONS = r"(?:actions?|operations?|(?:sub)?commands?)"
_OF_GROUPS = r"(?:categor(?:y|ies)|groups?|domains?|namespaces?|modules?)"
_QUOTES = r"(?:\*\*|__|[\"'`])*"
_LIST = rf"({_QUOTES}{NAME}{_QUOTES}(?:,\s*{_QUOTES}{NAME}{_QUOTES})+)"
_INLINE = re.compile(rf"(?i)^\W*(?:available |valid )?{_OF_OPERATIONS}:[ \t]*{_LIST}")
_INLINE_ANYWHERE = re.compile(rf"(?i)\b{_OF_OPERATIONS}\b[^:\n]{{0,40}}:[ \t]*{_LIST}")
_INLINE_GROUPS = re.compile(rf"(?i)\b{_OF_GROUPS}\b[^:\n]{{0,80}}:\s{{0,8}}{_LIST}")
_BULLETS_FOLLOW = re.compile(rf"(?i)^\W*(?:available |valid )?{_OF_OPERATIONS}\W*$|one of:?\s*$")
_BULLET = re.compile(
    rf'^\s*[-*\u2022]\s+["\'`]?({NAME})["\'`]?(?:\s*[:(\u2014-]|\s{{2,}}|\s*$)(.*)$'
)
_ENTRY = re.compile(
    rf"^(?P<indent>[ \t]*)(?P<bullet>(?:[-*\u2022]|\d+[.)])[ \t]+)?"
    rf"{_QUOTES}(?P<name>{NAME}){_QUOTES}"
    r"(?P<given>[ \t]?\((?:[^()]|\([^()]*\))*\))?"
    r"(?P<mark>[ \t]*(?::|\u2014|\u2013|->|\u2192)|[ \t]+-+(?=[ \t])|[ \t]{2,}|[ \t]*$)"
    r"[ \t]*(?P<text>.*)$"
)
_ROW = re.compile(rf"^\s*\|\s*{_QUOTES}(?P<name>{NAME}){_QUOTES}\s*\|(?P<text>.*)$")
_TITLE = re.compile(rf"^\s*#{{2,6}}\s+{_QUOTES}(?P<name>{NAME}){_QUOTES}\s*$")
_SECTION = re.compile(
    r"(?i)^[\s#*_=-]*(?:\d+ )?(?:[a-z]+ ){0,3}"
    rf"(?:(?P<groups>{_OF_GROUPS})|{_OF_OPERATIONS}|tools)"
    r"(?: \([^)]*\))?(?: [a-z]+){0,2}[\s*_]*:?[\s*_=-]*$"
)
_ABOUT_AN_OPERATION = frozenset(
    """required optional requires params parameters param parameter arguments args argument inputs
    returns return example examples default defaults type types""".split()  # noqa: SIM905
)
_ASIDES = frozenset("example examples usage note notes returns return tip tips".split())  # noqa: SIM905
_ABOUT_THE_HELP = frozenset(
    """category categories group groups domain domains usage note notes tip tips warning error
    errors hint hints see total action actions operation operations command commands tool tools
    name description""".split()  # noqa: SIM905
)


class _Entry(Struct):
    """A line that begins with a name, and what stands below it."""

    name: str
    indent: int
    text: str
    opens: bool


def listed_operations(text: str) -> dict[str, str]:
    """Operations that a description lists under a heading such as `Actions:`, with their texts."""
    found: dict[str, str] = {}
    within = False
    for line in _lines(text):
        inline = _INLINE.match(line)
        bullet = _BULLET.match(line)
        if inline is not None:
            found |= {name: "" for name in _names(inline.group(1)) if name not in found}
        if _BULLETS_FOLLOW.search(line) is not None:
            within = True
        elif bullet is not None and within:
            found.setdefault(bullet.group(1), bullet.group(2).strip())
    return found if len(found) > 1 else {}


def listed_in_passing(text: str) -> list[str]:
    """Operations that a sentence lists: `Unknown action. Available actions: list, start`."""
    return [
        name
        for line in _lines(text)
        for found in _INLINE_ANYWHERE.finditer(line)
        for name in _names(found.group(1))
    ]


def listed_groups(text: str) -> list[str]:
    """Categories that a sentence lists: `Categories: system, vm`."""
    found = _INLINE_GROUPS.search(text[:GROUPS_CHARACTERS_MAX])
    return [] if found is None else _names(found.group(1))


def entry_of(text: str) -> tuple[str, str] | None:
    """A name and its text, from `vm_list`, `vm_list - every VM` or `vm_list(id)`."""
    found = _ENTRY.match(text[:LINE_CHARACTERS_MAX].strip())
    return None if found is None else (found["name"], _text(found))


def read_text(text: str) -> Help:
    """Read the help of a meta-tool."""
    groups = dict.fromkeys(listed_groups(text))
    operations: dict[str, str] = {}
    for section, entry in _entries(text):
        if section == "groups":
            groups.setdefault(entry.name)
        elif section == "operations":
            operations.setdefault(entry.name, entry.text[:TEXT_CHARACTERS_MAX].strip())
    if not operations:
        operations = dict.fromkeys(listed_in_passing(text), "")
    named = list(operations.items())[:OPERATIONS_MAX]
    return Help(
        groups=tuple(groups),
        operations=tuple(Tool(name=name, description=said) for name, said in named),
    )


def _entries(text: str) -> Iterator[tuple[str, _Entry]]:
    """Each name that a section lists, with everything that is said below it."""
    section, last = "operations", None
    for line in _lines(text):
        entry = _entry(line)
        if last is not None and _belongs(line, entry, last):
            last.text += "\n" + line.strip()
            continue
        if last is not None:
            yield section, last
        last = None
        word = "" if entry is None else entry.name.lower()
        titled = _SECTION.search(line)
        if titled is not None and (entry is None or word in _ABOUT_THE_HELP):
            section = "groups" if titled["groups"] else "operations"
        elif entry is not None and word in _ASIDES and (entry.opens or entry.indent < 0):
            section = ""
        elif entry is not None and word not in _ABOUT_THE_HELP | _ABOUT_AN_OPERATION:
            # A name with nothing but a colon opens a list of others.
            last = None if entry.opens else entry
    if last is not None:
        yield section, last


def _belongs(line: str, entry: _Entry | None, last: _Entry) -> bool:
    """Whether a line tells of the operation above it."""
    if entry is not None and entry.indent < 0:
        return False
    if not line.strip() or len(line) - len(line.lstrip()) > last.indent:
        return True
    word = "" if entry is None else entry.name.lower()
    return word in _ABOUT_AN_OPERATION and not (entry is not None and entry.opens)


def _entry(line: str) -> _Entry | None:
    titled = _TITLE.match(line)
    if titled is not None:
        return _Entry(titled["name"], -1, "", False)
    row = _ROW.match(line)
    if row is not None:
        return _Entry(row["name"], 0, " ".join(row["text"].replace("|", " ").split()), False)
    found = _ENTRY.match(line[:LINE_CHARACTERS_MAX])
    if found is None or (not found["mark"].strip() and not found["text"] and not found["bullet"]):
        return None  # a lone word
    opens = ":" in found["mark"] and not found["text"] and not found["given"]
    return _Entry(found["name"], len(found["indent"]), _text(found), opens)


def _text(found: "re.Match[str]") -> str:
    """What is said behind a name; what stands in brackets at once behind it are its arguments."""
    given: str = found["given"] or ""
    said: str = found["text"].strip()
    return f"{said}; params: {given.strip()[1:-1]}" if given.startswith("(") else said


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines()[:TEXT_LINES_MAX]:
        yield line[:LIST_CHARACTERS_MAX].expandtabs(4)


def _names(listed: str) -> list[str]:
    return [name.strip(" \t\r\n*_\"'`") for name in listed.split(",")]
