"""Blocks of a fleet's quota, as one enforcer asks for them and uses them up.

A limit that a whole fleet shares is counted in one place, the control plane's ledger. An enforcer
draws a block of it, a lease, and admits calls out of the block without asking again. The ledger
counts a block from the moment it gives it until a window after the last moment it may be used in;
a block lives `life_ns` from the moment of *asking*, on the enforcer's own clock, which lies before
the giving. So whatever is admitted anywhere stands in the ledger for a whole window after it, and
since the ledger never gives more than `max`, no span of a window's length holds more. Nothing here
compares two clocks. (The whole argument: docs/explanation/fleet-limits.md.)

What is left of a block when it dies is told back, as what was used of it: saying so twice, late,
or never at all can only leave quota unused. A restart forgets all blocks.

A *share* is for the time when nobody can be asked: a part of every window that one enforcer may
count by itself, exactly, over restarts too. In the ledger it is a block of long life that is given
again and again; what of it is used in a window is bounded by the enforcer's own count.
"""

from msgspec import Struct

MILLIONTHS = 1_000_000
"""Where a limit counts an `amount`, blocks are counted in millionths, rounded up when used."""


SHARE = "share"
"""Stands for a lease where a call was counted in the enforcer's own share."""

SHARE_LIFE_NS = 3_600_000_000_000


class Settled(Struct, frozen=True):
    """A lease is not used any more, and this is what was used of it."""

    lease_id: str
    used: int


class LeaseAsk(Struct, frozen=True, kw_only=True):
    """An enforcer wants a block.

    `owner` says whose count it is, as in a `Reservation`. `need` is what calls wait for, `least`
    what the first of them needs, `ahead` what may be given beyond. `window` is the calendar window
    that it is for, and -1 where windows slide. `revision` is the policy that says so. `share` is
    set where the enforcer wants a share of its own, to the name of its counts on disk.
    """

    lease_id: str
    server: str
    counter: str
    owner: str
    revision: str = ""
    window: int = -1
    need: int = 0
    least: int = 0
    ahead: int = 0
    settled: tuple[Settled, ...] = ()
    share: str = ""


class LeaseGiven(Struct, frozen=True, kw_only=True):
    """What became of an ask. `known` is False where the ledger could not be reached.

    `share` is how much of each window is the enforcer's own for `share_life_ns` from the asking.
    """

    lease_id: str
    amount: int = 0
    life_ns: int = 0
    retry_ns: int = 0
    known: bool = True
    share: int = 0
    share_life_ns: int = 0
