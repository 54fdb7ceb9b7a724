"""Who is let in, and who is put out: a state and a wish make a commit, or a reason not to.

Tokens are made by whoever calls; here only their ids and hashes are seen.
"""

import re
from hmac import compare_digest

from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.commands import (
    Command,
    CommandError,
    NotFoundError,
    Unchanged,
    WrongStateError,
    check_command,
    next_commit,
)
from toolreeve.fleet.history import Commit
from toolreeve.fleet.identity import (
    JoinTokenCreated,
    MemberDenied,
    MemberJoined,
    MemberKind,
    Operator,
    OperatorCreated,
    OperatorRevoked,
    Role,
)
from toolreeve.fleet.state import State

MEMBER_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Stands in a certificate and in a NATS subject."""
OPERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
JOIN_LIFE_MAX = 7 * 24 * 3600 * SECOND
RESERVED = ("fleet", "worker", "enforcer")
"""Names that would make an operator look like a part of the control plane."""


class Proof(Struct, frozen=True, kw_only=True):
    """A token as it was presented: the id it names, and its sha256."""

    token_id: str
    digest: bytes


class JoinRefusedError(CommandError):
    """A token that lets nobody in."""


class UnknownMemberError(NotFoundError):
    """No such member ever joined."""

    def __init__(self, kind: MemberKind, name: str) -> None:
        super().__init__(f"no {kind.value} {name!r} has joined", "list the enforcers for their ids")


def create_join_token(
    state: State,
    command: Command,
    *,
    kind: MemberKind,
    name: str,
    token: Proof,
    life_ns: int,
    at: Instant,
) -> Commit:
    """Let a member of this name join once, within `life_ns`. Raises CommandError."""
    check_command(command)
    if MEMBER_NAME.fullmatch(name) is None:
        raise CommandError(
            f"{name!r} cannot be the name of a member",
            "use 1 to 64 letters, digits, hyphens and underscores",
        )
    if not 0 < life_ns <= JOIN_LIFE_MAX:
        raise CommandError(
            "a join token lives longer than no time and at most 7 days", "give another life"
        )
    if token.token_id in state.identities.join_tokens:
        raise _said_already("join token")
    created = JoinTokenCreated(
        token_id=token.token_id,
        digest=token.digest,
        kind=kind,
        name=name,
        expires_at=Instant(at + life_ns),
    )
    return next_commit(state, command, (created,), at)


def join(
    state: State, command: Command, *, token: Proof, public_key_digest: bytes, at: Instant
) -> Commit:
    """Let in whoever presents a token that is unused and in time. Raises JoinRefusedError.

    A member that is denied is let in again only by a token that was made since.
    """
    known = state.identities.join_tokens.get(token.token_id)
    if known is None or not compare_digest(known.digest, token.digest):
        raise JoinRefusedError(
            "this join token is not known", "have a new one made with 'toolreeve enforcer token'"
        )
    if known.used:
        raise JoinRefusedError(
            "this join token was used already", "have a new one made, and find out who used it"
        )
    if at >= known.expires_at:
        raise JoinRefusedError(
            "this join token has expired", "have a new one made with 'toolreeve enforcer token'"
        )
    before = state.identities.members.get((known.kind, known.name))
    joined = MemberJoined(
        token_id=known.token_id,
        kind=known.kind,
        name=known.name,
        generation=1 if before is None else before.generation + 1,
        public_key_digest=public_key_digest,
    )
    return next_commit(state, command, (joined,), at)


def deny_member(
    state: State, command: Command, *, kind: MemberKind, name: str, at: Instant
) -> Commit | Unchanged:
    """Refuse every certificate of a member, until it joins with a token made later.

    Join tokens for its name that are unused end here too. Raises UnknownMemberError, CommandError.
    """
    check_command(command, reason_needed=True)
    known = state.identities.members.get((kind, name))
    if known is None:
        raise UnknownMemberError(kind, name)
    if known.denied:
        return Unchanged()
    return next_commit(state, command, (MemberDenied(kind=kind, name=name),), at)


def create_operator(
    state: State,
    command: Command,
    *,
    name: str,
    roles: tuple[Role, ...],
    token: Proof,
    life_ns: int | None,
    at: Instant,
) -> Commit:
    """Let somebody command. Raises CommandError, WrongStateError where the name is taken."""
    check_command(command)
    if OPERATOR_NAME.fullmatch(name) is None or name in RESERVED:
        raise CommandError(
            f"{name!r} cannot be the name of an operator",
            "use 1 to 64 letters, digits and any of . _ @ -, and no name of a part",
        )
    if not roles:
        raise CommandError("an operator needs a role", f"give one of {_all_roles()}")
    if life_ns is not None and life_ns <= 0:
        raise CommandError("the token would have ended already", "give a longer life, or none")
    standing = state.identities.operators.get(name)
    if standing is not None:
        if standing.token_id == token.token_id:
            raise _said_already("token")
        raise WrongStateError(
            f"there is an operator {name!r} already", "revoke it first, or use another name"
        )
    created = OperatorCreated(
        name=name,
        roles=tuple(role for role in Role if role in roles),
        token_id=token.token_id,
        digest=token.digest,
        expires_at=None if life_ns is None else Instant(at + life_ns),
    )
    return next_commit(state, command, (created,), at)


def first_operator(
    state: State, command: Command, *, name: str, token: Proof, at: Instant
) -> Commit | Unchanged:
    """Make the first administrator; Unchanged where anybody ever was one."""
    if state.identities.operators:
        return Unchanged()
    return create_operator(
        state, command, name=name, roles=(Role.ADMIN,), token=token, life_ns=None, at=at
    )


def revoke_operator(state: State, command: Command, *, name: str, at: Instant) -> Commit:
    """Make an operator's token worth nothing.

    Raises NotFoundError, and WrongStateError where nobody would be left who could let others in.
    """
    check_command(command)
    if name not in state.identities.operators:
        raise NotFoundError(f"there is no operator {name!r}", "list the operators for their names")
    others = (one for one in state.identities.operators.values() if one.name != name)
    if not any(_is_lasting_admin(one) for one in others):
        raise WrongStateError(
            f"{name!r} is the last admin whose token does not end", "create another admin first"
        )
    return next_commit(state, command, (OperatorRevoked(name=name),), at)


def _is_lasting_admin(operator: Operator) -> bool:
    return Role.ADMIN in operator.roles and operator.expires_at is None


def _said_already(what: str) -> CommandError:
    return CommandError(
        f"this {what} was made already and is said once only",
        "make another, with a command id of its own",
    )


def _all_roles() -> str:
    return ", ".join(role.value for role in Role)
