"""How a member comes to its credentials, and to the next ones.

Keys are made here and stay here; what goes out is a certificate request and a public nkey.
"""

import asyncio
import random
import socket
import ssl
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision import Instant
from toolreeve.runtime.address import split_address
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.credentials import (
    FILE,
    Credentials,
    read_credentials,
    write_credentials,
)
from toolreeve.runtime.nkeys import Nkey, NkeyKind
from toolreeve.runtime.settings import SettingsError
from toolreeve.sync.secure import member_channel
from toolreeve.v1 import identity_pb2 as pb

log = structlog.get_logger()

SERVICE = pb.DESCRIPTOR.services_by_name["JoinService"].full_name
JOIN = f"/{SERVICE}/Join"
RENEW = f"/{SERVICE}/Renew"
ANSWER_SECONDS_MAX = 20.0
RETRY_SECONDS_MAX = 60.0
LOOK_SECONDS = 30.0
"""A clock that is set forward is noticed after so long."""
KINDS = {pb.MEMBER_KIND_ENFORCER: "enforcer", pb.MEMBER_KIND_WORKER: "worker"}


class JoinError(Exception):
    """A member was not let in, or cannot tell whom it speaks to. Says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class Asking(Struct, frozen=True):
    """What credentials are asked for with, and the halves that are kept."""

    key: str
    request: bytes
    nats: Nkey


def new_asking() -> Asking:
    """New keys, and the request for a certificate over one of them."""
    from cryptography import x509  # noqa: PLC0415  (a start needs none of it)
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Asking(
        pem.decode(), request.public_bytes(serialization.Encoding.DER), Nkey.generate(NkeyKind.USER)
    )


def join(address: str, *, token: str, pin: str) -> Credentials:
    """Join at a control plane that has the authority whose key's sha256 is `pin`.

    Raises JoinError. The token is sent to nobody else.
    """
    authority = pinned_authority(address, pin)
    asking = new_asking()
    request = pb.JoinRequest(
        token=token, certificate_request=asking.request, nats_public_key=asking.nats.public
    )
    credentials = grpc.ssl_channel_credentials(authority)
    options = [("grpc.ssl_target_name_override", control_name(authority))]
    with grpc.secure_channel(address, credentials, options=options) as channel:
        method: grpc.UnaryUnaryMultiCallable[pb.JoinRequest, pb.JoinResponse] = channel.unary_unary(
            JOIN,
            request_serializer=pb.JoinRequest.SerializeToString,
            response_deserializer=pb.JoinResponse.FromString,
        )
        try:
            answer = method(request, timeout=ANSWER_SECONDS_MAX)
        except grpc.RpcError as error:
            raise _refused(address, error) from error
    joined = _credentials(answer.credentials, asking)
    if joined.members_address.startswith(":"):
        host, _ = split_address(address)
        return _at(joined, f"{host}{joined.members_address}")
    return joined


async def renew(address: str, credentials: Credentials) -> Credentials:
    """The next credentials of the same member. Raises JoinError."""
    asking = await asyncio.to_thread(new_asking)
    request = pb.RenewRequest(
        certificate_request=asking.request, nats_public_key=asking.nats.public
    )
    channel = member_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1)])
    async with channel:
        method: grpc.aio.UnaryUnaryMultiCallable[pb.RenewRequest, pb.RenewResponse] = (
            channel.unary_unary(
                RENEW,
                request_serializer=pb.RenewRequest.SerializeToString,
                response_deserializer=pb.RenewResponse.FromString,
            )
        )
        try:
            answer = await method(request, timeout=ANSWER_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            raise _refused(address, error) from error
    renewed = _credentials(answer.credentials, asking)
    if (renewed.kind, renewed.name) != (credentials.kind, credentials.name):
        raise JoinError(
            f"{address} answered with the credentials of {renewed.kind} {renewed.name!r}",
            "look at what listens there",
        )
    return _at(renewed, credentials.members_address)


def speaks_as(member: str, name: str) -> bool:
    """Whether a member's certificate is good for an enforcer of this name: its own, and those of
    the wrappers that run under it."""
    return name == member or name.startswith(f"{member}-")


def joined(
    folder: Path, *, kind: str, name: str, addresses: Sequence[str], clock: Clock, unless: str
) -> "Renewing":
    """What keeps the credentials fresh that a member has in its folder.

    Raises SettingsError where it has none, or another's; `unless` names the setting by which it
    could do without.
    """
    source = str(folder / FILE)
    credentials = read_credentials(folder)
    remedy = f"join with 'toolreeve enforcer join --data {folder}'"
    if credentials is None:
        problem = f"this {kind} has not joined the control plane"
        remedy += f", or set {unless} = true on a trusted network"
        raise SettingsError(source, problem, remedy)
    if credentials.kind != kind or not speaks_as(credentials.name, name):
        problem = f"these are the credentials of {credentials.kind} {credentials.name!r}"
        raise SettingsError(source, f"{problem}, and this is {kind} {name!r}", remedy)
    return Renewing(folder, addresses, credentials, clock)


class Renewing:
    """Keeps one member's credentials fresh: in its folder, and in `now` for who connects next."""

    def __init__(
        self, folder: Path, addresses: Sequence[str], credentials: Credentials, clock: Clock
    ) -> None:
        self._folder = folder
        self._addresses = addresses
        self._credentials = credentials
        self._clock = clock

    @property
    def now(self) -> Credentials:
        """The credentials to connect with now."""
        return self._credentials

    async def run(self) -> NoReturn:
        """Renew at two thirds of each life, for ever; what fails is tried again."""
        failures = 0
        while True:
            left = (self._credentials.renew_at - self._clock.now()) / 1e9
            if left > 0:
                await asyncio.sleep(min(left, LOOK_SECONDS))
                continue
            try:
                address = self._addresses[failures % len(self._addresses)]
                renewed = await renew(address, self._credentials)
                await asyncio.to_thread(write_credentials, self._folder, renewed)
            except (JoinError, OSError) as error:
                failures += 1
                expired = self._clock.now() >= self._credentials.expires_at
                say = log.error if expired or failures > 3 else log.warning
                say("credentials.not_renewed", expired=expired, problem=str(error))
                bound = min(RETRY_SECONDS_MAX, 0.5 * 2 ** min(failures, 10))
                await asyncio.sleep(bound * random.uniform(0.5, 1))  # noqa: S311  (spreads load)
            else:
                failures = 0
                self._credentials = renewed
                log.info("credentials.renewed", expires_unix_nano=renewed.expires_at)


