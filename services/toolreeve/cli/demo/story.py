"""The demo's story, told while it happens. Everything shown is what really came back."""

from __future__ import annotations

import asyncio
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from toolreeve.cli.authoring.publishing import publish_text
from toolreeve.cli.demo.agent import Agent, Era, connected, shown
from toolreeve.cli.demo.proof import StoryPart, Unseen, ask, unseen_parts, wait_for_rows
from toolreeve.cli.demo.serve import read_calls
from toolreeve.cli.fleet import wait_for_revision
from toolreeve.cli.report import USAGE_COLUMNS, USAGE_NUMERIC, ask_usage, shown_usage

if TYPE_CHECKING:
    from pathlib import Path

    from toolreeve.cli.demo.agent import Told
    from toolreeve.cli.demo.narrate import Narrator
    from toolreeve.cli.reach import Place

FLAT, META = "hypervisor", "truenas"
OPS, NIGHT = "ops-agent", "night-agent"
VM = 3
RESTARTS = 13
ALERT_SQL = (
    "SELECT rule, severity, summary, observed, threshold FROM alerts "
    "WHERE labels['tool'] = 'vm_restart'"
)
POLICIES = {FLAT: "hypervisor.json", META: "truenas.json"}
FROZEN = "truenas-restarts-frozen.json"


class Stage(Struct, frozen=True, kw_only=True):
    """Where the story happens. `meta_calls` is the meta-tool server's own list of calls."""

    gateway_url: str
    control: Place
    query: Place
    tokens: dict[str, str]
    meta_calls: Path

    def url(self, server: str) -> str:
        """Return where an agent finds a server."""
        return f"{self.gateway_url}/{server}/mcp"


def policy_text(name: str) -> bytes:
    """Return one of the demo's policies as its author wrote it."""
    return (files("toolreeve.cli.demo") / "policies" / name).read_bytes()


async def tell(stage: Stage, narrator: Narrator) -> list[Unseen]:
    """Tell the whole story; return the parts that DuckDB does not show."""
    await _policies(stage, narrator)
    async with connected(OPS, stage.url(FLAT), token=stage.tokens[OPS], era=Era.NEWEST) as ops:
        await _ordinary_work(ops, stage, narrator)
        await _hidden_tool(ops, narrator)
    async with connected(
        NIGHT, stage.url(META), token=stage.tokens[NIGHT], era=Era.SESSIONS
    ) as night:
        await _many_actions(night, narrator)
        await _burst(night, stage, narrator)
        await _alert(stage, narrator)
        revision = await _new_revision(night, stage, narrator)
    return await _record(stage, narrator, revision)


async def _policies(stage: Stage, narrator: Narrator) -> None:
    narrator.scene(
        "Two MCP servers get a policy each",
        "Until then the gateway lets nothing through. The control plane signs each policy and",
        "pushes it over gRPC:",
    )
    for server, name in POLICIES.items():
        await _publish_told(stage, narrator, server, name)


async def _ordinary_work(ops: Agent, stage: Stage, narrator: Narrator) -> None:
    narrator.scene(
        "An agent does its work",
        f"{ops.name} connects to {stage.url(FLAT)}, speaking MCP {ops.protocol_version}.",
    )
    await _call(ops, narrator, "vm_status", {"id": VM})
    await _call(ops, narrator, "start_vm", {"vm_name": "build-1"})


async def _hidden_tool(ops: Agent, narrator: Narrator) -> None:
    tools = await ops.tools()
    narrator.scene(
        "The policy hides a tool",
        f"The server has 8 tools; {ops.name} is shown {len(tools)}: {', '.join(tools)}.",
        "It calls the missing one all the same, and hears what any unknown tool would say:",
    )
    await _call(ops, narrator, "vm_delete", {"id": VM})


async def _many_actions(night: Agent, narrator: Narrator) -> None:
    narrator.scene(
        "One tool that hides many actions",
        f"{night.name} speaks MCP {night.protocol_version} to a server whose only tool is called",
        "truenas {category, action, params}. toolreeve decides about the action inside:",
    )
    await _call(night, narrator, META, _action("vm_status", id=VM))
    await _call(
        night,
        narrator,
        META,
        {
            "category": "api",
            "action": "truenas_api_call",
            "params": {"method": "vm.delete", "params": {"id": VM, "confirm": True}},
        },
    )


async def _burst(night: Agent, stage: Stage, narrator: Narrator) -> None:
    narrator.scene(
        "The agent goes wrong",
        f"{night.name} restarts VM {VM} over and over. The policy allows 10 restarts a minute:",
    )
    allowed = 0
    for number in range(1, RESTARTS + 1):
        told = await night.call(META, _action("vm_restart", id=VM))
        if not told.is_refused:
            allowed = number
            continue
        if number == allowed + 1:
            narrator.call(f"vm_restart id={VM}, {allowed} times", "allowed", "")
        _show(narrator, f"vm_restart id={VM}, once more", told)
    narrator.say(f"The server keeps a list of its own: {_reached(stage)} restarts reached it.")


async def _alert(stage: Stage, narrator: Narrator) -> None:
    narrator.scene(
        "Somebody notices",
        "Every decision went over NATS into DuckDB, and a detector watches it for bursts:",
    )
    began = time.monotonic()
    found = await wait_for_rows(stage.query, ALERT_SQL)
    if not found.rows:
        narrator.say("No alert came.")
        return
    waited = time.monotonic() - began
    rule, severity, summary, *_ = found.rows[0]
    narrator.alert(f"{rule} ({severity})", str(summary))
    narrator.say(f"Raised, recorded and read back by SQL {waited:.1f} s after the last restart.")


