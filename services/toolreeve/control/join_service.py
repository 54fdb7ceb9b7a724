"""JoinService: a token, once, for a certificate; and a certificate for the next one."""

from collections.abc import Sequence
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from msgspec import Struct

from toolreeve.control.authority import (
    PublicKey,
    RequestError,
    public_key_digest,
    read_request,
)
from toolreeve.control.desk import Context, RefusedError, Submitting, guarded
from toolreeve.control.gate import Gate
from toolreeve.control.tokens import JOIN, proof_of
from toolreeve.control.translate_identity import write_kind
from toolreeve.control.transport import Transport
from toolreeve.decision import Instant
from toolreeve.fleet import Command, Commit, State
from toolreeve.fleet.identity import MemberJoined, MemberKind
from toolreeve.fleet.identity_commands import JoinRefusedError, Proof, join
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.nkeys import NkeyError, NkeyKind, check_public
from toolreeve.v1 import identity_pb2 as pb

log = structlog.get_logger()

SERVICE = pb.DESCRIPTOR.services_by_name["JoinService"].full_name


class Bearer(Struct, frozen=True, kw_only=True):
    """Whom a certificate is to name."""

    kind: MemberKind
    name: str
    generation: int


class JoinService:
    """Signs what it is asked to for those who may ask."""

    def __init__(
        self,
        submitting: Submitting,
        gate: Gate,
        clock: Clock,
        transport: Transport,
        *,
        signing_keys: Sequence[str],
    ) -> None:
        self._submitting = submitting
        self._gate = gate
        self._clock = clock
        self._transport = transport
        self._signing_keys = signing_keys

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, to be added to a server."""
        joining = guarded("Join", self.join, _everybody)
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Join": grpc.unary_unary_rpc_method_handler(
                    joining,
                    request_deserializer=pb.JoinRequest.FromString,
                    response_serializer=_serialise,
                ),
                "Renew": grpc.unary_unary_rpc_method_handler(
                    self._renewing,
                    request_deserializer=pb.RenewRequest.FromString,
                    response_serializer=_serialise,
                ),
            },
        )

    async def join(self, request: pb.JoinRequest) -> pb.JoinResponse:
        """Let in whoever has an unused token; from the commit on it is used."""
        key = _read_request(request.certificate_request)
        _check_nkey(request.nats_public_key)
        proof = proof_of(request.token, JOIN)
        if proof is None:
            raise RefusedError(
                grpc.StatusCode.UNAUTHENTICATED,
                "this is no join token; have one made with 'toolreeve enforcer token'",
            )
        member = await self._join(proof, key)
        log.info("member.joined", kind=member.kind.value, name=member.name)
        return pb.JoinResponse(credentials=self._credentials(member, key, request.nats_public_key))

    async def _join(self, proof: Proof, key: PublicKey) -> Bearer:
        digest = public_key_digest(key)
        command = Command(
            command_id=f"join-{proof.token_id}-{digest.hex()[:16]}", actor="join", reason=""
        )
        joined: list[MemberJoined] = []

        def decide(state: State, at: Instant) -> Commit:
            commit = join(state, command, token=proof, public_key_digest=digest, at=at)
            joined[:] = [one for one in commit.events if isinstance(one, MemberJoined)]
            return commit

        try:
            await self._submitting.submit(decide)
        except JoinRefusedError as error:
            log.warning("join.refused", token_id=proof.token_id, problem=error.problem)
            raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
        return Bearer(kind=joined[0].kind, name=joined[0].name, generation=joined[0].generation)

    async def _renewing(self, request: pb.RenewRequest, context: Context) -> Message:
        """Answer a member that is still in with its next credentials."""

        async def renew(request: pb.RenewRequest) -> Message:
            key = _read_request(request.certificate_request)
            _check_nkey(request.nats_public_key)
            shown = self._gate.member(context, None)
            assert shown is not None, "nobody joins in the clear"
            member = Bearer(kind=shown.kind, name=shown.name, generation=shown.generation)
            answer = self._credentials(member, key, request.nats_public_key)
            log.info("credentials.signed", kind=member.kind.value, name=member.name)
            return pb.RenewResponse(credentials=answer)

        return await guarded("Renew", renew, _everybody)(request, context)

    def _credentials(self, member: Bearer, key: PublicKey, nats_key: str) -> pb.Credentials:
        transport = self._transport
        authority = transport.authorities.now
        at = self._clock.now()
        signed = authority.sign_member(
            key,
            kind=member.kind,
            name=member.name,
            generation=member.generation,
            at=at,
            life_ns=transport.life_ns,
        )
        login = ""
        if nats_key and transport.nats_login is not None:
            login = transport.nats_login(member.kind, member.name, nats_key, signed.not_after)
        return pb.Credentials(
            kind=write_kind(member.kind),
            name=member.name,
            trust_domain=authority.trust_domain,
            certificate_chain=signed.chain_pem,
            authorities=authority.bundle_pem,
            issued_unix_nano=at,
            expires_unix_nano=signed.not_after,
            signing_keys=self._signing_keys,
            members_address=transport.members_address,
            nats_jwt=login,
        )


def _read_request(raw: bytes) -> PublicKey:
    try:
        return read_request(raw)
    except RequestError as error:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _check_nkey(text: str) -> None:
    if text:
        try:
            check_public(text, NkeyKind.USER)
        except NkeyError as error:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


async def _everybody(name: str, request: Any, context: Context) -> None:
    """What is asked here carries its own proof."""


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()
