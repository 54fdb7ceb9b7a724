"""Checks of single values in a document; every complaint knows its path."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from msgspec import Struct

from toolreeve.policy import keys
from toolreeve.policy.pointer import PointerError, parse_pointer
from toolreeve.policy.text import Path

NOWHERE: Mapping[str, str] = {}


class Found(Struct, frozen=True, kw_only=True):
    """A complaint before its line and column are known."""

    path: Path
    problem: str
    remedy: str
    at_key: bool = False


class Reader:
    """Collects complaints while a document is read."""

    def __init__(self) -> None:
        self.found: list[Found] = []

    def complain(self, path: Path, problem: str, remedy: str, *, at_key: bool = False) -> None:
        """Note that something at `path` is wrong."""
        found = Found(path=path, problem=problem, remedy=remedy, at_key=at_key)
        self.found.append(found)

    def mapping(
        self,
        value: object,
        path: Path,
        keys: Sequence[str],
        elsewhere: Mapping[str, str] = NOWHERE,
    ) -> dict[str, object]:
        """An object whose keys are all among `keys`; what is not is complained of and left out.

        `elsewhere` has the remedy for keys that mean something in other dialects.
        """
        members = self.any_mapping(value, path)
        for key in [key for key in members if key not in keys]:
            near = get_close_matches(key, keys, 1)
            remedy = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(keys)}"
            remedy = elsewhere.get(key, remedy)
            self.complain((*path, key), f'"{key}" is not known here', remedy, at_key=True)
            del members[key]
        return members

    def any_mapping(self, value: object, path: Path) -> dict[str, object]:
        """An object with any keys, as a copy; empty after a complaint."""
        if isinstance(value, dict):
            return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        self.complain(path, f"expected an object, found {kind_of(value)}", "write {...}")
        return {}

    def items(
        self, value: object, path: Path, *, most: int, least: int = 0
    ) -> Iterator[tuple[object, Path]]:
        """The members of a list with their paths; none after a complaint."""
        if not isinstance(value, list):
            self.complain(path, f"expected a list, found {kind_of(value)}", "write [...]")
            return
        count = len(value)  # pyright: ignore[reportUnknownArgumentType]
        if not least <= count <= most:
            problem = f"the list has {count} members"
            self.complain(path, problem, f"write from {least} to {most}")
            return
        for index, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield item, (*path, index)

    def name(self, value: object, path: Path) -> str | None:
        """A name: up to 256 characters, no control characters."""
        return self.string(value, path, characters_max=keys.NAME_CHARACTERS_MAX)

    def text(self, value: object, path: Path) -> str | None:
        """A line for people or models: up to 1,000 characters, no control characters."""
        return self.string(value, path, characters_max=keys.TEXT_CHARACTERS_MAX)

    def string(self, value: object, path: Path, *, characters_max: int) -> str | None:
        """A string without control characters, from 1 to `characters_max` long."""
        if not isinstance(value, str):
            problem = f"expected a string, found {kind_of(value)}"
            self.complain(path, problem, 'write "..."')
        elif not 0 < len(value) <= characters_max:
            problem = f"the string has {len(value)} characters"
            self.complain(path, problem, f"write from 1 to {characters_max} characters")
        elif any(character < " " or character == "\x7f" for character in value):
            self.complain(path, "the string holds a control character", "remove it")
        else:
            return value
        return None

    def integer(self, value: object, path: Path, low: int, high: int) -> int | None:
        """An integer from `low` to `high`; true and 1.0 are none."""
        if not isinstance(value, int) or isinstance(value, bool):
            problem = f"expected a whole number, found {kind_of(value)}"
            self.complain(path, problem, f"write a number from {low} to {high}")
        elif not low <= value <= high:
            self.complain(path, f"{value} is out of bounds", f"write a number from {low} to {high}")
        else:
            return value
        return None

    def choice(
        self, value: object, path: Path, choices: Sequence[str], *, at_key: bool = False
    ) -> str | None:
        """One of `choices`."""
        if isinstance(value, str) and value in choices:
            return value
        near = get_close_matches(value, choices, 1) if isinstance(value, str) else []
        shown = f'"{value}"' if isinstance(value, str) else kind_of(value)
        known = ", ".join(f'"{choice}"' for choice in choices)
        remedy = f'did you mean "{near[0]}"?' if near else f"write one of {known}"
        self.complain(path, f"{shown} is not a choice here", remedy, at_key=at_key)
        return None

    def pointer(self, value: object, path: Path) -> str | None:
        """A JSON Pointer that names something inside."""
        text = self.string(value, path, characters_max=keys.POINTER_CHARACTERS_MAX)
        if text is None:
            return None
        try:
            parse_pointer(text)
        except PointerError as error:
            self.complain(path, str(error), 'write a JSON Pointer such as "/action"')
            return None
        return text

    def missing(self, path: Path, key: str, remedy: str) -> None:
        """Complain that `key` is not there."""
        self.complain(path, f'"{key}" is missing', remedy)


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
