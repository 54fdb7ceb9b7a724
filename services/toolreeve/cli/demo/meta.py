"""A demo MCP server with one tool in front of many actions: `python -m toolreeve.cli.demo.meta`.

Like real servers of its kind it believes whatever stands in `params`, tells of failures in three
shapes, and has an action that reaches around all the others:

- a missing machine or action is a result with isError;
- a machine in the wrong state is a *success* whose text is `{"error": ...}`;
- a deletion without `confirm` is a success whose text says it was aborted.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import msgspec
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from toolreeve.cli.demo.hypervisor import (
    Hypervisor,
    Machine,
    NoSuchMachineError,
    WrongPowerError,
    small_host,
)
from toolreeve.cli.demo.serve import CallBook, serve

Params = dict[str, Any]
Action = Callable[[Params], Any]


class MetaTool:
    """One host behind one tool. `params` arrive unchecked, as they do in the wild."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor
        self.actions: dict[str, dict[str, tuple[str, Action]]] = {
            "vm": {
                "vm_list": ("every VM of this host", self._list),
                "vm_status": ("one VM; params: id", self._status),
                "vm_start": ("start a VM; params: id", self._start),
                "vm_stop": ("stop a VM; params: id, force", self._stop),
                "vm_restart": ("restart a VM; params: id", self._restart),
                "vm_clone": ("copy a VM; params: id, name", self._clone),
                "vm_delete": ("delete a VM; params: id, confirm", self._delete),
            },
            "system": {"system_info": ("host name and machine count", self._info)},
            "api": {
                "truenas_api_call": ("call any API method; params: method, params", self._raw),
            },
        }

    def truenas(
        self, category: str | None = None, action: str | None = None, params: Params | None = None
    ) -> str:
        """Manage a storage host. Without arguments: the categories; with a category: its actions.

        With category and action: runs the action with `params`.
        """
        if category is None or category == "help":
            return "categories: " + ", ".join(self.actions)
        if category not in self.actions:
            raise ToolError(f"there is no category {category!r}; call without arguments for a list")
        offered = self.actions[category]
        if action is None:
            return "\n".join(f"{name}: {what}" for name, (what, _) in offered.items())
        if action not in offered:
            raise ToolError(f"category {category!r} has no action {action!r}")
        return json.dumps(self._run(offered[action][1], params or {}))

    def _run(self, action: Action, params: Params) -> Any:
        try:
            return action(params)
        except KeyError as error:
            raise ToolError(f"params lack {error}") from error
        except NoSuchMachineError as error:
            raise ToolError(str(error)) from error
        except WrongPowerError as error:
            return {"error": str(error)}

    def _list(self, _: Params) -> list[Params]:
        return [_plain(machine) for machine in self.hypervisor.machines]

    def _status(self, params: Params) -> Params:
        return _plain(self.hypervisor.find(params["id"]))

    def _start(self, params: Params) -> Params:
        self.hypervisor = self.hypervisor.start(params["id"])
        return self._status(params)

    def _stop(self, params: Params) -> Params:
        self.hypervisor = self.hypervisor.stop(params["id"])
        return self._status(params)

    def _restart(self, params: Params) -> Params:
        self.hypervisor = self.hypervisor.restart(params["id"])
        return self._status(params)

    def _clone(self, params: Params) -> Params:
        self.hypervisor = self.hypervisor.clone(params["id"], params.get("name"))
        return _plain(self.hypervisor.machines[-1])

    def _delete(self, params: Params) -> Any:
        if params.get("confirm") is not True:
            return "aborted: confirm must be true"
        gone = _plain(self.hypervisor.find(params["id"]))
        self.hypervisor = self.hypervisor.delete(params["id"])
        return gone

    def _info(self, _: Params) -> Params:
        return {"hostname": "storage-1", "machines": len(self.hypervisor.machines)}

    def _raw(self, params: Params) -> Any:
        """Run any action by its API method name: the way around every rule about the others."""
        method = str(params["method"]).replace(".", "_")
        _, action = self.actions["vm"].get(method, ("", self._info))
        return self._run(action, params.get("params") or {})


def _plain(machine: Machine) -> Params:
    plain: Params = msgspec.to_builtins(machine)
    return plain


def build(book: CallBook) -> MCPServer[Any]:
    """Return the meta-tool server over a small host of its own."""
    server: MCPServer[Any] = MCPServer(
        "demo-truenas", version="1.0", log_level="WARNING", middleware=[book.middleware]
    )
    tool = MetaTool(small_host()).truenas
    server.add_tool(tool, description=inspect.getdoc(tool), structured_output=False)
    return server


if __name__ == "__main__":
    serve(build)
