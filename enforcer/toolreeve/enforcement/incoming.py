"""What an enforcer hears."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolreeve.audit import Completed, Hold, RequestRefused, Reservation
from toolreeve.decision.approval import Permit
from toolreeve.decision.lease import LeaseGiven
from toolreeve.enforcement.pins import Pins
from toolreeve.policy import Policy


class ArrivedCall(Struct, frozen=True, kw_only=True):
    """A tool call as it stood in the request. `request_id` is the id's JSON: `7` or `"a-7"`.

    `goes_on_with` is the server's state that it shows where it goes on with a call that wanted
    more input, empty where the server gave none; None for a call that begins.
    """

    server: str
    grant: str
    agent: str
    session: str = ""
    request_id: str
    wire_tool: str
    arguments: Mapping[str, object]
    protocol_version: str = ""
    goes_on_with: str | None = None


class CallArrived(Struct, frozen=True):
    """An agent calls a tool. `waited`: nobody waits for a lease any more."""

    call: ArrivedCall
    waited: bool = False
    permit: Permit | None = None


class Question(Struct, frozen=True):
    """What a call was answered with that wants more input.

    `rounds` and `permit` came with its `Forward`.
    """

    call: ArrivedCall
    state: str
    rounds: int
    permit: Permit | None = None


class CallEnded(Struct, frozen=True):
    """A forwarded call ended, one way or another. `reservations` came with its `Forward`.

    `question` is what its client may go on with.
    """

    completed: Completed
    reservations: tuple[Reservation, ...] = ()
    question: Question | None = None


class RequestUnfit(Struct, frozen=True):
    """Something came in that cannot be decided as a call; it has been refused already.

    `peer` is the address it came from where nobody has shown a grant.
    """

    refused: RequestRefused
    peer: str = ""


class CountsDue(Struct, frozen=True):
    """It is time to say how many requests were refused without an event of their own."""


class PolicyOffered(Struct, frozen=True, kw_only=True):
    """A policy was read, verified and found good. `origin` is "control", "file" or "disk".

    `rollout` is set while the policy is rolled out; `before` is then the one to compare it with,
    where its text is at hand. `break_glass` says who went past a rollout, and why.
    """

    server: str
    policy: Policy
    origin: str
    manifest_sequence: int = 0
    rollout: str = ""
    before: Policy | None = None
    break_glass: str = ""


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


class ToolsListed(Struct, frozen=True, kw_only=True):
    """A server has answered `tools/list`, with these entries. `more`: another page follows."""

    server: str
    tools: Sequence[object]
    more: bool = False


class PinsRead(Struct, frozen=True):
    """What was kept of a server's pins, or has been changed by somebody; None: it is damaged."""

    server: str
    pins: Pins | None


class HoldsReplaced(Struct, frozen=True):
    """These are all the holds there are; what is not among them has been lifted."""

    holds: tuple[Hold, ...]


class LeaseHeard(Struct, frozen=True):
    """The control plane has answered an ask for a lease."""

    given: LeaseGiven


class LedgerReached(Struct, frozen=True):
    """The stream over which leases come is up, or lost."""

    connected: bool


class AsksDue(Struct, frozen=True):
    """It is time to ask for the leases that calls want, and now and then to look through all."""

    all: bool = False


LeaseNews = LeaseHeard | LedgerReached | AsksDue

Incoming = (
    CallArrived
    | CallEnded
    | RequestUnfit
    | CountsDue
    | PolicyOffered
    | PolicyUnfit
    | HoldOrdered
    | HoldLifted
    | HoldsReplaced
    | ToolsListed
    | PinsRead
)
