"""The fleet's account of one shared count: who was given how much of it, and until when it counts.

An account is changed in one step, by whoever holds its latest version, and a block is handed out
only once the changed account is stored. Two promises rest on it:

- A block counts from the moment it is given for its life and a whole window more (and a thousandth
  beyond, for clocks that run unevenly). So at the moment a block is given, everything that may be
  admitted out of earlier blocks within a window of it is still in the account.
- What an account gives and still counts is never more than the maximum.

Moments are of one clock that never steps back, and that only one machine knows between two of its
starts. On the way through the ledger an account carries *ages*: how long ago, at the least, each
block was given. Who reads an account on another machine, or later, knows of no time but what it
has itself seen pass. So a wrong clock, a slow replica or a restart make blocks count longer than
they need, and never shorter.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision.instant import MILLISECOND, SECOND
from toolreeve.decision.lease import SHARE, SHARE_LIFE_NS, LeaseAsk, LeaseGiven, Settled

LIFE_NS_LEAST = 500 * MILLISECOND
LIFE_NS_MOST = 10 * SECOND
AHEAD_PART = 4
"""Beyond what calls wait for, at most one in so many of what remains is given."""

ENTRIES_MAX = 2_000
SLOTS_A_WINDOW = 64
WINDOWS_KEPT = 2
TOGETHER = "~"


class AccountError(ValueError):
    """What lies in the ledger is no account."""


class Terms(Struct, frozen=True, kw_only=True):
    """A limit as the ledger sees it, in the units that its blocks are counted in.

    `share` is what an enforcer may have of each window for itself; 0: nothing.
    """

    window_ns: int
    maximum: int
    calendar: bool = False
    share: int = 0

    @property
    def life_ns(self) -> int:
        """How long a block may be used from the moment it is asked for."""
        return min(max(self.window_ns // 10, LIFE_NS_LEAST), LIFE_NS_MOST)


class Entry(Struct, frozen=True, array_like=True):
    """A block that counts since `since` at the latest, by the clock of whoever looks.

    `holder` is the enforcer and the lease; where several blocks have been put together, the mark
    and the holder of the first, and `spread` is by how much that one is older.
    """

    holder: str
    amount: int
    since: int
    life_ns: int
    window: int = -1
    spread: int = 0

    @property
    def together(self) -> bool:
        """Whether this is more than one block, and nobody's to settle."""
        return self.holder.startswith(TOGETHER)

    @property
    def same_as(self) -> tuple[str, int]:
        """What only the same blocks have: what is put together only ever becomes more."""
        return self.holder, self.amount if self.together else 0


class Account(Struct, frozen=True):
    """All that counts. Calendar windows before `floor` are over and get nothing any more."""

    entries: tuple[Entry, ...] = ()
    floor: int = 0


