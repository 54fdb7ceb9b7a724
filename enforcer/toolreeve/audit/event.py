"""Everything that can stand in the audit trail, as frozen values.

The fields and their meaning are those of `toolreeve/v1/audit.proto`, which is the contract;
`toolreeve.wire` translates. What speaks of the trail itself stands in `toolreeve.audit.trail`.
Times are `Instant`s here and end in `_at`.
"""

from enum import Enum

from msgspec import Struct

from toolreeve.audit.trail import (
    CheckpointMade,
    ErasureMade,
    HeadSealed,
    OutboxDamaged,
    Position,
)
from toolreeve.decision import Effect, Hold, Instant, Reservation

__all__ = ["Effect", "Hold", "Position", "Reservation"]  # spoken of in events, said elsewhere


class Outcome(Enum):
    """How a forwarded call ended."""

    SUCCESS = "success"
    TOOL_ERROR = "tool_error"
    RPC_ERROR = "rpc_error"
    TIMEOUT = "timeout"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    INPUT_REQUIRED = "input_required"


class KeptArgument(Struct, frozen=True):
    """One argument value that the redaction policy lets stand, as canonical JSON."""

    pointer: str
    value_json: str


class Arguments(Struct, frozen=True, kw_only=True):
    """What is kept of a call's arguments: all top-level names, listed values, keyed hashes.

    `keyed_hash` is over all of them, `value_hashes` has 8 bytes for the value of each of `names`,
    both under the key that `key_id` names. With a `commitment` all but names and size stands
    beside the event and not in it (see `toolreeve.audit.details`), and is empty where it was
    erased.
    """

    names: tuple[str, ...] = ()
    kept: tuple[KeptArgument, ...] = ()
    keyed_hash: bytes = b""
    size_bytes: int = 0
    commitment: bytes = b""
    key_id: bytes = b""
    value_hashes: bytes = b""


class Decided(Struct, frozen=True, kw_only=True):
    """A tool call was decided. On disk before anybody hears the decision.

    `mode` is empty where the decision was carried out, else "warn" or "shadow": then `code` says
    what would have become of the call. `reservations` are what the call counted under limits.
    `code_before` stands where the policy is rolled out and the one before would have acted
    differently: its code. `stale` is the policy's `on_stale` where it was stale.
    """

    server: str
    grant: str
    agent: str
    session: str = ""
    request_id: str
    tool: str
    wire_tool: str
    tool_group: str = ""
    effect: Effect
    code: str
    rule: str = ""
    reason: str = ""
    policy_revision: str = ""
    retry_after_ms: int | None = None
    limit_counter: str = ""
    arguments: Arguments = Arguments()
    protocol_version: str = ""
    decision_ns: int = 0
    mode: str = ""
    reservations: tuple[Reservation, ...] = ()
    code_before: str = ""
    stale: str = ""


class Completed(Struct, frozen=True, kw_only=True):
    """A forwarded call ended. `decision_id` may name an event of an earlier epoch.

    `refunded` are the counters that were given back.
    """

    decision_id: str
    outcome: Outcome
    duration_ns: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    rpc_error_code: int | None = None
    detail: str = ""
    refunded: tuple[str, ...] = ()


class PolicyApplied(Struct, frozen=True, kw_only=True):
    """A policy took effect. `origin` is "control", "file" or "disk".

    `rollout` is set where it is rolled out in stages; `break_glass` says who went past a rollout,
    and why.
    """

    server: str
    policy: str
    revision: str
    previous_revision: str = ""
    origin: str
    manifest_sequence: int = 0
    rollout: str = ""
    break_glass: str = ""


class PolicyRefused(Struct, frozen=True, kw_only=True):
    """A policy was offered and not taken; the one before stays in force."""

    server: str
    policy: str = ""
    revision: str = ""
    code: str
    reason: str
    origin: str


class EnforcerStarted(Struct, frozen=True, kw_only=True):
    """The first event of every epoch; names the head of the epoch before.

    `public_key` is what the epoch's seals are signed with: Ed25519, 32 bytes.
    """

    software_version: str
    host: str
    servers: tuple[str, ...]
    previous_epoch: int = 0
    previous_head: bytes = b""
    boot_id: str = ""
    public_key: bytes = b""


class EnforcerStopped(Struct, frozen=True, kw_only=True):
    """An epoch ended in order: the last event but for the seal over it."""

    reason: str


