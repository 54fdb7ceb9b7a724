"""An MCP server over stdio with meta-tools that tell of their operations in many ways.

`python helping_server.py CALLS`: each call's tool and arguments go into the file CALLS, by line.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

CALLS = Path(sys.argv[1])
server: MCPServer[Any] = MCPServer("helping", version="1.0", log_level="WARNING")


def called(tool: str, **arguments: object) -> None:
    given = {key: value for key, value in arguments.items() if value is not None}
    with CALLS.open("a") as calls:
        calls.write(json.dumps([tool, given]) + "\n")


@server.tool()
def backups(
    area: str | None = None,
    category: str | None = None,
    action: str | None = None,
    params: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Backups. Without arguments: categories; with a category: its actions."""
    called("backups", area=area, category=category, action=action, params=params)
    if category is None:
        told = {"jobs": {"description": "Jobs"}, "vaults": {"description": "Vaults"}}
        return {"success": True, "data": {"categories": told}}
    if category == "jobs":
        return {
            "actions": [
                {"name": "job_list", "description": "List all jobs"},
                {
                    "name": "job_run",
                    "description": "Run a job",
                    "parameters": {"id": {"type": "string", "required": True}},
                },
            ]
        }
    return {"actions": {"vault_purge": "Delete a vault for good"}}


@server.tool()
def network(action: str, params: dict[str, Any] | None = None) -> str:
    """Networks of this host. Use action="help" to see every action."""
    called("network", action=action, params=params)
    if action != "help":
        raise ToolError("no network is here")
    return (
        "2 operations available:\n"
        "  list_networks() \u2014 List networks\n"
        "  remove_network(network_id) \u2014 Remove one\n"
    )


@server.tool()
def users(operation: str | None = None, args: dict[str, Any] | None = None) -> str:
    """Users of this host."""
    called("users", operation=operation, args=args)
    raise ToolError(json.dumps({"error": "no operation", "availableOperations": ["user_list"]}))


@server.tool()
def locked(action: str, params: dict[str, Any]) -> str:
    """Something that cannot be asked."""
    called("locked", action=action, params=params)
    return "done"


class Power(StrEnum):
    STATUS = "power_status"
    CYCLE = "power_cycle"


@server.tool()
def power(action: Power, host_id: int) -> str:
    """Power of this host: an enumeration behind a reference."""
    called("power", action=action, host_id=host_id)
    return "done"


class Mount(BaseModel):
    action: Literal["mount_volume"]
    path: str


class Wipe(BaseModel):
    """Wipe a volume."""

    action: Literal["wipe_volume"]
    volume_id: str


@server.tool()
def volumes(request: Annotated[Mount | Wipe, Field(discriminator="action")]) -> str:
    """Volumes: a union of argument objects."""
    called("volumes", action=request.action)
    return "done"


if __name__ == "__main__":
    server.run("stdio")
