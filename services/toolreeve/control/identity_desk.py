"""IdentityService: administrators let members and operators in, and put them out."""

from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from toolreeve.control.desk import Context, Methods, RefusedError, Submitting, guarded
from toolreeve.control.gate import Gate
from toolreeve.control.store import Store
from toolreeve.control.streams import Streams
from toolreeve.control.tls import Authorities
from toolreeve.control.tokens import JOIN, OPERATOR, new_token
from toolreeve.control.translate import read_command
from toolreeve.control.translate_identity import (
    read_kind,
    read_roles,
    write_member,
    write_operator,
    write_roles,
)
from toolreeve.decision.instant import MILLISECOND
from toolreeve.fleet.identity import MemberKind, Role
from toolreeve.fleet.identity_commands import (
    create_join_token,
    create_operator,
    deny_member,
    revoke_operator,
)
from toolreeve.v1 import identity_pb2 as pb

log = structlog.get_logger()

_SERVICE = pb.DESCRIPTOR.services_by_name["IdentityService"]
SERVICE = _SERVICE.full_name
JOIN_LIFE_MS = 3_600_000


class IdentityDesk:
    """Who is in goes into the log; only what is said once, the tokens, goes nowhere else."""

    def __init__(
        self,
        store: Store,
        streams: Streams,
        submitting: Submitting,
        gate: Gate,
        authorities: Authorities | None,
    ) -> None:
        self._store = store
        self._streams = streams
        self._submitting = submitting
        self._gate = gate
        self._authorities = authorities

    def methods(self) -> Methods:
        """What is answered here; `who_am_i` beside it asks for the caller."""
        return {
            "CreateJoinToken": self.create_join_token,
            "ListMembers": self.list_members,
            "DenyMember": self.deny_member,
            "CreateOperator": self.create_operator,
            "ListOperators": self.list_operators,
            "RevokeOperator": self.revoke_operator,
        }

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, to be added to a server."""
        methods = self.methods()
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in _SERVICE.methods:
            answer = (
                self.who_am_i
                if method.name == "WhoAmI"
                else guarded(method.name, methods[method.name], self._gate.operator)
            )
            handlers[method.name] = grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=_serialise,
            )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def create_join_token(
        self, request: pb.CreateJoinTokenRequest
    ) -> pb.CreateJoinTokenResponse:
        """Let one enforcer or worker join, once."""
        if self._authorities is None:
            raise RefusedError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "this control plane speaks in the clear and nobody joins; take out plaintext",
            )
        command = read_command(request.command)
        kind = read_kind(request.kind)
        token = new_token(JOIN, command.command_id)
        life_ns = (request.life_ms or JOIN_LIFE_MS) * MILLISECOND
        await self._submitting.submit(
            lambda state, at: create_join_token(
                state,
                command,
                kind=kind,
                name=request.name,
                token=token.proof,
                life_ns=life_ns,
                at=at,
            )
        )
        made = self._store.state.identities.join_tokens.get(token.proof.token_id)
        log.info("join_token.created", kind=kind.value, name=request.name, actor=command.actor)
        return pb.CreateJoinTokenResponse(
            token=token.text,
            expires_unix_nano=0 if made is None else made.expires_at,
            authority_sha256=self._authorities.now.pin,
        )

    async def list_members(self, _: pb.ListMembersRequest) -> pb.ListMembersResponse:
        """Everybody who ever joined."""
        members = self._store.state.identities.members.values()
        ordered = sorted(members, key=lambda one: (one.kind.value, one.name))
        return pb.ListMembersResponse(
            members=[
                write_member(one, connected=self._is_connected(one.kind, one.name))
                for one in ordered
            ]
        )

    async def deny_member(self, request: pb.DenyMemberRequest) -> pb.DenyMemberResponse:
        """Refuse a member's certificates from now on; its stream ends."""
        command = read_command(request.command)
        kind = read_kind(request.kind)
        await self._submitting.submit(
            lambda state, at: deny_member(state, command, kind=kind, name=request.name, at=at)
        )
        log.warning("member.denied", kind=kind.value, name=request.name, actor=command.actor)
        return pb.DenyMemberResponse()

    async def create_operator(self, request: pb.CreateOperatorRequest) -> pb.CreateOperatorResponse:
        """Let somebody command."""
        command = read_command(request.command)
        roles = read_roles(request.roles)
        token = new_token(OPERATOR, command.command_id)
        await self._submitting.submit(
            lambda state, at: create_operator(
                state,
                command,
                name=request.name,
                roles=roles,
                token=token.proof,
                life_ns=request.life_ms * MILLISECOND or None,
                at=at,
            )
        )
        log.info("operator.created", operator=request.name, actor=command.actor)
        made = self._store.state.identities.operators[request.name]
        return pb.CreateOperatorResponse(token=token.text, operator=write_operator(made))

    async def list_operators(self, _: pb.ListOperatorsRequest) -> pb.ListOperatorsResponse:
        """Everybody who has a token."""
        operators = self._store.state.identities.operators
        return pb.ListOperatorsResponse(
            operators=[write_operator(operators[name]) for name in sorted(operators)]
        )

    async def revoke_operator(self, request: pb.RevokeOperatorRequest) -> pb.RevokeOperatorResponse:
        """Make an operator's token worth nothing."""
        command = read_command(request.command)
        await self._submitting.submit(
            lambda state, at: revoke_operator(state, command, name=request.name, at=at)
        )
        log.info("operator.revoked", operator=request.name, actor=command.actor)
        return pb.RevokeOperatorResponse()

    async def who_am_i(self, _: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        """Whom the caller's token stands for."""
        try:
            caller = await self._gate.who(context)
        except RefusedError as error:
            await context.abort(error.code, error.text)
        roles = write_roles(role for role in Role if role in caller.roles)
        return pb.WhoAmIResponse(name=caller.name, roles=roles)

    def _is_connected(self, kind: MemberKind, name: str) -> bool:
        return kind is MemberKind.ENFORCER and self._streams.stream(name) is not None


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()
