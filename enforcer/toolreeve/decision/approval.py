"""What a person is asked about one call, and what their word is bound to."""

from collections.abc import Mapping
from enum import Enum
from hashlib import sha256

from msgspec import Struct

from toolreeve.decision.instant import Instant
from toolreeve.policy import canonical_json

BINDING_BYTES = 32
_MEANING = "toolreeve approval 1"


class ApprovalState(Enum):
    """How an approval stands. Approved: there is a permit, and nobody has used it."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"


class ApprovalQuestion(Struct, frozen=True, kw_only=True):
    """May this one call be made, once?

    `binding` says which call, under which policy. `argument_names` are those of the effective
    arguments; `kept` are pointers and values (canonical JSON) that may be kept of them.
    `approvers` empty: every operator who may approve; `votes_needed` of them must say yes.
    """

    binding: bytes
    server: str
    grant: str
    agent: str
    tool: str
    wire_tool: str
    policy_revision: str
    rule: str = ""
    reason: str = ""
    argument_names: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    approvers: tuple[str, ...] = ()
    votes_needed: int = 1
    timeout_ns: int


class ApprovalAsk(Struct, frozen=True, kw_only=True):
    """A call waits. Said again and again while it does; the same ask is answered the same.

    With the `approval_id` of an answer nobody is asked anew, only told how that one stands.
    """

    ask_id: str
    question: ApprovalQuestion
    approval_id: str = ""


class ApprovalNews(Struct, frozen=True, kw_only=True):
    """How an approval stands: the answer to `ask_id`, or a change.

    `until` is the end of the time to decide, or to use the permit. With `refused` nobody is asked.
    """

    approval_id: str
    state: ApprovalState
    actor: str = ""
    reason: str = ""
    until: Instant = Instant(0)
    ask_id: str = ""
    refused: str = ""


class PermitClaim(Struct, frozen=True, kw_only=True):
    """A call is about to be made with a permit."""

    claim_id: str
    approval_id: str
    binding: bytes


class PermitAnswer(Struct, frozen=True, kw_only=True):
    """Whether this claim, and no other, has the permit."""

    claim_id: str
    granted: bool
    reason: str = ""


class Permit(Struct, frozen=True):
    """A person's word on the calls with this binding. `claimed`: it is this call's alone, and the
    call may be made; else it may be had, and the call is refused for what else speaks against it.
    """

    binding: bytes
    claimed: bool


def binding_of(
    *,
    server: str,
    grant: str,
    tool: str,
    wire_tool: str,
    arguments: Mapping[str, object],
    revision: str,
) -> bytes:
    """What a permit is good for: these calls and no others, under this policy and no other.

    `arguments` are all that stood on the wire, not the effective ones alone: what is beside them
    reaches the server too.
    """
    bound = [_MEANING, server, grant, tool, wire_tool, dict(arguments), revision]
    return sha256(canonical_json(bound)).digest()
