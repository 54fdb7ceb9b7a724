"""What is done about leases: ask for them, take them up, wake who has waited."""

from collections.abc import Mapping

from msgspec.structs import replace

from toolreeve.decision import CompiledPolicy, Instant
from toolreeve.decision.lease_book import LeaseBook
from toolreeve.enforcement.actions import AskLeases, Wake
from toolreeve.enforcement.incoming import AsksDue, LeaseHeard, LeaseNews, LedgerReached


def deal(
    news: LeaseNews,
    book: LeaseBook | None,
    policies: Mapping[str, CompiledPolicy],
    at: Instant,
) -> list[Wake | AskLeases]:
    """What must be done, in order. An enforcer that stands alone has no book, and does nothing."""
    if book is None:
        return []
    woken: list[int] = []
    match news:
        case LeaseHeard(given=given):
            number = book.given(given, at)
            return [] if number is None else [Wake((number,))]
        case LedgerReached(connected=connected):
            woken = book.connect(connected=connected, at=at)
        case AsksDue(all=True):
            woken = book.tick(at)
        case AsksDue():
            pass
    actions: list[Wake | AskLeases] = [Wake(tuple(woken))] if woken else []
    asks = book.take(at)
    if asks:
        named = tuple(
            replace(ask, revision=policy.revision)
            if (policy := policies.get(ask.server)) is not None
            else ask
            for ask in asks
        )
        actions.append(AskLeases(named))
    return actions