class _Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account in the ledger: `since` are ages when it was written, at `at` since `boot`."""

    version: int = 1
    boot: str
    at: int
    floor: int = 0
    entries: tuple[Entry, ...] = ()


def draw(
    account: Account,
    asks: Sequence[tuple[str, LeaseAsk]],
    terms: Terms,
    *,
    now: int,
    wall: int,
    clock: str = "",
) -> tuple[Account, list[LeaseGiven]]:
    """Answer asks, each by an enforcer, in their order: the account they leave and the answers.

    `now` is the moment by the reader's own `clock`, which has a name that no other has, `wall` the
    time of day, which decides nothing but how far off an enforcer's calendar may be. Asked again, a
    lease is answered as before.
    """
    account = _forget(account, terms, now)
    answers: list[LeaseGiven] = []
    for enforcer, ask in asks:
        account = settle(account, enforcer, ask.settled)
        name = f"{enforcer}/{SHARE} {ask.share} "
        account, share, share_life_ns = _share(account, name, ask, terms, now=now, clock=clock)
        account, answer = _draw_one(account, enforcer, ask, terms, now=now, wall=wall)
        answers.append(replace(answer, share=share, share_life_ns=share_life_ns))
    return _compact(account, terms, now), answers


def settle(account: Account, enforcer: str, settled: Sequence[Settled]) -> Account:
    """Count of each lease no more than was used of it. Again, or too late, it changes nothing."""
    if not settled:
        return account
    used = {f"{enforcer}/{one.lease_id}": max(0, one.used) for one in settled}
    entries = [
        replace(entry, amount=min(entry.amount, used[entry.holder]))
        if entry.holder in used
        else entry
        for entry in account.entries
    ]
    return replace(account, entries=tuple(entry for entry in entries if entry.amount))


def counts(account: Account, terms: Terms, *, window: int = -1) -> int:
    """How much counts now of what was given."""
    if not terms.calendar:
        return sum(entry.amount for entry in account.entries)
    return sum(entry.amount for entry in account.entries if entry.window == window)


def merge(kept: Account, read: Account, *, newer: bool) -> Account:
    """What is known of an account, from what was `kept` in mind and what was `read`.

    Where the ledger has gone back behind what we had of it (`newer` is False), something was lost
    there, and what we had counts on. A block that both know has the age of who knows more.
    """
    mine = {entry.same_as: entry for entry in kept.entries}
    entries = [
        replace(entry, since=min(entry.since, mine[entry.same_as].since))
        if entry.same_as in mine
        else entry
        for entry in read.entries
    ]
    if not newer:
        found = {entry.same_as for entry in read.entries}
        entries += [entry for entry in kept.entries if entry.same_as not in found]
    return Account(tuple(entries), max(kept.floor, read.floor))


def write_account(account: Account, *, now: int, boot: str) -> bytes:
    """The account as it lies in the ledger."""
    entries = tuple(replace(entry, since=now - entry.since) for entry in account.entries)
    stored = _Stored(boot=boot, at=now, floor=account.floor, entries=entries)
    return msgspec.json.encode(stored)


def read_account(raw: bytes, *, now: int, boot: str) -> Account:
    """An account from the ledger, by the reader's own clock. Raises AccountError.

    Since it was written, as much time has passed as this clock says where it is the same clock,
    and else none that anybody could vouch for.
    """
    try:
        stored = msgspec.json.decode(raw, type=_Stored)
    except msgspec.DecodeError as error:
        raise AccountError(str(error)) from error
    if stored.version != 1 or any(entry.amount < 0 for entry in stored.entries):
        raise AccountError("an account of another version, or with less than nothing")
    passed = max(0, now - stored.at) if boot and stored.boot == boot else 0
    entries = tuple(
        replace(entry, since=now - passed - max(0, entry.since)) for entry in stored.entries
    )
    return Account(entries, stored.floor)


def _share(
    account: Account, name: str, ask: LeaseAsk, terms: Terms, *, now: int, clock: str
) -> tuple[Account, int, int]:
    """The enforcer's own share, and for how long it has it from the asking.

    It is one block that is given anew each time it is asked for, under the name of its moment: who
    knows for how long an earlier one has counted knows nothing of this one, and an old ask that
    comes late takes nothing away from a later one. Its size never shrinks under who uses it.
    """
    if not ask.share or not terms.share or terms.calendar:
        return account, 0, 0
    mine = [one for one in account.entries if one.holder.startswith(name)]
    had = max((one.amount for one in mine), default=0)
    room = terms.maximum - counts(account, terms)
    if terms.share - had > room or len(account.entries) >= ENTRIES_MAX:
        return account, 0, 0
    others = tuple(one for one in account.entries if one not in mine)
    entry = Entry(f"{name}{clock} {now}", max(had, terms.share), now, SHARE_LIFE_NS)
    return replace(account, entries=(*others, entry)), terms.share, SHARE_LIFE_NS


def _draw_one(
    account: Account, enforcer: str, ask: LeaseAsk, terms: Terms, *, now: int, wall: int
) -> tuple[Account, LeaseGiven]:
    holder = f"{enforcer}/{ask.lease_id}"
    for entry in account.entries:
        if entry.holder == holder:
            return account, _given(ask, entry.amount, terms)
    need, least, ahead = max(0, ask.need), max(1, ask.least), max(0, ask.ahead)
    if not need and not ahead:
        return account, _given(ask, 0, terms)
    if terms.calendar:
        off = abs(ask.window - wall // terms.window_ns) > 1
        if off or ask.window < account.floor:
            return account, LeaseGiven(lease_id=ask.lease_id, known=False)
        account = _turn(account, ask.window)
    room = terms.maximum - counts(account, terms, window=ask.window)
    amount = min(need, room) if room >= least else 0
    if not need or amount == need:
        amount += min(ahead, max(0, room - amount) // AHEAD_PART)
    if len(account.entries) >= ENTRIES_MAX:
        amount = 0
    if amount > 0:
        window = ask.window if terms.calendar else -1
        entry = Entry(holder, amount, now, terms.life_ns, window)
        account = replace(account, entries=(*account.entries, entry))
    retry_ns = 0 if amount >= need else _retry_ns(account, terms, least, now)
    return account, _given(ask, max(0, amount), terms, retry_ns)


def _given(ask: LeaseAsk, amount: int, terms: Terms, retry_ns: int = 0) -> LeaseGiven:
    return LeaseGiven(
        lease_id=ask.lease_id, amount=amount, life_ns=terms.life_ns, retry_ns=retry_ns
    )


def _counted_ns(entry: Entry, terms: Terms) -> int:
    """How long a block counts from the moment it is given."""
    return (entry.life_ns + terms.window_ns) * 1_001 // 1_000


def _retry_ns(account: Account, terms: Terms, least: int, now: int) -> int:
    """How long until `least` is free, if nothing comes back before and nobody else takes it."""
    if terms.calendar or len(account.entries) >= ENTRIES_MAX:
        return terms.window_ns
    room = terms.maximum - counts(account, terms)
    for until, amount in sorted(
        (entry.since + _counted_ns(entry, terms), entry.amount) for entry in account.entries
    ):
        room += amount
        if room >= least:
            return max(MILLISECOND, until - now)
    return terms.window_ns


def _forget(account: Account, terms: Terms, now: int) -> Account:
    if terms.calendar:
        return account
    entries = tuple(
        entry for entry in account.entries if entry.since + _counted_ns(entry, terms) > now
    )
    return account if len(entries) == len(account.entries) else replace(account, entries=entries)


def _turn(account: Account, window: int) -> Account:
    """Let go of calendar windows well before `window`, and give nothing of them any more."""
    floor = max(account.floor, window - WINDOWS_KEPT)
    if floor == account.floor:
        return account
    return Account(tuple(one for one in account.entries if one.window >= floor), floor)


def _compact(account: Account, terms: Terms, now: int) -> Account:
    """Put blocks together that nobody will settle any more and that were given soon after another.

    Together they count from the moment of the latest, which lies at most a slot behind the first.
    """
    slot_ns = max(1, terms.window_ns // SLOTS_A_WINDOW)
    open_entries: list[Entry] = []
    together: list[Entry] = []
    for entry in sorted(account.entries, key=lambda one: (one.window, one.since - one.spread)):
        if not entry.together and entry.since + 2 * entry.life_ns > now:
            open_entries.append(entry)
            continue
        last = together[-1] if together else None
        if last is not None and last.window == entry.window:
            first, latest = last.since - last.spread, max(last.since, entry.since)
            if terms.calendar or latest - first <= slot_ns:
                together[-1] = replace(
                    last,
                    holder=last.holder if last.together else TOGETHER + last.holder,
                    amount=last.amount + entry.amount,
                    since=latest,
                    life_ns=max(last.life_ns, entry.life_ns),
                    spread=latest - first,
                )
                continue
        together.append(entry)
    return replace(account, entries=(*together, *open_entries))
