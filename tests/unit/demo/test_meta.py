"""The meta-tool server tells of failures in the three shapes that real ones use."""

import json

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from toolreeve.cli.demo.hypervisor import small_host
from toolreeve.cli.demo.meta import MetaTool


@pytest.fixture
def tool() -> MetaTool:
    return MetaTool(small_host())


def test_without_an_action_it_says_what_it_offers(tool: MetaTool) -> None:
    assert tool.truenas() == "categories: vm, system, api"
    assert "vm_restart: restart a VM; params: id" in tool.truenas("vm").splitlines()


def test_an_action_runs_with_its_params(tool: MetaTool) -> None:
    answer = json.loads(tool.truenas("vm", "vm_restart", {"id": 3}))
    assert (answer["id"], answer["restarts"]) == (3, 1)


def test_a_missing_machine_is_a_tool_error(tool: MetaTool) -> None:
    with pytest.raises(ToolError, match="there is no VM with id 9"):
        tool.truenas("vm", "vm_restart", {"id": 9})


def test_a_machine_in_the_wrong_state_is_a_success_that_holds_an_error(tool: MetaTool) -> None:
    assert json.loads(tool.truenas("vm", "vm_stop", {"id": 4})) == {"error": "build-1 is stopped"}


def test_a_deletion_without_confirm_is_a_success_that_says_aborted(tool: MetaTool) -> None:
    assert json.loads(tool.truenas("vm", "vm_delete", {"id": 4})).startswith("aborted")
    assert len(tool.hypervisor.machines) == 4


def test_the_raw_api_reaches_around_everything(tool: MetaTool) -> None:
    raw = {"method": "vm.delete", "params": {"id": 4, "confirm": True}}
    tool.truenas("api", "truenas_api_call", raw)
    assert [machine.id for machine in tool.hypervisor.machines] == [1, 2, 3]
