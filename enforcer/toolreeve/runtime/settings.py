"""Settings: one typed value per process, read once.

Defaults stand in the type, a TOML file overrides them, the environment overrides the file, and
the command line, as `overrides`, overrides all. Unknown keys are complaints.
"""

import os
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

ENVIRONMENT_PREFIX = "TOOLREEVE_"


class SettingsError(Exception):
    """Settings cannot be taken. Says where they came from, what is wrong and what to do."""

    def __init__(self, source: str, problem: str, remedy: str) -> None:
        super().__init__(f"{source}: {problem}; {remedy}")
        self.source = source
        self.problem = problem
        self.remedy = remedy


def load_settings(
    kind: type[T],
    path: Path | None,
    *,
    overrides: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> T:
    """Read settings of type `kind`.

    The environment speaks of scalar top-level keys only, as `TOOLREEVE_<KEY>`, and of keys of
    tables as `TOOLREEVE_<TABLE>_<KEY>` (`TOOLREEVE_BUS_URL`). Members of `overrides` that are
    None are not there. Raises SettingsError.
    """
    source = "settings" if path is None else str(path)
    document = {} if path is None else _read_file(path)
    _merge(document, _from_environment(kind, os.environ if environment is None else environment))
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    _merge(document, given)
    try:
        beside = Path() if path is None else path.parent
        return msgspec.convert(document, kind, strict=False, dec_hook=partial(_decode, beside))
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        where = place.strip("`").removeprefix("$.") or "the file"
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        raise SettingsError(
            source, f"{where}: {problem[:1].lower()}{problem[1:]}", f"known keys: {known}"
        ) from error


def _decode(beside: Path, kind: type, value: object) -> object:
    """Paths, which stand as strings: `~` is a home, and relative ones start beside the file."""
    if kind is Path and isinstance(value, str):
        return beside / Path(value).expanduser()
    if kind is Path and isinstance(value, Path):
        return value
    raise msgspec.ValidationError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def _read_file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(str(path), "there is no such file", "check --config") from error
    except OSError as error:
        problem = error.strerror or str(error)
        raise SettingsError(str(path), problem, "make the file readable") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), f"not TOML: {error}", "mend the file") from error


def _from_environment(kind: type[T], environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        name = ENVIRONMENT_PREFIX + field.encode_name.upper()
        table = _struct_of(field.type)
        if table is None:
            if name in environment:
                found[field.encode_name] = environment[name]
            continue
        members = {
            inner.encode_name: environment[f"{name}_{inner.encode_name.upper()}"]
            for inner in msgspec.structs.fields(table)
            if f"{name}_{inner.encode_name.upper()}" in environment
        }
        if members:
            found[field.encode_name] = members
    return found


def _struct_of(kind: object) -> type[msgspec.Struct] | None:
    """The struct behind `Table` or `Table | None`."""
    choices = getattr(kind, "__args__", (kind,))
    for choice in choices:
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            return choice
    return None


def _merge(document: dict[str, object], more: Mapping[str, object]) -> None:
    for key, value in more.items():
        here = document.get(key)
        if isinstance(value, dict) and isinstance(here, dict):
            _merge(here, value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            document[key] = value
