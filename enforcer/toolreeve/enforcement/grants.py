"""What an order about grants changes, and what is recorded of it."""

from collections.abc import Iterable

from msgspec.structs import replace

from toolreeve.audit import GrantChanged
from toolreeve.decision.grant import Grant, Grants


def put(
    before: Grants, changed: Iterable[Grant], *, snapshot: bool
) -> tuple[Grants, tuple[GrantChanged, ...]]:
    """The grants after an order, and what is news in it.

    `snapshot`: these are all there are; one that is no longer among them counts as revoked.
    """
    named = {one.grant: one for one in changed}
    news = [changed_to(one) for one in named.values() if before.by_name.get(one.grant) != one]
    if not snapshot:
        return Grants({**before.by_name, **named}.values()), tuple(news)
    for gone in before.by_name.values():
        if gone.grant not in named and not gone.revoked:
            reason = "the control plane no longer knows it"
            news.append(changed_to(replace(gone, revoked=True, reason=reason)))
    return Grants(named.values()), tuple(news)


def changed_to(grant: Grant) -> GrantChanged:
    """The event that says what a grant is from now on."""
    return GrantChanged(
        grant=grant.grant,
        agent=grant.agent,
        servers=grant.servers,
        expires_at=grant.expires_at,
        tokens=0 if grant.revoked else len(grant.tokens),
        revoked=grant.revoked,
        actor=grant.actor,
        reason=grant.reason,
    )
