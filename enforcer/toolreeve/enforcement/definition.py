"""A tool's definition: what a model is told of it, and the digest that names it."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from toolreeve.policy import canonical_json, revision_of

MEMBERS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""What reaches a model, or what a client goes by. `_meta`, icons and what nobody knows do not."""

DEFINITION_BYTES_MAX = 64 << 10
NAME_CHARACTERS_MAX = 256


class Definition(Struct, frozen=True):
    """A tool as its server offers it.

    `digest` is `sha256:<hex>` over the canonical JSON of MEMBERS; null is as good as not there.
    `json` is that canonical JSON, and empty where it is too long to be kept.
    """

    tool: str
    digest: str
    json: str


def definition_of(entry: object) -> Definition | None:
    """The definition in one entry of `tools/list`; None for one that nobody could call."""
    if not isinstance(entry, dict):
        return None
    members: dict[str, object] = entry  # pyright: ignore[reportUnknownVariableType]
    name = members.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        return None
    told = {key: value for key in MEMBERS if (value := members.get(key)) is not None}
    canonical = canonical_json(told)
    kept = canonical.decode() if len(canonical) <= DEFINITION_BYTES_MAX else ""
    return Definition(name, revision_of(canonical), kept)


def definitions_of(page: Sequence[object]) -> list[Definition]:
    """The definitions in a page, in its order, but for what nobody could call."""
    return [found for entry in page if (found := definition_of(entry)) is not None]


def is_whole(definition: Definition) -> bool:
    """Whether the digest is that of the JSON beside it, where there is any."""
    return not definition.json or revision_of(definition.json.encode()) == definition.digest


def members_of(definition: Definition) -> dict[str, object]:
    """The members by name; none where the JSON was not kept."""
    if not definition.json:
        return {}
    return msgspec.json.decode(definition.json, type=dict[str, object])


def members_changed(before: Definition, after: Definition) -> tuple[str, ...]:
    """Names of the members that differ, sorted; none where one of the two was not kept."""
    if not before.json or not after.json:
        return ()
    old, new = members_of(before), members_of(after)
    return tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))