class HoldPlaced(Struct, frozen=True, kw_only=True):
    """A hold took effect here."""

    hold: Hold


class HoldReleased(Struct, frozen=True, kw_only=True):
    """A hold was lifted or ran out."""

    hold_id: str
    actor: str
    reason: str


class AlertRaised(Struct, frozen=True, kw_only=True):
    """A detector saw something. The same history always gives the same `alert_id`."""

    alert_id: str
    rule: str
    detector: str
    severity: str
    summary: str
    labels: tuple[tuple[str, str], ...] = ()
    since_at: Instant
    crossed_at: Instant
    observed: float
    threshold: float
    baseline: float = 0.0
    query: str = ""


class AlertResolved(Struct, frozen=True, kw_only=True):
    """What raised an alert is over."""

    alert_id: str
    reason: str


class ApprovalAsked(Struct, frozen=True, kw_only=True):
    """A call waits for a person."""

    approval_id: str
    decision_id: str
    server: str
    grant: str
    tool: str
    arguments_hash: bytes
    policy_revision: str
    expires_at: Instant


class ApprovalGiven(Struct, frozen=True, kw_only=True):
    """A person approved or refused."""

    approval_id: str
    approved: bool
    actor: str
    reason: str


class ApprovalUsed(Struct, frozen=True, kw_only=True):
    """A permit was spent; there is no second time."""

    approval_id: str
    decision_id: str


class RequestRefused(Struct, frozen=True, kw_only=True):
    """Something arrived that is not a call to decide: malformed, a batch, unauthenticated."""

    server: str
    grant: str = ""
    code: str
    reason: str
    transport: str
    http_status: int = 0
    rpc_error_code: int = 0
    method: str = ""
    wire_tool: str = ""
    request_bytes: int = 0
    count: int = 1


class GrantChanged(Struct, frozen=True, kw_only=True):
    """From now on this is what the holder of a grant may do here: come in, or no more.

    `servers` empty: all of them. `tokens` counts those that open it, two while it is rotated.
    """

    grant: str
    agent: str
    servers: tuple[str, ...] = ()
    expires_at: Instant | None = None
    tokens: int
    revoked: bool = False
    actor: str
    reason: str


class ToolPinned(Struct, frozen=True, kw_only=True):
    """A server offered a tool for the first time. Digests are `sha256:<hex>`.

    `definition_json` is canonical, and empty where it is too long to be kept. `approved` by being
    seen first; else it waits for a person. `looks_like` is a tool that it can be taken for.
    """

    server: str
    tool: str
    digest: str
    definition_json: str = ""
    approved: bool = True
    looks_like: str = ""


class ToolChanged(Struct, frozen=True, kw_only=True):
    """A server offers a tool under another definition than before.

    `members` are those that differ; `together` is how many tools changed in the same listing.
    """

    server: str
    tool: str
    digest: str
    previous_digest: str
    approved_digest: str = ""
    members: tuple[str, ...] = ()
    definition_json: str = ""
    together: int = 1


class ToolApproved(Struct, frozen=True, kw_only=True):
    """A person approved a tool's definition."""

    server: str
    tool: str
    digest: str
    previous_digest: str = ""
    actor: str
    reason: str


Body = (
    Decided
    | Completed
    | PolicyApplied
    | PolicyRefused
    | EnforcerStarted
    | EnforcerStopped
    | HoldPlaced
    | HoldReleased
    | AlertRaised
    | AlertResolved
    | ApprovalAsked
    | ApprovalGiven
    | ApprovalUsed
    | RequestRefused
    | ToolPinned
    | ToolChanged
    | ToolApproved
    | GrantChanged
    | HeadSealed
    | OutboxDamaged
    | CheckpointMade
    | ErasureMade
)


class Draft(Struct, frozen=True):
    """What is to be recorded, before it has its place in the history."""

    at: Instant
    body: Body


class Event(Struct, frozen=True, kw_only=True):
    """What was recorded, at its place."""

    enforcer: str
    epoch: int
    sequence: int
    at: Instant
    body: Body

    @property
    def id(self) -> str:
        """Unique for ever; what an agent is told as its decision id."""
        return event_id(self.enforcer, Position(self.epoch, self.sequence))


def event_id(enforcer: str, position: Position) -> str:
    """Name the event at a place: `<enforcer>:<epoch>:<sequence>`."""
    return f"{enforcer}:{position.epoch}:{position.sequence}"
