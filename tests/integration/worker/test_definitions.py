"""Changes of tools' definitions, from the stream into the views and to whoever is to know."""

import asyncio
from typing import Any

from toolreeve.audit import Body, Draft, ToolApproved, ToolChanged, ToolPinned
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.outbox import Outbox
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, unpack
from toolreeve.worker.watch import MARK, Watch

STATES = "SELECT tool, state, digest, approved_digest, changes, approved_by FROM tool_definitions"


def pinned(tool: str, digest: str = "sha256:a") -> ToolPinned:
    return ToolPinned(server="truenas", tool=tool, digest=digest, definition_json='{"name":"t"}')


def changed(tool: str, digest: str, before: str = "sha256:a") -> ToolChanged:
    return ToolChanged(
        server="truenas",
        tool=tool,
        digest=digest,
        previous_digest=before,
        approved_digest="sha256:a",
        members=("description", "inputSchema"),
    )


def approved(tool: str, digest: str) -> ToolApproved:
    return ToolApproved(
        server="truenas",
        tool=tool,
        digest=digest,
        previous_digest="sha256:a",
        actor="ann",
        reason="read it",
    )


def group(fleet: Any, at: int, *bodies: Body, enforcer: str = "edge-1") -> bytes:
    sealed: bytes = fleet.seal(enforcer, [Draft(Instant(at), body) for body in bodies])
    return sealed


def test_a_rug_pull_is_told_and_over_when_it_is_approved(
    fleet: Any, start_worker: Any, receiver: Any, now: Instant
) -> None:
    worker = start_worker(webhooks=[{"name": "on-call", "url": receiver.url}])
    start = now - 60 * SECOND
    first = group(fleet, start, pinned("vm_list"), pinned("vm_stop"))
    second = group(fleet, start + SECOND, changed("vm_stop", "sha256:b"))
    fleet.publish("edge-1", [first, second])
    (told,) = receiver.wait_for(1)
    assert told["status"] == "firing"
    assert told["commonLabels"]["alertname"] == "tool-definition-changed"
    assert "description, inputSchema" in told["commonAnnotations"]["summary"]
    worker.wait_for(
        f"{STATES} ORDER BY tool",
        [
            ["vm_list", "approved", "sha256:a", "sha256:a", 0, None],
            ["vm_stop", "changed", "sha256:b", "sha256:a", 1, None],
        ],
    )
    fleet.publish("edge-1", [group(fleet, start + 2 * SECOND, approved("vm_stop", "sha256:b"))])
    assert receiver.wait_for(2)[1]["status"] == "resolved"
    worker.wait_for(
        f"{STATES} WHERE tool = 'vm_stop'",
        [["vm_stop", "approved", "sha256:b", "sha256:b", 1, "ann"]],
    )
    changes = "SELECT change, members, actor FROM tool_changes WHERE tool = 'vm_stop' ORDER BY time"
    worker.wait_for(
        changes,
        [
            ["pinned", [], ""],
            ["changed", ["description", "inputSchema"], ""],
            ["approved", [], "ann"],
        ],
    )
    query = worker.rows("SELECT query FROM alerts")[0][0]
    assert len(worker.rows(query)) == 3, "the alert's own query shows its story"


def test_an_alert_about_a_definition_is_said_once_over_crashes(fleet: Any, tmp_path: Any) -> None:
    start = Instant(1_750_000_000 * SECOND)
    said: list[tuple[str, bool]] = []

    async def life(groups: list[bytes], *, sees: bool) -> None:
        warehouse = Warehouse.open(tmp_path / "warehouse.duckdb", at=start)
        outbox = Outbox[Draft].open(tmp_path / "outbox", owner="worker", pack=pack("worker"))
        try:
            watch = Watch(
                [],
                outbox,
                lambda: start,
                lambda raised, over: said.append((raised.summary, over is not None)),
            )
            watch.restore(warehouse)
            outbox.begin(outbox.recovered.next_epoch)
            await watch.catch_up(warehouse)
            read = [unpack(one) for one in groups]
            report = warehouse.load(read, at=start, marks={MARK: warehouse.last_load})
            if sees:
                await watch.see(report.events)
        finally:
            await outbox.close()
            warehouse.close()

    story = [
        group(fleet, start, pinned("vm_stop")),
        group(fleet, start + SECOND, changed("vm_stop", "sha256:b")),
    ]
    asyncio.run(life(story, sees=False))  # ends between the commit and the alert
    assert said == []
    summary = "vm_stop of truenas changed since approved: description, inputSchema"
    asyncio.run(life([], sees=True))
    assert said == [(summary, False)]
    over = group(fleet, start + 2 * SECOND, approved("vm_stop", "sha256:b"))
    asyncio.run(life([over], sees=True))
    assert said == [(summary, False), (summary, True)]
    asyncio.run(life([], sees=True))
    assert len(said) == 2
