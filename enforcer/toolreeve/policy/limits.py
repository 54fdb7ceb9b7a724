"""`limits`: what may be counted, read from a document."""

from collections.abc import Mapping
from decimal import Decimal

from toolreeve.policy import keys
from toolreeve.policy.model import Align, Limit, OnPartition, Refund, Scope
from toolreeve.policy.pointer import write_pointer
from toolreeve.policy.reader import Reader, kind_of
from toolreeve.policy.text import Path

SECOND_NS = 1_000_000_000


def read_limits(
    reader: Reader, value: object, path: Path, counters: dict[str, Limit]
) -> tuple[Limit, ...]:
    """All limits of a list. `counters` has the first limit of each name in the document."""
    return tuple(
        limit
        for item, place in reader.items(value, path, most=keys.CONDITIONS_MAX)
        if (limit := _read_limit(reader, item, place, counters)) is not None
    )


def _read_limit(
    reader: Reader, value: object, path: Path, counters: dict[str, Limit]
) -> Limit | None:
    members = reader.mapping(value, path, keys.LIMIT_KEYS)
    if not isinstance(value, dict):
        return None
    for key, remedy in (
        ("counter", 'add "counter": "a name for what is counted"'),
        ("window", 'add "window": "minute"'),
        ("max", 'add "max": 10'),
    ):
        if key not in members:
            reader.missing(path, key, remedy)
    amount = None
    if "amount" in members:
        amount = reader.pointer(members["amount"], (*path, "amount"))
    counter = window = maximum = None
    if "counter" in members:
        counter = reader.name(members["counter"], (*path, "counter"))
    if "window" in members:
        window = read_window(reader, members["window"], (*path, "window"))
    if "max" in members:
        spends = "amount" in members
        maximum = _read_maximum(reader, members["max"], (*path, "max"), spends=spends)
    scope: str | None = Scope.GRANT.value
    if "scope" in members:
        scope = reader.choice(members["scope"], (*path, "scope"), keys.SCOPES)
    align: str | None = Align.SLIDING.value
    if "align" in members:
        align = reader.choice(members["align"], (*path, "align"), keys.ALIGNS)
    by = _read_by(reader, members.get("by", []), (*path, "by"))
    refund_on = _read_refunds(reader, members.get("refund_on", []), (*path, "refund_on"))
    shares = _read_shares(reader, members, path, scope, None if amount else maximum)
    if counter is None or window is None or maximum is None or scope is None or align is None:
        return None
    limit = Limit(
        counter=counter,
        window_ns=window * SECOND_NS,
        maximum=maximum,
        scope=Scope(scope),
        align=Align(align),
        by=by,
        amount=amount,
        refund_on=refund_on,
        shares=shares,
        pointer=write_pointer(path),
    )
    first = counters.setdefault(counter, limit)
    if _meaning(first) != _meaning(limit):
        problem = f'counter "{counter}" means something else at {first.pointer}'
        remedy = "give both the same window, max, scope, align and by, or another name"
        reader.complain((*path, "counter"), problem, remedy)
    return limit


def _meaning(limit: Limit) -> tuple[object, ...]:
    """What makes two limits one counter."""
    spends = limit.amount is not None
    return limit.window_ns, limit.maximum, limit.scope, limit.align, limit.by, spends, limit.shares


def read_window(reader: Reader, value: object, path: Path) -> int | None:
    """Seconds, as a number or in words."""
    if isinstance(value, str):
        word = reader.choice(value, path, tuple(keys.WINDOWS))
        return None if word is None else keys.WINDOWS[word]
    return reader.integer(value, path, 1, keys.WINDOW_SECONDS_MAX)


def _read_maximum(reader: Reader, value: object, path: Path, *, spends: bool) -> Decimal | None:
    """How much: a whole number of calls, or any amount where amounts are counted."""
    if not spends:
        whole = reader.integer(value, path, 0, keys.CALLS_MAX)
        return None if whole is None else Decimal(whole)
    if not isinstance(value, int | float) or isinstance(value, bool):
        problem = f"expected a number, found {kind_of(value)}"
        reader.complain(path, problem, 'write "max": 500')
    elif not 0 <= value <= keys.MAXIMUM_MAX:
        remedy = f"write a number from 0 to {keys.MAXIMUM_MAX}"
        reader.complain(path, f"{value} is out of bounds", remedy)
    else:
        return Decimal(str(value))
    return None


def _read_by(reader: Reader, value: object, path: Path) -> tuple[str, ...]:
    pointers = [
        pointer
        for item, place in reader.items(value, path, most=keys.BY_MAX)
        if (pointer := reader.pointer(item, place)) is not None
    ]
    if len(set(pointers)) != len(pointers):
        reader.complain(path, "a pointer stands here twice", "keep one of them")
    return tuple(pointers)


def _read_shares(
    reader: Reader,
    members: Mapping[str, object],
    path: Path,
    scope: str | None,
    calls: Decimal | None,
) -> int:
    """Into how many shares a limit may be split; 0 where an enforcer that is cut off has none."""
    wanted = OnPartition.DENY.value
    if "on_partition" in members:
        place = (*path, "on_partition")
        wanted = reader.choice(members["on_partition"], place, keys.ON_PARTITION) or wanted
    shares = 0
    if "shares" in members:
        place = (*path, "shares")
        shares = reader.integer(members["shares"], place, 1, keys.SHARES_MAX) or 0
    splits = wanted == OnPartition.SAFE_SHARE.value
    if splits and "shares" not in members:
        reader.missing(path, "shares", 'add "shares": 10, for up to ten enforcers')
    if "shares" in members and not splits:
        remedy = 'add "on_partition": "safe_share", or remove it'
        reader.complain((*path, "shares"), '"shares" is of use to a safe share only', remedy)
    if splits and scope not in {None, Scope.FLEET.value, Scope.GRANT.value}:
        problem = f'a limit for each "{scope}" is shared by nobody'
        remedy = 'remove it, or write "scope": "fleet"'
        reader.complain((*path, "on_partition"), problem, remedy)
    if splits and calls is not None and calls < shares:
        problem = f"each of {shares} shares of {calls} is less than one call"
        reader.complain((*path, "shares"), problem, 'raise "max", or lower "shares"')
    if splits and members.get("align") == Align.CALENDAR.value:
        remedy = 'remove "align", or write "on_partition": "deny"'
        reader.complain((*path, "on_partition"), "calendar windows have no shares", remedy)
    return shares if splits else 0


def _read_refunds(reader: Reader, value: object, path: Path) -> frozenset[Refund]:
    words = [
        word
        for item, place in reader.items(value, path, most=len(keys.REFUNDS))
        if (word := reader.choice(item, place, keys.REFUNDS)) is not None
    ]
    return frozenset(map(Refund, words))
