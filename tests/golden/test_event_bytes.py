"""The bytes of every kind of event, as they have been since the contract's first version.

An enforcer of today writes what an auditor reads in ten years, so these bytes never change. A new
field gets a new line in the golden file; a changed line is a broken promise.
"""

from decimal import Decimal
from pathlib import Path

from toolreeve.audit import (
    AlertRaised,
    AlertResolved,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalUsed,
    Arguments,
    Body,
    CheckpointMade,
    Completed,
    Decided,
    Effect,
    EnforcerStarted,
    EnforcerStopped,
    ErasedEvents,
    ErasureMade,
    Event,
    GrantChanged,
    HeadSealed,
    Hold,
    HoldPlaced,
    HoldReleased,
    KeptArgument,
    LoggedGroups,
    LostEvents,
    OutboxDamaged,
    Outcome,
    PolicyApplied,
    PolicyRefused,
    Position,
    RequestRefused,
    Reservation,
    ToolApproved,
    ToolChanged,
    ToolPinned,
)
from toolreeve.decision import Instant
from toolreeve.policy import Refund
from toolreeve.wire import read_event, write_event

GOLDEN = Path(__file__).parent / "event_bytes_v1.txt"
LATER = Instant(1_800_000_000_000_000_000)

BODIES: tuple[Body, ...] = (
    Decided(
        server="truenas",
        grant="ops",
        agent="ops-agent",
        session="s-1",
        request_id='"a-7"',
        tool="vm_restart",
        wire_tool="truenas",
        tool_group="vm",
        effect=Effect.DENY,
        code="limited",
        rule="/tools/vm_restart/limits/0",
        reason="At most 10 calls a minute per grant.",
        policy_revision="sha256:00",
        retry_after_ms=59_000,
        limit_counter="vm_restart_rate",
        arguments=Arguments(
            names=("id",), kept=(KeptArgument("/id", "7"),), keyed_hash=bytes(32), size_bytes=8
        ),
        protocol_version="2026-07-28",
        decision_ns=2_500,
    ),
    Completed(
        decision_id="gw:1:1",
        outcome=Outcome.RPC_ERROR,
        duration_ns=1_000_000,
        request_bytes=120,
        response_bytes=80,
        rpc_error_code=-32_602,
        detail="",
    ),
    PolicyApplied(
        server="truenas",
        policy="truenas-prod",
        revision="sha256:01",
        previous_revision="sha256:00",
        origin="control",
        manifest_sequence=4,
    ),
    PolicyRefused(
        server="truenas",
        policy="truenas-prod",
        revision="sha256:02",
        code="signature",
        reason="no pinned key has signed this manifest",
        origin="control",
    ),
    EnforcerStarted(
        software_version="0.1.0",
        host="lab-1",
        servers=("hypervisor", "truenas"),
        previous_epoch=6,
        previous_head=bytes(range(32)),
        boot_id="b",
    ),
    EnforcerStopped(reason="signal"),
    HoldPlaced(
        hold=Hold(
            hold_id="h-1",
            server="truenas",
            grant="ops",
            tool="vm_restart",
            argument_pointer="/id",
            argument_value_json="7",
            actor="on-call",
            reason="Restart burst.",
            expires_at=LATER,
        )
    ),
    HoldReleased(hold_id="h-1", actor="on-call", reason="Over."),
    AlertRaised(
        alert_id="a-1",
        rule="vm-restart-burst",
        detector="burst",
        severity="critical",
        summary="12 restarts of one VM in 10 s",
        labels=(("server", "truenas"), ("tool", "vm_restart")),
        since_at=LATER,
        crossed_at=LATER,
        observed=12.0,
        threshold=5.0,
        baseline=0.5,
        query="SELECT 1",
    ),
    AlertResolved(alert_id="a-1", reason="quiet"),
    ApprovalAsked(
        approval_id="p-1",
        decision_id="gw:1:1",
        server="truenas",
        grant="ops",
        tool="vm_clone",
        arguments_hash=bytes(32),
        policy_revision="sha256:01",
        expires_at=LATER,
    ),
    ApprovalGiven(approval_id="p-1", approved=True, actor="on-call", reason="Known change."),
    ApprovalUsed(approval_id="p-1", decision_id="gw:1:9"),
    RequestRefused(
        server="truenas",
        grant="ops",
        code="duplicate_key",
        reason="the key name stands twice",
        transport="http",
        http_status=400,
        rpc_error_code=-32_700,
        method="tools/call",
        wire_tool="truenas",
        request_bytes=99,
        count=1,
    ),
    Decided(
        server="truenas",
        grant="ops",
        agent="ops-agent",
        request_id="8",
        tool="vm_clone",
        wire_tool="vm_clone",
        effect=Effect.ALLOW,
        code="limited",
        mode="shadow",
        reservations=(
            Reservation(
                counter="spend",
                bucket="grant truenas ops by 00",
                window_ns=86_400_000_000_000,
                calendar=True,
                amount=Decimal("12.50"),
                at=Instant(LATER + 15),
                refund_on=frozenset({Refund.NOT_SENT, Refund.RPC_ERROR}),
            ),
        ),
    ),
    Completed(decision_id="gw:7:15", outcome=Outcome.NOT_SENT, refunded=("spend",)),
    ToolPinned(
        server="truenas",
        tool="vm_status",
        digest="sha256:0a",
        definition_json='{"name":"vm_status"}',
        approved=False,
        looks_like="vm_statu\u0455",
    ),
    ToolChanged(
        server="truenas",
        tool="vm_restart",
        digest="sha256:0b",
        previous_digest="sha256:0a",
        approved_digest="sha256:0a",
        members=("description", "inputSchema"),
        definition_json='{"name":"vm_restart"}',
        together=2,
    ),
    ToolApproved(
        server="truenas",
        tool="vm_restart",
        digest="sha256:0b",
        previous_digest="sha256:0a",
        actor="on-call",
        reason="Release 2 of the server.",
    ),
    EnforcerStarted(
        software_version="0.2.0",
        host="edge",
        servers=("truenas",),
        previous_epoch=6,
        previous_head=bytes(range(32)),
        boot_id="b-1",
        public_key=bytes(range(32, 64)),
    ),
    HeadSealed(sequence=19, head=bytes(range(32)), signature=bytes(range(64))),
    OutboxDamaged(
        kept_in="outbox.damaged-1",
        groups=12,
        lost=(
            LostEvents(
                segment="0000000003.segment",
                offset=4096,
                reason="its checksum is wrong",
                after=Position(6, 40),
                before=Position(6, 44),
            ),
            LostEvents(segment="0000000004.segment", offset=0, reason="it is missing"),
        ),
    ),
    CheckpointMade(
        note="worker\n3\nAAAA\n\n— worker AAAA\n",
        added=(
            LoggedGroups(enforcer="gw", epoch=7, first_sequence=1, events=(1, 4, 300)),
            LoggedGroups(enforcer="worker", epoch=2, first_sequence=9, events=(1,)),
        ),
    ),
    GrantChanged(
        grant="night-shift",
        agent="agent-7",
        servers=("truenas", "virt"),
        expires_at=Instant(LATER + 60),
        tokens=2,
        actor="ops",
        reason="rotated",
    ),
    GrantChanged(grant="night-shift", agent="", tokens=0, revoked=True, actor="ops", reason="lost"),
    Decided(
        server="truenas",
        grant="ops",
        agent="ops-agent",
        request_id="7",
        tool="vm_restart",
        wire_tool="vm_restart",
        effect=Effect.ALLOW,
        code="allowed",
        arguments=Arguments(names=("id", "reason"), size_bytes=27, commitment=bytes(range(32))),
    ),
    ErasureMade(
        erasure_id="e-1",
        actor="dpo",
        reason="asked for on 2026-11-21",
        selector="a value at /id",
        erased=(
            ErasedEvents(enforcer="gw", epoch=7, sequences=(1, 3, 300)),
            ErasedEvents(enforcer="gw-2", epoch=1, sequences=(9,)),
        ),
    ),
    Decided(
        server="truenas",
        grant="ops",
        agent="ops-agent",
        request_id="9",
        tool="vm_clone",
        wire_tool="vm_clone",
        effect=Effect.DENY,
        code="denied",
        policy_revision="sha256:01",
        code_before="allowed",
    ),
    PolicyApplied(
        server="truenas",
        policy="truenas-prod",
        revision="sha256:01",
        previous_revision="sha256:00",
        origin="control",
        manifest_sequence=9,
        rollout="rollout-08d1fd6831",
        break_glass="ada: the disks fill up",
    ),
    Decided(
        server="truenas",
        grant="ops",
        agent="ops-agent",
        request_id="10",
        tool="vm_restart",
        wire_tool="vm_restart",
        effect=Effect.ALLOW,
        code="allowed",
        reservations=(
            Reservation(
                counter="of_the_fleet",
                bucket="fleet truenas",
                window_ns=60_000_000_000,
                calendar=False,
                amount=Decimal(1),
                at=Instant(LATER + 30),
                lease="6b02100d-1",
                maximum=Decimal(12),
            ),
        ),
    ),
    Decided(
        server="truenas",
        grant="ops",
        agent="ops-agent",
        request_id="10",
        tool="vm_clone",
        wire_tool="vm_clone",
        effect=Effect.DENY,
        code="stale",
        rule="/on_stale",
        policy_revision="sha256:01",
        stale="deny_writes",
    ),
)


def events() -> list[Event]:
    return [
        Event(enforcer="gw", epoch=7, sequence=index, at=Instant(LATER + index), body=body)
        for index, body in enumerate(BODIES, start=1)
    ]


def written() -> str:
    """The golden file as today's code would write it: a kind and its bytes a line."""
    lines = [f"{type(event.body).__name__} {write_event(event).hex()}" for event in events()]
    return "\n".join(lines) + "\n"


def test_every_kind_of_event_has_the_bytes_it_always_had() -> None:
    assert written() == GOLDEN.read_text(encoding="utf-8")


def test_the_bytes_of_long_ago_are_read_as_what_they_said() -> None:
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    read = [read_event(bytes.fromhex(line.split()[1])) for line in lines]
    assert read == events()
