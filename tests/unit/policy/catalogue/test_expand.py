"""Meta-tools: operations in the place of one wire tool."""

from typing import Any

from toolreeve.policy import Dispatch
from toolreeve.policy.catalogue import Tool, expand, is_meta
from toolreeve.policy.catalogue.help_text import listed_groups, listed_operations

STRING: dict[str, Any] = {"type": "string"}


def chooser(name: str, *values: str, required: bool = True, **more: object) -> Tool:
    action = {"type": "string", "enum": list(values)} if values else STRING
    schema: dict[str, object] = {"type": "object", "properties": {"action": action, **more}}
    if required:
        schema["required"] = ["action"]
    return Tool(name=name, input_schema=schema)


def names(*tools: Tool) -> list[str]:
    return [tool.name for tool in expand(tools).tools]


def test_an_enumeration_of_operations_becomes_effective_tools_with_a_prefix() -> None:
    found = expand([chooser("vm_management", "list", "start", "delete")])
    assert [tool.name for tool in found.tools] == ["vm_list", "vm_start", "vm_delete"]
    assert found.dispatch == (Dispatch(wire_tool="vm_management", name="/action", prefix="vm_"),)


def test_operations_that_say_enough_keep_their_names() -> None:
    assert names(chooser("net", "list_networks", "create_network")) == [
        "list_networks",
        "create_network",
    ]


def test_operations_of_two_meta_tools_and_other_tools_never_share_a_name() -> None:
    tools = (
        Tool(name="list_disks"),
        chooser("storage_tool", "list_disks", "wipe_disk"),
        chooser("storage_tools", "list_disks", "wipe_disk"),
    )
    found = names(*tools)
    assert len(found) == len(set(found)) == 5


def test_a_nullable_enumeration_is_one_too() -> None:
    action = {"anyOf": [{"enum": ["get", "set", "list", "drop"]}, STRING, {"type": "null"}]}
    tool = Tool(name="cfg", input_schema={"properties": {"action": action}})
    assert set(names(tool)) == {"cfg_get", "cfg_set", "cfg_list", "cfg_drop", "cfg"}


def test_an_enumeration_that_only_tunes_a_tool_makes_no_meta_tool() -> None:
    assert not is_meta(chooser("pool_scrub", "START", "STOP", "PAUSE"))
    assert not is_meta(chooser("firewall_rule_create", "ALLOW", "REJECT"))


def test_operations_listed_in_a_description_are_found_with_their_texts() -> None:
    text = (
        "Manage it.\n\nOperations:\n  - list_vms   List all\n  - stop_vm    Hard-stop one\n\nDone."
    )
    assert listed_operations(text) == {"list_vms": "List all", "stop_vm": "Hard-stop one"}
    assert set(listed_operations("Lifecycle.\n\nActions: list, start, stop.")) == {
        "list",
        "start",
        "stop",
    }


def test_a_list_of_categories_is_no_list_of_operations() -> None:
    assert listed_operations("Categories: system, storage, vm") == {}
    assert listed_groups("categories: vm, system, api") == ["vm", "system", "api"]


def test_arguments_and_category_are_found_beside_the_operation() -> None:
    tool = chooser("truenas", required=False, params={"type": "object"}, category=STRING)
    found = expand([tool])
    assert found.unlisted == {"truenas"}
    assert found.dispatch == (
        Dispatch(wire_tool="truenas", name="/action", arguments="/params", group="/category"),
    )


def test_a_policys_own_dispatch_decides_what_is_a_meta_tool() -> None:
    tool = chooser("vm_management", "list", "start", "delete")
    assert [one.name for one in expand([tool], []).tools] == ["vm_management"]
    entry = Dispatch(wire_tool="vm_management", name="/action", prefix="x_")
    assert [one.name for one in expand([tool], [entry]).tools] == ["x_list", "x_start", "x_delete"]


def test_an_operation_may_be_left_out_only_where_the_schema_lets_it() -> None:
    assert "cfg" not in names(chooser("cfg", "get", "set"))
    assert "cfg" in names(chooser("cfg", "get", "set", required=False))


def test_an_enumeration_behind_a_reference_is_one_too() -> None:
    definitions = {"Action": {"type": "string", "enum": ["get", "set", "list", "drop"]}}
    actions: tuple[dict[str, Any], ...] = (
        {"$ref": "#/$defs/Action"},
        {"anyOf": [{"$ref": "#/$defs/Action"}, {"type": "null"}], "default": None},
        {"allOf": [], "$ref": "#/$defs/Action", "description": "What to do."},
    )
    for action in actions:
        schema: dict[str, Any] = {"properties": {"action": action}, "$defs": definitions}
        tool = Tool(name="cfg", input_schema={**schema, "required": ["action"]})
        assert names(tool) == ["cfg_get", "cfg_set", "cfg_list", "cfg_drop"]


def union(**operations: dict[str, Any]) -> dict[str, Any]:
    """A union of argument objects, as generators write one."""
    return {
        "anyOf": [
            {
                "type": "object",
                "description": f"It will {name}.",
                "properties": {"action": {"type": "string", "const": name}, **properties},
                "required": ["action", *properties],
            }
            for name, properties in operations.items()
        ]
    }


def test_each_branch_of_a_union_is_an_operation_with_a_schema_of_its_own() -> None:
    schema = {"type": "object", **union(start_vm={"id": STRING}, wipe_disk={"disk_id": STRING})}
    tool = Tool(name="host", input_schema=schema)
    found = expand([tool])
    assert found.dispatch == (Dispatch(wire_tool="host", name="/action"),)
    start, wipe = found.tools
    assert (start.name, wipe.name) == ("start_vm", "wipe_disk")
    assert wipe.description == "It will wipe_disk."
    assert list(wipe.input_schema["properties"]) == ["action", "disk_id"]  # type: ignore[call-overload]
    assert wipe.input_schema["required"] == ["action", "disk_id"]


def test_a_union_behind_the_only_argument_is_found_with_its_place() -> None:
    operations = union(start_vm={"id": STRING}, wipe_disk={"disk_id": STRING})
    definitions = {"Request": operations}
    properties = {"request": {"$ref": "#/$defs/Request"}}
    schema = {"properties": properties, "$defs": definitions, "required": ["request"]}
    found = expand([Tool(name="host", input_schema=schema)])
    assert found.dispatch == (
        Dispatch(wire_tool="host", name="/request/action", arguments="/request"),
    )
    assert [tool.name for tool in found.tools] == ["start_vm", "wipe_disk"]
    assert all(tool.arguments_checked for tool in found.tools)


def test_an_operator_inside_an_argument_makes_no_meta_tool() -> None:
    where = {"type": "object", "properties": {"op": {"enum": ["eq", "neq", "lt", "gt"]}}}
    schema = {"properties": {"table": STRING, "where": where}}
    assert not is_meta(Tool(name="query_rows", input_schema=schema))


def test_a_plain_operation_is_one_where_the_texts_offer_help() -> None:
    assert not is_meta(Tool(name="host", input_schema={"properties": {"action": STRING}}))
    described = {"properties": {"action": {**STRING, "description": 'Or "help" for a list.'}}}
    assert is_meta(Tool(name="host", input_schema=described))


def test_a_schema_that_refers_to_itself_is_followed_only_so_far() -> None:
    for reference in ("#", "#/$defs/a", "#/nowhere", "#/properties/action"):
        properties = {"action": {"$ref": reference}, "params": {"$ref": reference}}
        definitions = {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 20}}
        schema = {"properties": properties, "$defs": definitions}
        assert len(names(Tool(name="host", input_schema=schema))) == 1
