"""How a meta-tool is asked for its help, and how what it answers is read.

It is never called with an operation of its own: without arguments where its schema lets it, with
the word `help` where its own texts offer that, and with nothing but a category that it has told of.
"""

import json
import re
from collections.abc import Iterator, Sequence

from toolreeve.policy.catalogue.expand import group_property, offers_help, operation_pointer
from toolreeve.policy.catalogue.help_json import read_value
from toolreeve.policy.catalogue.help_parameters import with_parameters
from toolreeve.policy.catalogue.help_text import listed_groups, listed_in_passing, read_text
from toolreeve.policy.catalogue.schemas import followed, listed
from toolreeve.policy.catalogue.tool import Help, Tool, properties_of

GROUPS_MAX = 64
HELP = "help"
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def first_questions(tool: Tool) -> list[dict[str, str]]:
    """Arguments to ask a meta-tool for its help with, the most harmless first; none for no tool.

    One that requires more than its texts offer a word for cannot be asked, and neither can one
    that does something by default, but with such a word.
    """
    pointer = operation_pointer(tool)
    if pointer is None:
        return []
    key = pointer.removeprefix("/")
    required = {str(one) for one in listed(tool.input_schema.get("required"))}
    words = [name for name in (key, group_property(tool)) if name is not None]
    asked: list[dict[str, str]] = [] if required or _acts(tool, key) else [{}]
    asked += [{name: HELP} for name in words if required <= {name} and offers_help(tool, name)]
    return asked


def questions_by_group(tool: Tool, asked: dict[str, str], told: Help) -> list[dict[str, str]]:
    """Arguments to ask for each category that help or description tells of."""
    group, pointer = group_property(tool), operation_pointer(tool)
    if group is None or pointer is None:
        return []
    key = pointer.removeprefix("/")
    if key not in asked and _acts(tool, key):
        return []
    kept = {key: value for key, value in asked.items() if key != group}
    groups = told.groups
    if not told:
        groups = tuple(listed_groups(tool.description))
    return [{**kept, group: name} for name in groups[:GROUPS_MAX]]


def _acts(tool: Tool, key: str) -> bool:
    """Whether a call that names no operation does something of its own."""
    schema = followed(properties_of(tool.input_schema).get(key), tool.input_schema)
    return schema.get("default") not in (None, "", HELP)


def with_help(listed: Sequence[Tool], asked: dict[str, str], pointer: str) -> tuple[Tool, ...]:
    """The operations, each once, with the help itself where that is asked for like one of them."""
    found: dict[str, Tool] = {}
    for one in with_parameters(listed):
        found.setdefault(one.name, one)
    if asked.get(pointer.removeprefix("/")) == HELP:
        found[HELP] = Tool(name=HELP, description="Describe what there is.")
    return tuple(found.values())


def read_help(texts: Sequence[str], structured: object = None, *, failed: bool = False) -> Help:
    """Read an answer: its structured content, the JSON in its texts, or the texts themselves.

    Of an error only lists of operations are taken, not its lines.
    """
    plain = [text for text in texts if not _is_json(text)]
    for value in (structured, *_json_values(texts)):
        told = read_value(value)
        if told:
            return told
    whole = "\n".join(plain)
    if failed:
        return Help(operations=tuple(Tool(name=name) for name in listed_in_passing(whole)))
    return read_text(whole)


def _json_values(texts: Sequence[str]) -> Iterator[object]:
    """JSON that is a whole text, stands fenced in one, or ends one, as it does in many errors."""
    for text in texts:
        for part in (text, *_FENCED.findall(text), text[text.find("{") :]):
            if part.lstrip()[:1] in {"{", "["}:
                try:
                    yield json.loads(part)
                except (ValueError, RecursionError):
                    continue


def _is_json(text: str) -> bool:
    """Whether a text is meant as JSON: its lines would look like names with texts."""
    bare = text.strip()
    return bare[:1] + bare[-1:] in {"{}", "[]"}
