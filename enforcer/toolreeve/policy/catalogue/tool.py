"""A tool as its server describes it, and what is thought of it."""

import re
from collections.abc import Mapping
from enum import Enum

from msgspec import Struct, field

from toolreeve.policy import keys
from toolreeve.policy.model import is_class, is_glob

CHOICES_DEPTH_MAX = 16

_NAME = re.compile(keys.NAME_PATTERN)


class RiskClass(Enum):
    """What a call can do at worst. In order: the later, the worse."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    FINANCIAL = "financial"
    DESTRUCTIVE = "destructive"


class Level(Enum):
    """How bad a misuse would be."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Tool(Struct, frozen=True, kw_only=True):
    """One entry of `tools/list`, or one operation of a meta-tool.

    `operations` are what a meta-tool's own help has listed, by the names it gives them.

    `stands_for` says in words what a call means where `description` is ours and not the server's.

    The rest is for operations. `wire_tool` is the meta-tool's name. `arguments_checked` is False
    where the server's schema says nothing about them. `mentions` are the properties of a shared
    schema that are this operation's, None for all.
    """

    name: str
    description: str = ""
    input_schema: Mapping[str, object] = field(default_factory=dict[str, object])
    annotations: Mapping[str, object] = field(default_factory=dict[str, object])
    operations: "tuple[Tool, ...]" = ()
    stands_for: str = ""
    wire_tool: str = ""
    arguments_checked: bool = True
    mentions: frozenset[str] | None = None


class Help(Struct, frozen=True, kw_only=True):
    """What a meta-tool answers when it is asked for help.

    `groups` are categories of which it tells no operation; `operations` have the names it gives
    them.
    """

    groups: tuple[str, ...] = ()
    operations: tuple[Tool, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.groups or self.operations)


class Classified(Struct, frozen=True, kw_only=True):
    """A tool's risk class and level, with the reason in one line."""

    name: str
    class_: RiskClass
    level: Level
    why: str


def may_be_named(name: str) -> bool:
    """Whether a rule for exactly this tool can be written."""
    fits = 0 < len(name) <= keys.NAME_CHARACTERS_MAX and _NAME.fullmatch(name) is not None
    return fits and not is_glob(name) and not is_class(name)


def properties_of(schema: Mapping[str, object]) -> dict[str, object]:
    """The properties of an object's schema, by name; none where it names none."""
    found = schema.get("properties")
    if not isinstance(found, Mapping):
        return {}
    return {str(key): value for key, value in found.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def types_of(schema: object, depth: int = 0) -> frozenset[str]:
    """The JSON types that a property's schema names, within `anyOf` and `oneOf` too."""
    if not isinstance(schema, Mapping):
        return frozenset()
    members: dict[str, object] = {str(key): value for key, value in schema.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    named = members.get("type")
    found = {named} if isinstance(named, str) else set[str]()
    if isinstance(named, list):
        found |= {str(one) for one in named}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    for key in ("anyOf", "oneOf"):
        choices = members.get(key)
        if isinstance(choices, list) and depth < CHOICES_DEPTH_MAX:
            for choice in choices:  # pyright: ignore[reportUnknownVariableType]
                found |= types_of(choice, depth + 1)  # pyright: ignore[reportUnknownArgumentType]
    return frozenset(found)
