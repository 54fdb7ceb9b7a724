"""Who is let through to which method.

Members prove themselves with a certificate: gRPC has checked that our authority signed it, here it
is asked whose it is, and whether that member is still in. Operators present a token. In the clear,
where the operator of the installation has said so, everybody is believed.
"""

import datetime
from collections.abc import Awaitable, Callable
from functools import lru_cache
from hmac import compare_digest
from typing import Any

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf.message import Message
from msgspec import Struct

from toolreeve.control.desk import Context, RefusedError
from toolreeve.control.tokens import OPERATOR, proof_of
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet import State
from toolreeve.fleet.identity import MemberKind, Role

BEARER = "Bearer "
TOKEN_CHARACTERS_MAX = 8 * 1024
CERTIFICATES_KNOWN = 8_192
"""How many certificates are read once only: a member shows its own with every call."""

EVERYBODY = frozenset(Role)
ROLES: dict[str, frozenset[Role]] = {
    "SubmitPolicy": frozenset({Role.AUTHOR}),
    "PublishPolicy": frozenset({Role.RELEASER}),
    "StartRollout": frozenset({Role.RELEASER}),
    "ChangeRollout": frozenset({Role.RELEASER}),
    # To stop something is easier than to let it go again.
    "PlaceHold": frozenset({Role.AUTHOR, Role.APPROVER, Role.RELEASER}),
    "ReleaseHold": frozenset({Role.RELEASER}),
    "DecideApproval": frozenset({Role.APPROVER}),
    "WhoAmI": EVERYBODY,
    "ListMembers": EVERYBODY,
    "ListOperators": frozenset(),
}
"""Who else than an admin may call a method. One that is not named: whoever is anybody where it
only reads, and an admin alone where it does not."""

READING = ("Get", "List", "Watch")


class Caller(Struct, frozen=True, kw_only=True):
    """An operator, or a program that speaks for one."""

    name: str
    roles: frozenset[Role]


class Member(Struct, frozen=True, kw_only=True):
    """Whoever bears a certificate that is good until `expires_at`."""

    kind: MemberKind
    name: str
    generation: int
    expires_at: Instant


class Gate:
    """Asks everybody who they are, by the state of this moment.

    `trust_domain` None: in the clear, where nobody can prove anything and everybody is believed.
    """

    def __init__(
        self, state: Callable[[], State], now: Callable[[], Instant], *, trust_domain: str | None
    ) -> None:
        self._state = state
        self._now = now
        self._trust_domain = trust_domain
        self.also: list[Callable[[str], Awaitable[Caller | None]]] = []
        """Others who may know a bearer's token: each is awaited with it, and answers a Caller or
        None, or raises RefusedError."""

    async def operator(self, method: str, request: Message, context: Context) -> None:
        """Return where whoever calls may call `method`, and have the request's command say who.

        Raises RefusedError.
        """
        if self._trust_domain is None:
            return
        caller = await self._caller(context)
        if not may(caller.roles, method):
            needed = sorted(role.value for role in {*roles_for(method), Role.ADMIN})
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{caller.name} may not {method}; it takes one of the roles {', '.join(needed)}",
            )
        if "command" in request.DESCRIPTOR.fields_by_name:
            command: Any = request
            command.command.actor = caller.name

    async def who(self, context: Context) -> Caller:
        """Who calls. Raises RefusedError."""
        if self._trust_domain is None:
            return Caller(name="everybody", roles=EVERYBODY)
        return await self._caller(context)

    def member(self, context: Context, kind: MemberKind | None) -> Member | None:
        """Who connects with a certificate; None in the clear. Raises RefusedError.

        `kind` None: a member of whichever kind.
        """
        if self._trust_domain is None:
            return None
        pem: list[bytes] = [*(context.auth_context().get("x509_pem_cert") or ())]
        if not pem:
            raise _unknown("no certificate was shown; join, and connect to the address for members")
        try:
            member = read_member(pem[0], self._trust_domain)
        except ValueError as error:
            raise _unknown(str(error)) from error
        if kind is not None and member.kind is not kind:
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"this takes a certificate of kind {kind.value}, and the one shown is of kind"
                f" {member.kind.value}; use the other",
            )
        self._check_member(member)
        return member

    def _check_member(self, member: Member) -> None:
        who = f"{member.kind.value} {member.name!r}"
        known = self._state().identities.members.get((member.kind, member.name))
        if known is None:
            raise _unknown(f"{who} has never joined here; join again")
        if known.denied:
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{who} is denied: {known.reason}; it may join again with a new token",
            )
        if member.generation != known.generation:
            raise _unknown(f"{who} has joined again since this certificate was made; join again")
        if self._now() >= member.expires_at:
            raise _unknown(f"the certificate of {who} has expired; join again")

    async def _caller(self, context: Context) -> Caller:
        text = _bearer(context)
        proof = proof_of(text, OPERATOR)
        if proof is not None:
            operator = self._state().identities.operator_of(proof.token_id)
            if operator is None or not compare_digest(operator.digest, proof.digest):
                raise _unknown("this token is not known, or was revoked; ask an admin for another")
            if operator.expires_at is not None and self._now() >= operator.expires_at:
                raise _unknown("this token has expired; ask an admin for another")
            return Caller(name=operator.name, roles=frozenset(operator.roles))
        for ask in self.also:
            caller = await ask(text)
            if caller is not None:
                return caller
        raise _unknown("this is no token of ours; ask an admin for one")


def may(roles: frozenset[Role], method: str) -> bool:
    """Whether somebody with these roles may call a method."""
    return Role.ADMIN in roles or bool(roles & roles_for(method))


def roles_for(method: str) -> frozenset[Role]:
    """Who else than an admin may call it."""
    if method in ROLES:
        return ROLES[method]
    return EVERYBODY if method.startswith(READING) else frozenset()


@lru_cache(maxsize=CERTIFICATES_KNOWN)
def read_member(pem: bytes, trust_domain: str) -> Member:
    """Whose certificate this is. Raises ValueError for one that is no member's of this domain."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        extensions = certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise ValueError("the certificate names nobody; join for one of ours") from error
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise ValueError("the certificate is not for a client; join for one of ours")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    begin = f"spiffe://{trust_domain}/"
    if len(uris) != 1 or not uris[0].startswith(begin):
        raise ValueError(f"the certificate is not one of the trust domain {trust_domain}; join")
    kind, _, name = uris[0].removeprefix(begin).partition("/")
    serials = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    text = str(serials[0].value) if serials else ""
    if kind not in {one.value for one in MemberKind} or not name or not text.isdecimal():
        raise ValueError("the certificate is no member's; join for one of ours")
    ends: datetime.datetime = certificate.not_valid_after_utc
    return Member(
        kind=MemberKind(kind),
        name=name,
        generation=int(text),
        expires_at=Instant(int(ends.timestamp()) * SECOND),
    )


def _bearer(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            if not value.startswith(BEARER) or len(value) > TOKEN_CHARACTERS_MAX:
                break
            return value.removeprefix(BEARER).strip()
    raise _unknown("no token was presented; set TOOLREEVE_TOKEN, or log in")


def _unknown(text: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.UNAUTHENTICATED, text)