async def _new_revision(night: Agent, stage: Stage, narrator: Narrator) -> str:
    narrator.scene("An operator stops it, without restarting anything")
    revision = await _publish_told(stage, narrator, META, FROZEN)
    narrator.say(f"{night.name} is still connected and tries again:")
    await _call(night, narrator, META, _action("vm_restart", id=VM))
    await _call(night, narrator, META, _action("vm_status", id=VM))
    return revision


async def _record(stage: Stage, narrator: Narrator, revision: str) -> list[Unseen]:
    narrator.scene("All of it is on record")
    missing = await unseen_parts(stage.query, _parts(revision, _reached(stage)))
    narrator.command("toolreeve report usage")
    columns = [name for name in USAGE_COLUMNS if name != "last"]
    usage = shown_usage(await asyncio.to_thread(ask_usage, stage.query))
    narrator.table(columns, ([row[name] for name in columns] for row in usage), USAGE_NUMERIC)
    narrator.command(f'toolreeve audit query "{ALERT_SQL}"')
    alerts = await ask(stage.query, ALERT_SQL)
    narrator.table(alerts.columns, alerts.rows, ("observed", "threshold"))
    for one in missing:
        narrator.say(f"NOT SEEN in DuckDB: {one.part.name} ({one.found})")
    if not missing:
        names = ", ".join(part.name for part in _parts(revision, 0))
        narrator.say(f"Seen in DuckDB, part by part: {names}.")
    return missing


def _parts(revision: str, reached: int) -> list[StoryPart]:
    """Return what must be found in DuckDB for the story to have happened."""

    def decided(condition: str) -> str:
        return f"SELECT count(*) FROM decisions WHERE {condition}"  # noqa: S608  # our own words

    return [
        StoryPart(
            name="allowed in MCP 2026-07-28",
            sql=decided(
                f"agent = '{OPS}' AND tool = 'vm_status' AND effect = 'allow' "
                "AND outcome = 'success' AND protocol_version = '2026-07-28'"
            ),
        ),
        StoryPart(
            name="allowed in MCP 2025-11-25",
            sql=decided(
                f"agent = '{NIGHT}' AND tool = 'vm_status' AND wire_tool = 'truenas' "
                "AND outcome = 'success' AND protocol_version = '2025-11-25'"
            ),
        ),
        StoryPart(name="hidden", sql=decided("tool = 'vm_delete' AND code = 'hidden'")),
        StoryPart(name="denied", sql=decided("tool = 'truenas_api_call' AND code = 'denied'")),
        StoryPart(
            name="limited with a retry hint",
            sql=decided("tool = 'vm_restart' AND code = 'limited' AND retry_after_ms > 0"),
        ),
        StoryPart(
            name="restart burst",
            sql=decided("tool = 'vm_restart' AND effect = 'allow' AND outcome = 'success'"),
            exactly=reached,
        ),
        StoryPart(
            name="alert", sql="SELECT count(*) FROM alerts WHERE labels['tool'] = 'vm_restart'"
        ),
        StoryPart(
            name="new revision",
            sql="SELECT count(*) FROM policy_changes "  # noqa: S608
            f"WHERE server = '{META}' AND change = 'applied' "
            f"AND origin = 'control' AND revision = '{revision}'",
        ),
        StoryPart(
            name="stopped by it",
            sql=decided(
                "tool = 'vm_restart' AND code = 'denied' "
                f"AND policy_revision = '{revision}' AND agent = '{NIGHT}'"
            ),
        ),
    ]


async def _publish_told(stage: Stage, narrator: Narrator, server: str, name: str) -> str:
    narrator.command(f"toolreeve policy publish {name} --server {server}")
    began = time.monotonic()
    revision = await _publish(stage, server, name)
    took_ms = (time.monotonic() - began) * 1000
    narrator.say(f"  {revision[:19]} is in force on the gateway after {took_ms:.0f} ms")
    return revision


async def _publish(stage: Stage, server: str, name: str) -> str:
    answer = await asyncio.to_thread(
        publish_text,
        stage.control,
        text=policy_text(name),
        source=name,
        server=server,
        actor="demo",
        reason="the demo's story",
    )
    await asyncio.to_thread(wait_for_revision, stage.control, server, answer.revision)
    return answer.revision


async def _call(agent: Agent, narrator: Narrator, tool: str, arguments: dict[str, Any]) -> None:
    told = await agent.call(tool, arguments)
    if tool == META:
        _show(narrator, shown(arguments["action"], arguments["params"]), told)
    else:
        _show(narrator, shown(tool, arguments), told)


def _show(narrator: Narrator, call: str, told: Told) -> None:
    narrator.call(call, "refused" if told.is_refused else "allowed", told.text)


def _action(name: str, **params: Any) -> dict[str, Any]:
    return {"category": "vm", "action": name, "params": params}


def _reached(stage: Stage) -> int:
    """Count the restarts that arrived at the meta-tool server, by its own list."""
    return sum(
        call.arguments is not None and call.arguments.get("action") == "vm_restart"
        for call in read_calls(stage.meta_calls)
    )