def pinned_authority(address: str, pin: str) -> bytes:
    """The certificate (PEM) that `address` shows with a key of this sha256. Raises JoinError.

    Nothing is believed of what is shown but that one certificate, and it by its hash alone.
    """
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    wanted = pin.strip().lower().removeprefix("sha256:")
    for der in _shown(address):
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if sha256(key).hexdigest() == wanted:
            return certificate.public_bytes(serialization.Encoding.PEM)
    raise JoinError(
        f"{address} does not have the authority with this pin",
        "compare the pin; if it is right, somebody else answers there",
    )


def control_name(authority: bytes) -> str:
    """What a control plane of this authority is called in its certificate. Raises JoinError."""
    return f"control.{trust_domain(authority)}"


def trust_domain(authority: bytes) -> str:
    """What an authority is the authority of. Raises JoinError."""
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificate(authority)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    for uri in uris:
        if uri.startswith("spiffe://"):
            return uri.removeprefix("spiffe://")
    raise JoinError("the authority names no trust domain", "give the authority of a control plane")


def _shown(address: str) -> list[bytes]:
    """The certificates that a listener shows, unverified."""
    host, port = split_address(address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=ANSWER_SECONDS_MAX) as plain,
            context.wrap_socket(plain) as secured,
        ):
            socket_of: Any = secured
            if not hasattr(socket_of, "get_unverified_chain"):  # public since Python 3.13
                socket_of = socket_of._sslobj  # noqa: SLF001
            shown: list[Any] = socket_of.get_unverified_chain() or []
            return [one if isinstance(one, bytes) else _der(one) for one in shown]
    except ssl.SSLError as error:
        raise JoinError(
            f"{address} does not speak TLS: {error.reason or error}",
            "give the address where the control plane listens for operators",
        ) from error
    except OSError as error:
        raise JoinError(
            f"nothing answers at {address}: {error.strerror or error}", "check the address"
        ) from error


def _der(certificate: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())


def _credentials(answer: pb.Credentials, asking: Asking) -> Credentials:
    return Credentials(
        kind=KINDS.get(answer.kind, ""),
        name=answer.name,
        trust_domain=answer.trust_domain,
        key=asking.key,
        chain=answer.certificate_chain.decode(),
        authorities=answer.authorities.decode(),
        issued_at=Instant(answer.issued_unix_nano),
        expires_at=Instant(answer.expires_unix_nano),
        members_address=answer.members_address,
        signing_keys=tuple(answer.signing_keys),
        nats_seed=asking.nats.seed if answer.nats_jwt else "",
        nats_jwt=answer.nats_jwt,
    )


def _at(credentials: Credentials, address: str) -> Credentials:
    return replace(credentials, members_address=address)


def _refused(address: str, error: grpc.RpcError) -> JoinError:
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return JoinError(
            f"no control plane answers at {address}: {error.details()}",
            "see that it runs, and that its authority is the one that was pinned",
        )
    problem, _, remedy = (error.details() or error.code().name).partition("; ")
    return JoinError(problem, remedy or "see the control plane's log")
