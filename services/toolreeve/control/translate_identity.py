"""Members, operators and tokens: values to the contract's messages and back."""

from collections.abc import Iterable

from toolreeve.decision import Instant
from toolreeve.fleet.identity import (
    IdentityEvent,
    JoinTokenCreated,
    Member,
    MemberDenied,
    MemberJoined,
    MemberKind,
    Operator,
    OperatorCreated,
    OperatorRevoked,
    Role,
)
from toolreeve.v1 import control_pb2 as control
from toolreeve.v1 import identity_pb2 as pb
from toolreeve.wire import WireError

_KINDS = {
    MemberKind.ENFORCER: pb.MEMBER_KIND_ENFORCER,
    MemberKind.WORKER: pb.MEMBER_KIND_WORKER,
}
_ROLES = {
    Role.VIEWER: pb.ROLE_VIEWER,
    Role.AUTHOR: pb.ROLE_AUTHOR,
    Role.APPROVER: pb.ROLE_APPROVER,
    Role.RELEASER: pb.ROLE_RELEASER,
    Role.ADMIN: pb.ROLE_ADMIN,
}
_KINDS_READ = {number: kind for kind, number in _KINDS.items()}
_ROLES_READ = {number: role for role, number in _ROLES.items()}
IDENTITY_EVENTS = frozenset(
    {
        "join_token_created",
        "member_joined",
        "member_denied",
        "operator_created",
        "operator_revoked",
    }
)


def write_kind(kind: MemberKind) -> "pb.MemberKind.ValueType":
    """What a member is."""
    return _KINDS[kind]


def read_kind(kind: "pb.MemberKind.ValueType") -> MemberKind:
    """What a member is. Raises WireError."""
    try:
        return _KINDS_READ[kind]
    except KeyError as error:
        raise WireError("the kind of a member is missing; say enforcer or worker") from error


def write_roles(roles: Iterable[Role]) -> "list[pb.Role.ValueType]":
    """What an operator may do."""
    return [_ROLES[role] for role in roles]


def read_roles(roles: "Iterable[pb.Role.ValueType]") -> tuple[Role, ...]:
    """What an operator may do. Raises WireError."""
    try:
        return tuple(_ROLES_READ[role] for role in roles)
    except KeyError as error:
        raise WireError("a role that a newer version knows") from error


def write_member(member: Member, *, connected: bool) -> pb.Member:
    """One member, for a list."""
    return pb.Member(
        kind=write_kind(member.kind),
        name=member.name,
        generation=member.generation,
        joined_unix_nano=member.joined_at,
        denied=member.denied,
        denied_by=member.denied_by,
        reason=member.reason,
        connected=connected,
    )


def write_operator(operator: Operator) -> pb.Operator:
    """One operator, for a list. Without the token's hash."""
    return pb.Operator(
        name=operator.name,
        roles=write_roles(operator.roles),
        created_unix_nano=operator.created_at,
        created_by=operator.created_by,
        expires_unix_nano=operator.expires_at or 0,
    )


def write_identity_event(event: IdentityEvent) -> control.ControlEvent:
    """An event as it stands in the log."""
    match event:
        case JoinTokenCreated():
            return control.ControlEvent(
                join_token_created=pb.JoinTokenCreated(
                    token_id=event.token_id,
                    digest=event.digest,
                    kind=write_kind(event.kind),
                    name=event.name,
                    expires_unix_nano=event.expires_at,
                )
            )
        case MemberJoined():
            return control.ControlEvent(
                member_joined=pb.MemberJoined(
                    token_id=event.token_id,
                    kind=write_kind(event.kind),
                    name=event.name,
                    generation=event.generation,
                    public_key_digest=event.public_key_digest,
                )
            )
        case MemberDenied():
            denied = pb.MemberDenied(kind=write_kind(event.kind), name=event.name)
            return control.ControlEvent(member_denied=denied)
        case OperatorCreated():
            return control.ControlEvent(
                operator_created=pb.OperatorCreated(
                    name=event.name,
                    roles=write_roles(event.roles),
                    token_id=event.token_id,
                    digest=event.digest,
                    expires_unix_nano=event.expires_at or 0,
                )
            )
        case OperatorRevoked():
            return control.ControlEvent(operator_revoked=pb.OperatorRevoked(name=event.name))


def read_identity_event(message: control.ControlEvent) -> IdentityEvent:
    """One of the events in `IDENTITY_EVENTS`. Raises WireError."""
    match message.WhichOneof("body"):
        case "join_token_created":
            made = message.join_token_created
            return JoinTokenCreated(
                token_id=made.token_id,
                digest=made.digest,
                kind=read_kind(made.kind),
                name=made.name,
                expires_at=Instant(made.expires_unix_nano),
            )
        case "member_joined":
            joined = message.member_joined
            return MemberJoined(
                token_id=joined.token_id,
                kind=read_kind(joined.kind),
                name=joined.name,
                generation=joined.generation,
                public_key_digest=joined.public_key_digest,
            )
        case "member_denied":
            denied = message.member_denied
            return MemberDenied(kind=read_kind(denied.kind), name=denied.name)
        case "operator_created":
            created = message.operator_created
            return OperatorCreated(
                name=created.name,
                roles=read_roles(created.roles),
                token_id=created.token_id,
                digest=created.digest,
                expires_at=Instant(created.expires_unix_nano)
                if created.expires_unix_nano
                else None,
            )
        case "operator_revoked":
            return OperatorRevoked(name=message.operator_revoked.name)
        case _:
            raise WireError("an event that a newer version wrote")
