"""Who presents which credential."""

import hmac
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from toolreeve.gateway.settings import GrantSettings

LOCAL = "local"
_SCHEME = "bearer "


class Holder(Struct, frozen=True):
    """A grant, and the agent that holds it."""

    grant: str
    agent: str


_EVERYBODY = Holder(LOCAL, LOCAL)


class Grants:
    """Bearer tokens by their hashes. Without any grant, everybody is `local`."""

    def __init__(self, grants: Sequence[GrantSettings]) -> None:
        self._grants = tuple(grants)

    def holder(self, server: str, authorization: str | None) -> Holder | None:
        """Who stands behind an `Authorization` header at `server`; None: nobody who may be there.

        Every grant is compared in constant time, so the time taken says nothing.
        """
        if not self._grants:
            return _EVERYBODY
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        token = authorization[len(_SCHEME) :].strip()
        presented = sha256(token.encode(errors="surrogateescape")).hexdigest()
        found: Holder | None = None
        for grant in self._grants:
            same = hmac.compare_digest(grant.token_sha256, presented)
            if same and (not grant.servers or server in grant.servers):
                found = Holder(grant.grant, grant.agent)
        return found
