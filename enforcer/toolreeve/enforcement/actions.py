"""What an enforcer wants done. Each is done, to its end, before the next of its list."""

from msgspec import Struct

from toolreeve.audit import Draft
from toolreeve.decision import Reservation, Verdict
from toolreeve.decision.approval import ApprovalQuestion, Permit
from toolreeve.decision.lease import LeaseAsk
from toolreeve.enforcement.pins import Pins


class Append(Struct, frozen=True):
    """Have this on disk. Where that fails, nothing that follows it may be done."""

    draft: Draft


class Forward(Struct, frozen=True):
    """Send the call on to its upstream.

    `reservations` are those that its ending may give back: they come back with `CallEnded`.
    `warning` is to be told to the agent beside the answer, where there is one. `rounds` says how
    often the same logical call has been sent on before, `permit` by whose word.
    """

    reservations: tuple[Reservation, ...] = ()
    warning: str = ""
    rounds: int = 0
    permit: Permit | None = None


class Answer(Struct, frozen=True):
    """Tell the agent that the call is refused, and why.

    `verdict` is what the agent may know of it; None: that there is no such tool. `recorded` says
    whether the decision has a record of its own, or was only counted. `question` is what a person
    can be asked about the call, which may then be decided once more.
    """

    verdict: Verdict | None
    tool: str
    policy_revision: str
    recorded: bool = True
    question: ApprovalQuestion | None = None


class Announce(Struct, frozen=True):
    """Tell the clients of a server that it may show other tools now."""

    server: str


class KeepPins(Struct, frozen=True):
    """Have a server's pins on disk, and with them what follows of the same list.

    Where that fails, what was pinned before is to be told again by `PinsRead`. `left_out` counts
    tools that are too many to be pinned.
    """

    server: str
    pins: Pins
    left_out: int = 0


class Accept(Struct, frozen=True, kw_only=True):
    """Tell the control plane that a revision is in force."""

    server: str
    policy: str
    revision: str
    manifest_sequence: int


class Reject(Struct, frozen=True, kw_only=True):
    """Tell the control plane that a revision was refused, and why."""

    server: str
    policy: str
    revision: str
    manifest_sequence: int
    code: str
    reason: str


class Await(Struct, frozen=True):
    """Let the call wait a little for leases of these counts, then ask again; there is no decision.

    Each count has a number; `Wake` says that there is an answer for it.
    """

    counts: tuple[int, ...]


class Wake(Struct, frozen=True):
    """Ask again about the calls that wait for these counts."""

    counts: tuple[int, ...]


class AskLeases(Struct, frozen=True):
    """Ask the control plane for leases. One that is not sent is as good as one not answered."""

    asks: tuple[LeaseAsk, ...]


Action = Append | Forward | Answer | Announce | KeepPins | Accept | Reject | Await
