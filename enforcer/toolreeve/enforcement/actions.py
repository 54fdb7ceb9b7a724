"""What an enforcer wants done. Each is done, to its end, before the next of its list."""

from msgspec import Struct

from toolreeve.audit import Draft
from toolreeve.decision import Reservation, Verdict
from toolreeve.enforcement.pins import Pins


class Append(Struct, frozen=True):
    """Have this on disk. Where that fails, nothing that follows it may be done."""

    draft: Draft


class Forward(Struct, frozen=True):
    """Send the call on to its upstream.

    `reservations` are those that its ending may give back: they come back with `CallEnded`.
    `warning` is to be told to the agent beside the answer, where there is one. `rounds` says how
    often the same logical call has been sent on before.
    """

    reservations: tuple[Reservation, ...] = ()
    warning: str = ""
    rounds: int = 0


class Answer(Struct, frozen=True):
    """Tell the agent that the call is refused, and why.

    `verdict` is what the agent may know of it; None: that there is no such tool. `recorded` says
    whether the decision has a record of its own, or was only counted.
    """

    verdict: Verdict | None
    tool: str
    policy_revision: str
    recorded: bool = True


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


Action = Append | Forward | Answer | Announce | KeepPins | Accept | Reject
