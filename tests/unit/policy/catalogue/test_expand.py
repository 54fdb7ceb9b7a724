"""Meta-tools: operations in the place of one wire tool."""

from typing import Any

from toolreeve.policy import Dispatch
from toolreeve.policy.catalogue import Tool, expand, is_meta
from toolreeve.policy.catalogue.expand import help_groups, help_lines, listed_operations

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
    assert help_groups("categories: vm, system, api") == ["vm", "system", "api"]


def test_help_lines_are_names_with_texts() -> None:
    said = "vm_list: every VM\nvm_stop: stop a VM; params: id, force\n\nSee the manual."
    assert help_lines(said) == {"vm_list": "every VM", "vm_stop": "stop a VM; params: id, force"}


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
