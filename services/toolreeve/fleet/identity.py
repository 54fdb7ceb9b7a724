"""Who may take part: members with certificates, operators with tokens, and how both are known.

A member is an enforcer or a worker. It joins with a token that counts once; each join is a
generation of its own, and certificates of earlier generations are refused, as are all of a member
that is denied. Certificates are renewed without a word in the log: what they prove is a name and a
generation, and both stand here. Of tokens the log has hashes only.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision import Instant


class MemberKind(Enum):
    """What a member of the fleet is, as it stands in its SPIFFE id."""

    ENFORCER = "enforcer"
    WORKER = "worker"


class Role(Enum):
    """What an operator may do. Everybody may read; an admin may do everything."""

    VIEWER = "viewer"
    AUTHOR = "author"
    APPROVER = "approver"
    RELEASER = "releaser"
    ADMIN = "admin"


class JoinTokenCreated(Struct, frozen=True, kw_only=True):
    """A token was made that lets one member join once. `digest` is the token's sha256."""

    token_id: str
    digest: bytes
    kind: MemberKind
    name: str
    expires_at: Instant


class MemberJoined(Struct, frozen=True, kw_only=True):
    """A token was used."""

    token_id: str
    kind: MemberKind
    name: str
    generation: int
    public_key_digest: bytes


class MemberDenied(Struct, frozen=True, kw_only=True):
    """A member's certificates are refused until it joins again."""

    kind: MemberKind
    name: str


class OperatorCreated(Struct, frozen=True, kw_only=True):
    """Somebody may command. `digest` is the token's sha256; `expires_at` None: it does not end."""

    name: str
    roles: tuple[Role, ...]
    token_id: str
    digest: bytes
    expires_at: Instant | None


class OperatorRevoked(Struct, frozen=True, kw_only=True):
    """An operator's token is worth nothing any more."""

    name: str


IdentityEvent = JoinTokenCreated | MemberJoined | MemberDenied | OperatorCreated | OperatorRevoked


class JoinToken(Struct, frozen=True, kw_only=True):
    """A token that was made. `used` once somebody has joined with it."""

    token_id: str
    digest: bytes
    kind: MemberKind
    name: str
    expires_at: Instant
    used: bool = False


class Member(Struct, frozen=True, kw_only=True):
    """One member as of its last join. `denied_by` is empty while it is not denied."""

    kind: MemberKind
    name: str
    generation: int
    joined_at: Instant
    denied_by: str = ""
    reason: str = ""

    @property
    def denied(self) -> bool:
        """Whether its certificates are refused."""
        return bool(self.denied_by)


class Operator(Struct, frozen=True, kw_only=True):
    """Somebody who may command, known by the sha256 of a token."""

    name: str
    roles: tuple[Role, ...]
    token_id: str
    digest: bytes
    created_at: Instant
    created_by: str
    expires_at: Instant | None


MemberKey = tuple[MemberKind, str]


class Identities(Struct, frozen=True, kw_only=True):
    """Tokens by their id, members by kind and name, operators by name."""

    join_tokens: Mapping[str, JoinToken] = msgspec.field(default_factory=dict[str, JoinToken])
    members: Mapping[MemberKey, Member] = msgspec.field(default_factory=dict[MemberKey, Member])
    operators: Mapping[str, Operator] = msgspec.field(default_factory=dict[str, Operator])

    def operator_of(self, token_id: str) -> Operator | None:
        """Whose token has this id. The token itself is yet to be compared."""
        return next((one for one in self.operators.values() if one.token_id == token_id), None)


def fold_identity(
    identities: Identities, event: IdentityEvent, *, actor: str, reason: str, at: Instant
) -> Identities:
    """What is known behind one more event, which `actor` caused at `at`."""
    match event:
        case JoinTokenCreated():
            tokens = {one.token_id: one for one in _unexpired(identities.join_tokens.values(), at)}
            tokens[event.token_id] = JoinToken(
                token_id=event.token_id,
                digest=event.digest,
                kind=event.kind,
                name=event.name,
                expires_at=event.expires_at,
            )
            return replace(identities, join_tokens=tokens)
        case MemberJoined():
            tokens = dict(identities.join_tokens)
            if event.token_id in tokens:
                tokens[event.token_id] = replace(tokens[event.token_id], used=True)
            member = Member(
                kind=event.kind, name=event.name, generation=event.generation, joined_at=at
            )
            members = {**identities.members, (event.kind, event.name): member}
            return replace(identities, join_tokens=tokens, members=members)
        case MemberDenied():
            key = (event.kind, event.name)
            known = identities.members.get(key) or Member(
                kind=event.kind, name=event.name, generation=0, joined_at=at
            )
            denied = replace(known, denied_by=actor, reason=reason)
            tokens = {
                token_id: token
                for token_id, token in identities.join_tokens.items()
                if (token.kind, token.name) != key
            }
            members = {**identities.members, key: denied}
            return replace(identities, join_tokens=tokens, members=members)
        case OperatorCreated():
            operator = Operator(
                name=event.name,
                roles=event.roles,
                token_id=event.token_id,
                digest=event.digest,
                created_at=at,
                created_by=actor,
                expires_at=event.expires_at,
            )
            return replace(identities, operators={**identities.operators, event.name: operator})
        case OperatorRevoked():
            left = {name: one for name, one in identities.operators.items() if name != event.name}
            return replace(identities, operators=left)


def _unexpired(tokens: Iterable[JoinToken], at: Instant) -> Iterable[JoinToken]:
    return (one for one in tokens if one.expires_at > at)
