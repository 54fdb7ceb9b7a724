"""What the demo adds to `toolreeve up`: two servers, three tokens, two policies and a story."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from typing import TYPE_CHECKING

import httpx2
from mcp.shared.exceptions import MCPError

from toolreeve.cli.access import access_of
from toolreeve.cli.demo.narrate import Narrator
from toolreeve.cli.demo.story import FLAT, META, NIGHT, OPS, Stage, tell
from toolreeve.cli.failure import CommandError, first_of
from toolreeve.cli.launch.tree import Facts, Part, read_ready_file
from toolreeve.cli.reach import Place, Service

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from toolreeve.cli.launch.folder import Folder
    from toolreeve.cli.launch.tell import Running
    from toolreeve.cli.launch.toml import Value

YOU = "you"
GRANTS = {OPS: ("ops", [FLAT]), NIGHT: ("night", [META]), YOU: ("you", [FLAT, META])}


class DemoShow:
    """The demo, as `toolreeve up` runs it."""

    def prepare(self, folder: Folder) -> None:
        """Begin with an empty folder."""
        folder.begin_demo()

    def part(self, folder: Folder) -> Part:
        """Return the MCP server that speaks HTTP. The other one is spawned by the gateway."""
        ready_file = folder.run / "hypervisor.ready.json"

        def prepare(before: Facts | None) -> tuple[str, ...]:
            ready_file.unlink(missing_ok=True)
            port = "0" if before is None else str(before["port"])
            calls = str(folder.demo / "hypervisor.calls.jsonl")
            options = ("--port", port, "--ready-file", str(ready_file), "--calls", calls)
            return (sys.executable, "-m", "toolreeve.cli.demo.flat", "--http", *options)

        return Part(
            name="hypervisor",
            log=folder.logs / "hypervisor.log",
            prepare=prepare,
            ready=lambda _: read_ready_file(ready_file),
        )

    def tables(self, folder: Folder, facts: Facts) -> dict[str, Value]:
        """Return both servers as upstreams and fresh grants, whose tokens are kept in a file."""
        tokens = {agent: secrets.token_urlsafe(24) for agent in GRANTS}
        kept = _tokens_file(folder)
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(tokens, indent=2) + "\n", encoding="utf-8")
        calls = str(_meta_calls(folder))
        command = [sys.executable, "-m", "toolreeve.cli.demo.meta", "--stdio", "--calls", calls]
        return {
            "upstreams": {FLAT: {"url": str(facts["url"])}, META: {"command": command}},
            "grants": [
                {
                    "agent": agent,
                    "grant": grant,
                    "token_sha256": hashlib.sha256(tokens[agent].encode()).hexdigest(),
                    "servers": servers,
                }
                for agent, (grant, servers) in GRANTS.items()
            ],
        }

    def token(self, folder: Folder) -> str:
        """Return the token for a client of the user's own: both servers are open to it."""
        return _tokens(folder)[YOU]

    async def tell(self, folder: Folder, running: Running, console: Console) -> bool:
        """Tell the story, and return whether DuckDB has all of it."""
        access = access_of(running.authority, running.token_file)
        stage = Stage(
            gateway_url=running.gateway_url,
            control=Place(Service.CONTROL, running.control, "of this demo", access),
            query=Place(Service.QUERY, running.query, "of this demo", access),
            tokens=_tokens(folder),
            meta_calls=_meta_calls(folder),
        )
        try:
            return not await tell(stage, Narrator(console))
        except (MCPError, httpx2.HTTPError, ExceptionGroup) as error:
            fault = first_of(error)
            if isinstance(fault, CommandError):
                raise fault from error
            raise CommandError(
                f"the story broke off: {type(fault).__name__}: {fault}", f"see {folder.logs}"
            ) from error


def _tokens(folder: Folder) -> dict[str, str]:
    tokens: dict[str, str] = json.loads(_tokens_file(folder).read_text(encoding="utf-8"))
    return tokens


def _tokens_file(folder: Folder) -> Path:
    return folder.demo / "tokens.json"


def _meta_calls(folder: Folder) -> Path:
    return folder.demo / "truenas.calls.jsonl"
