"""Who may come in: grants by the hashes of their tokens.

A token is 256 random bits, so its plain sha256 can be stored, and looked up in a table: whoever
could time the look-up would learn something about a hash, of which no token follows.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from toolreeve.decision.instant import Instant


class Token(Struct, frozen=True):
    """One token that opens a grant: its sha256 in hex. `expires_at` None: as long as the grant."""

    sha256: str
    expires_at: Instant | None = None


class Grant(Struct, frozen=True, kw_only=True):
    """A credential for one agent. `servers` empty: all of them.

    A revoked one stays known, so that whoever presents it can be named. `actor` and `reason` are
    those of its last change.
    """

    grant: str
    agent: str
    servers: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()
    expires_at: Instant | None = None
    revoked: bool = False
    actor: str = ""
    reason: str = ""

    def serves(self, servers: Iterable[str]) -> bool:
        """Whether it is for one of `servers` at all."""
        return not self.servers or not set(self.servers).isdisjoint(servers)


class Holder(Struct, frozen=True):
    """A grant, and the agent that holds it."""

    grant: str
    agent: str


class TurnedAway(Struct, frozen=True):
    """Nobody who may come in. `code` is a stable word; `reason` is for the one who asked."""

    code: str
    reason: str


UNAUTHENTICATED = TurnedAway("unauthenticated", "present a grant for this server as a bearer token")


class Grants:
    """All grants that one enforcer knows. Never changes."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self.by_name: Mapping[str, Grant] = {one.grant: one for one in grants}
        self._by_token = {
            token.sha256: (grant, token)
            for grant in self.by_name.values()
            for token in grant.tokens
        }

    def admit(self, server: str, token_sha256: str, at: Instant) -> Holder | TurnedAway:
        """Who presents the token with this hash at `server`, if its grant is good there now."""
        found = self._by_token.get(token_sha256)
        if found is None:
            return UNAUTHENTICATED
        grant, token = found
        if grant.revoked:
            return TurnedAway("grant_revoked", f"grant {grant.grant!r} was revoked")
        if _over(grant.expires_at, at):
            return TurnedAway("grant_expired", f"grant {grant.grant!r} has expired")
        if _over(token.expires_at, at):
            problem = f"grant {grant.grant!r} has a new token, and this one has expired"
            return TurnedAway("grant_expired", problem)
        if grant.servers and server not in grant.servers:
            return UNAUTHENTICATED
        return Holder(grant.grant, grant.agent)

    def holds(self, server: str, grant: str, at: Instant) -> bool:
        """Whether the holder of `grant` may still be at `server`, whatever token let it in."""
        found = self.by_name.get(grant)
        return (
            found is not None
            and not found.revoked
            and not _over(found.expires_at, at)
            and (not found.servers or server in found.servers)
        )


def _over(expires_at: Instant | None, at: Instant) -> bool:
    return expires_at is not None and at >= expires_at
