"""Stable words, fields and columns stand on their reference page."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from toolreeve.audit import Outcome
from toolreeve.control.settings import ControlSettings
from toolreeve.decision import Code
from toolreeve.enforcement.answers import NOT_RECORDED
from toolreeve.gateway.settings import GatewaySettings
from toolreeve.v1 import audit_pb2
from toolreeve.worker.settings import WorkerSettings

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = REPOSITORY / "docs" / "reference"
REFUSING = ("proxy", "sync", "gateway", "policy")
SAYING_A_CODE = {
    "ManifestRefused",
    "_parse_refused",
    "_params_refused",
    "_NotStrictError",
    "withhold",
    "_on_bad",
}
COMMENT = re.compile(r"COMMENT ON COLUMN (\w+)\.(\"?\w+\"?) IS '((?:[^']|'')*)';")


def codes_given(room: str) -> Iterator[str]:
    """The words that a room writes as `code=`, and those it says first to name one."""
    for path in sorted((REPOSITORY / "enforcer" / "toolreeve" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            words = [given.value for given in node.keywords if given.arg == "code"]
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in SAYING_A_CODE:
                words += node.args[:1]
            for word in words:
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    yield word.value


def test_every_code_is_explained() -> None:
    page = (REFERENCE / "codes.md").read_text(encoding="utf-8")
    words = {code.value for code in Code} | {outcome.value for outcome in Outcome} | {NOT_RECORDED}
    words |= {word for room in REFUSING for word in codes_given(room)}
    assert {"duplicate_key", "rollback", "limited"} <= words, "the search finds nothing"
    missing = sorted(word for word in words if f"`{word}`" not in page)
    assert not missing, f"not in docs/reference/codes.md: {missing}"


def test_every_field_of_every_event_is_explained() -> None:
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")
    messages: dict[str, Descriptor] = dict(audit_pb2.DESCRIPTOR.message_types_by_name)
    missing = [
        f"{name}.{field.name}"
        for name, message in messages.items()
        for field in message.fields
        if field.containing_oneof is None or field.containing_oneof.name != "body"
        if f"`{field.name}`" not in page
    ]
    missing += [name for name in messages if name not in page and not name.endswith("Entry")]
    assert not missing, f"not in docs/reference/events.md: {missing}"


def test_the_data_dictionary_says_what_the_views_say() -> None:
    page = (REFERENCE / "sql.md").read_text(encoding="utf-8")
    views = (REPOSITORY / "analytics/toolreeve/warehouse/views.sql").read_text(encoding="utf-8")
    said = [
        (view, f"| `{column}` | {words} |")
        for view, column, quoted in COMMENT.findall(views)
        for words in [quoted.replace("''", "'").replace("|", "\\|")]
    ]
    assert said, "the search finds nothing"
    sections = dict(re.findall(r"^### (\w+)$(.*?)(?=^### |\Z)", page, re.MULTILINE | re.DOTALL))
    missing = [f"{view}: {row}" for view, row in said if row not in sections.get(view, "")]
    assert not missing, f"not in docs/reference/sql.md: {missing}"


def test_defaults_of_settings_are_those_of_the_code() -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([^\n]+)$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    wrong: list[str] = []
    for title, kind in (
        ("The gateway", GatewaySettings),
        ("The control plane", ControlSettings),
        ("The worker", WorkerSettings),
    ):
        said = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", sections[title], re.MULTILINE))
        assert len(said) > 10, f"the search finds nothing in {title}"
        for key, default in defaults(kind):
            if key in said and value_of(said[key]) not in {default, None}:
                wrong.append(f"{title}: {key} is {default!r}, the page says {said[key]}")
    assert not wrong, wrong


def defaults(kind: type[Struct], path: str = "") -> Iterator[tuple[str, object]]:
    """Each key with a plain default, `query.rows_max` for instance, and that default."""
    for field in fields(kind):
        default = field.default
        if default is NODEFAULT and field.default_factory is not NODEFAULT:
            default = field.default_factory()
        if isinstance(default, tuple) and default and isinstance(default[0], Struct):
            default = default[0]
        if isinstance(default, Struct):
            yield from (
                (f"{path}{field.encode_name}.{key}", getattr(default, key))
                for key in default.__struct_fields__
            )
        elif isinstance(default, bool | int | float | str | tuple):
            yield path + field.encode_name, default


def value_of(cell: str) -> object:
    """What a table's cell says: 4 GiB, 7 days, 0.5, `false`, `text`. None where it is prose."""
    if cell in {"`true`", "`false`"}:
        return cell == "`true`"
    if cell.startswith("`["):
        return tuple(json.loads(cell.strip("`")))
    if cell.startswith("`~"):  # a folder that is worked out
        return None
    if plain := re.fullmatch(r"`([^`]+)`", cell):
        return plain[1]
    number, _, unit = cell.partition(" ")
    scale = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "days": 86_400}.get(unit)
    try:
        return None if scale is None else float(number) * scale
    except ValueError:
        return None
