"""A demo MCP server with one tool per operation: `python -m toolreeve.cli.demo.flat --http`."""

# ruff: noqa: A002  # the tools take `id` because that is what real ones call it

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from toolreeve.cli.demo.hypervisor import Hypervisor, HypervisorError, Machine, small_host
from toolreeve.cli.demo.serve import CallBook, serve

if TYPE_CHECKING:
    from collections.abc import Generator


class FlatTools:
    """The hypervisor's operations as tools. A failure is a result with isError."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor

    def vm_list(self) -> str:
        """List every virtual machine of this host with its id, name and power state."""
        return "\n".join(line(machine) for machine in self.hypervisor.machines)

    def vm_status(self, id: int) -> str:
        """Tell the power state, memory and restart count of one virtual machine."""
        with told():
            return line(self.hypervisor.find(id))

    def vm_start(self, id: int) -> str:
        """Start a stopped virtual machine, given its numeric id."""
        with told():
            self.hypervisor = self.hypervisor.start(id)
        return line(self.hypervisor.find(id))

    def vm_stop(self, id: int, *, force: bool = False) -> str:
        """Shut a virtual machine down in order; with `force`, cut its power instead."""
        with told():
            self.hypervisor = self.hypervisor.stop(id)
        how = "its power was cut" if force else "it shut down in order"
        return f"{line(self.hypervisor.find(id))} ({how})"

    def vm_restart(self, id: int) -> str:
        """Restart a running virtual machine, given its numeric id."""
        with told():
            self.hypervisor = self.hypervisor.restart(id)
        return line(self.hypervisor.find(id))

    def vm_clone(self, id: int, name: str | None = None) -> str:
        """Copy a virtual machine under a new name. The copy is stopped."""
        with told():
            self.hypervisor = self.hypervisor.clone(id, name)
        return line(self.hypervisor.machines[-1])

    def vm_delete(self, id: int) -> str:
        """Delete a virtual machine and its disks. This cannot be undone."""
        with told():
            name = self.hypervisor.find(id).name
            self.hypervisor = self.hypervisor.delete(id)
        return f"{name} is deleted"

    def start_vm(self, vm_name: str) -> str:
        """Start a virtual machine, given its name."""
        with told():
            machine = self.hypervisor.named(vm_name)
            self.hypervisor = self.hypervisor.start(machine.id)
        return line(self.hypervisor.find(machine.id))


@contextmanager
def told() -> Generator[None]:
    """Turn a hypervisor's complaint into a tool error that the model may read."""
    try:
        yield
    except HypervisorError as error:
        raise ToolError(str(error)) from error


def line(machine: Machine) -> str:
    """Return what a person wants to know about a machine."""
    return (
        f"{machine.id} {machine.name}: {machine.power.value}, "
        f"{machine.memory_mib} MiB, {machine.restarts} restarts"
    )


def build(book: CallBook) -> MCPServer[Any]:
    """Return the flat server over a small host of its own."""
    tools = FlatTools(small_host())
    server: MCPServer[Any] = MCPServer(
        "demo-hypervisor",
        instructions="Virtual machines of one host. Ids are the numbers that vm_list shows.",
        version="1.0",
        log_level="WARNING",
        middleware=[book.middleware],
    )
    for tool in (
        tools.vm_list,
        tools.vm_status,
        tools.vm_start,
        tools.vm_stop,
        tools.vm_restart,
        tools.vm_clone,
        tools.vm_delete,
        tools.start_vm,
    ):
        server.add_tool(tool, description=inspect.getdoc(tool), structured_output=False)
    return server


if __name__ == "__main__":
    serve(build)
