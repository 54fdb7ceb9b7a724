"""What an enforcer hears."""

from collections.abc import Mapping

from msgspec import Struct

from toolreeve.audit import Completed, Hold, RequestRefused, Reservation
from toolreeve.policy import Policy


class ArrivedCall(Struct, frozen=True, kw_only=True):
    """A tool call as it stood in the request. `request_id` is the id's JSON: `7` or `"a-7"`."""

    server: str
    grant: str
    agent: str
    session: str = ""
    request_id: str
    wire_tool: str
    arguments: Mapping[str, object]
    protocol_version: str = ""


class CallArrived(Struct, frozen=True):
    """An agent calls a tool."""

    call: ArrivedCall


class CallEnded(Struct, frozen=True):
    """A forwarded call ended, one way or another. `reservations` came with its `Forward`."""

    completed: Completed
    reservations: tuple[Reservation, ...] = ()


class RequestUnfit(Struct, frozen=True):
    """Something came in that cannot be decided as a call; it has been refused already."""

    refused: RequestRefused


class PolicyOffered(Struct, frozen=True, kw_only=True):
    """A policy was read, verified and found good. `origin` is "control", "file" or "disk"."""

    server: str
    policy: Policy
    origin: str
    manifest_sequence: int = 0


class PolicyUnfit(Struct, frozen=True, kw_only=True):
    """A policy was offered and cannot be taken."""

    server: str
    policy: str = ""
    revision: str = ""
    code: str
    reason: str
    origin: str
    manifest_sequence: int = 0


class HoldOrdered(Struct, frozen=True):
    """Stop these calls."""

    hold: Hold


class HoldLifted(Struct, frozen=True, kw_only=True):
    """Let these calls pass again, as far as the policy does."""

    hold_id: str
    actor: str
    reason: str


class HoldsReplaced(Struct, frozen=True):
    """These are all the holds there are; what is not among them has been lifted."""

    holds: tuple[Hold, ...]


Incoming = (
    CallArrived
    | CallEnded
    | RequestUnfit
    | PolicyOffered
    | PolicyUnfit
    | HoldOrdered
    | HoldLifted
    | HoldsReplaced
)
