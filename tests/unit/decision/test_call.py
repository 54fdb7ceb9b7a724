"""The operation behind the name on the wire."""

from toolreeve.decision import EffectiveTool, NamelessCall, effective_tool
from toolreeve.policy import Dispatch

META = Dispatch(wire_tool="truenas", name="/action", arguments="/params", group="/category")


def test_a_meta_tools_call_is_its_operation() -> None:
    arguments = {"category": "vm", "action": "vm_restart", "params": {"id": 3}}
    assert effective_tool(META, "truenas", arguments) == EffectiveTool(
        name="vm_restart", arguments={"id": 3}, group="vm"
    )


def test_a_call_that_names_no_operation_is_the_wire_tool_itself() -> None:
    found = effective_tool(META, "truenas", {"category": "help"})
    assert found == EffectiveTool(name="truenas", arguments={"category": "help"})


def test_missing_params_are_no_arguments() -> None:
    found = effective_tool(META, "truenas", {"action": "vm_list"})
    assert found == EffectiveTool(name="vm_list", arguments={})


def test_without_an_arguments_pointer_the_arguments_are_the_wire_tools() -> None:
    flat = Dispatch(wire_tool="vm_management", name="/action", prefix="vm_")
    arguments = {"action": "start", "vm_name": "web"}
    found = effective_tool(flat, "vm_management", arguments)
    assert found == EffectiveTool(name="vm_start", arguments=arguments)


def test_an_operation_that_cannot_be_read_is_no_call_to_decide() -> None:
    for name in (None, 3, True, ["vm_restart"], {"x": 1}, "", "a\nb", "a" * 300):
        assert isinstance(effective_tool(META, "truenas", {"action": name}), NamelessCall)
    wrong: list[object] = [None, 3, "x", []]
    for params in wrong:
        found = effective_tool(META, "truenas", {"action": "vm_list", "params": params})
        assert isinstance(found, NamelessCall)
