"""Parameters of operations, as help tells of them in JSON and in texts, become a schema."""

from typing import Any

import pytest

from toolreeve.policy.catalogue import Tool
from toolreeve.policy.catalogue.help import read_help
from toolreeve.policy.catalogue.help_parameters import parameters_in, with_parameters
from toolreeve.policy.catalogue.tighten import tighten


def schemas(value: object) -> dict[str, Any]:
    return {one.name: one.input_schema for one in read_help([], value).operations}


PARAMETERS: list[tuple[object, dict[str, Any], list[str]]] = [
    (
        {"inputSchema": {"type": "object", "properties": {"id": {"type": "integer"}}}},
        {"id": {"type": "integer"}},
        [],
    ),
    (
        {"parameters": {"id": {"type": "int", "required": True}, "name": "string, optional"}},
        {"id": {"type": "integer"}, "name": {"type": "string", "description": "string, optional"}},
        ["id"],
    ),
    (
        {"params": [{"name": "id", "type": "number", "required": True}, {"name": "force"}]},
        {"id": {"type": "number"}, "force": {}},
        ["id"],
    ),
    (
        {"args": ["id: integer (required)", "names: string[]", "mode"]},
        {
            "id": {"type": "integer", "description": "integer (required)"},
            "names": {"type": "array", "description": "string[]"},
            "mode": {},
        },
        ["id"],
    ),
    (
        {"description": "Stop", "required": ["id"], "optional": ["force"]},
        {"id": {}, "force": {}},
        ["id"],
    ),
    (
        {"arguments": {"id": {"type": "uuid"}, "kind": {"type": ["str", "null"], "enum": ["a"]}}},
        {"id": {}, "kind": {"type": ["string", "null"], "enum": ["a"]}},
        [],
    ),
]


@pytest.mark.parametrize(("operation", "properties", "required"), PARAMETERS)
def test_parameters_become_a_schema(
    operation: dict[str, object], properties: dict[str, Any], required: list[str]
) -> None:
    (found,) = schemas({"actions": {"vm_stop": operation}}).values()
    assert found["properties"] == properties
    assert found.get("required", []) == required


def test_an_operation_without_parameters_has_no_schema() -> None:
    assert schemas({"actions": {"vm_list": "Every VM", "vm_info": {"params": {}}}}) == {
        "vm_list": {},
        "vm_info": {},
    }


def test_parameters_in_one_sentence_stand_in_the_text() -> None:
    found = read_help([], {"actions": {"vm_stop": {"description": "Stop", "params": "id, force"}}})
    assert [one.description for one in found.operations] == ["Stop; params: id, force"]


TEXTS: list[tuple[str, dict[str, str], list[str]]] = [
    ("Stop a VM; params: id, force", {"id": "", "force": ""}, []),
    ("Stop a VM\nRequired: id\nOptional: force", {"id": "", "force": ""}, ["id"]),
    ("Run it. Requires: code. Optional: language", {"code": "", "language": ""}, ["code"]),
    (
        "Set\nRequired: id (Which VM: a number, see vm_list)\nOptional: memory (in MiB), name",
        {"id": "Which VM: a number, see vm_list", "memory": "in MiB", "name": ""},
        ["id"],
    ),
    ("Wipe one\n  - disk_id: which\n  - force (bool): now", {"disk_id": "", "force": "bool"}, []),
    (
        "Change it; args: id, secret (required for others)",
        {"id": "", "secret": "required for others"},
        [],
    ),
]


@pytest.mark.parametrize(("text", "described", "required"), TEXTS)
def test_parameters_are_found_in_a_text(
    text: str, described: dict[str, str], required: list[str]
) -> None:
    found: Any = parameters_in(text)
    assert {
        name: one.get("description", "") for name, one in found["properties"].items()
    } == described
    assert found.get("required", []) == required


def test_a_type_in_a_text_is_one_only_where_it_stands_alone() -> None:
    found: Any = parameters_in(
        "Find; params: limit: int = 10, name: str | None = None, count (number), tags (string[]),"
        " id (object id), kinds (list of names), flag (bool, by default true)"
    )
    assert {name: one.get("type") for name, one in found["properties"].items()} == {
        "limit": "integer",
        "name": ["string", "null"],
        "count": "number",
        "tags": "array",
        "id": None,
        "kinds": None,
        "flag": "boolean",
    }


@pytest.mark.parametrize(
    "text",
    [
        "Every VM of this host",
        "Stop a VM\nOptional: none",
        "Stop a VM\nRequired: an id of the VM and more words",
        "Stop a VM\nRequired: id (cut short, name (...",
        "Stop a VM\nRequired: id), name",
        "Stop a VM; params:",
    ],
)
def test_a_list_that_cannot_be_read_tells_of_nothing(text: str) -> None:
    assert parameters_in(text) == {}


def schema_of(tool: Tool) -> Any:
    """The schema that the recommended rule of an operation behind `params` has."""
    return tighten(Tool(name=tool.name, input_schema=tool.input_schema, arguments_checked=False))


def test_help_that_tells_of_some_parameters_tells_of_all() -> None:
    listed, stop, odd = (
        schema_of(one)
        for one in with_parameters(
            [
                Tool(name="vm_list", description="Every VM"),
                Tool(name="vm_stop", description="Stop one; params: id"),
                Tool(name="vm_odd", description="Do so. Required: what you know of it"),
            ]
        )
    )
    assert listed == {"type": "object", "additionalProperties": False}
    assert list(stop["properties"]) == ["id"]
    assert stop["additionalProperties"] is False
    assert list(odd) == ["type", "patternProperties"], "what cannot be read is held back by name"


def test_help_that_tells_of_no_parameters_leaves_ids_and_paths_held_back_by_name() -> None:
    told = with_parameters([Tool(name="vm_list"), Tool(name="vm_stop", description="Stop one")])
    assert [list(schema_of(one)) for one in told] == [["type", "patternProperties"]] * 2
