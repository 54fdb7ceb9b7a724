"""The certificate authority of one installation: who it is, and what it signs.

Every replica has the same key and certificate, as files. A certificate says who its bearer is by a
SPIFFE id, `spiffe://TRUST_DOMAIN/enforcer/NAME`, and by the generation of its join, which stands as
serialNumber in its subject. A control plane's certificate carries `control.TRUST_DOMAIN` as a DNS
name and nobody else's does, so that members know a control plane wherever it listens.
"""

import datetime
import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.identity import MemberKind
from toolreeve.runtime.private import PrivateFileError, create_private, read_private

TRUST_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9][a-z0-9-]{0,62})*")
AUTHORITY_DAYS = 3_650
BACKDATED_SECONDS = 300
"""Clocks differ: a certificate is good from a little before it was made."""
REQUEST_BYTES_MAX = 8 * 1024

PublicKey = ec.EllipticCurvePublicKey


class AuthorityError(Exception):
    """The authority's files cannot be used. Says what is wrong and what to do."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


class RequestError(ValueError):
    """A certificate request that is none, or that asks with a key we do not sign."""


class Signed(Struct, frozen=True):
    """A certificate with the authority's behind it, and its span."""

    chain_pem: bytes
    not_before: Instant
    not_after: Instant


class Authority:
    """What signs certificates. `bundle_pem` are all authorities that members are to believe."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        certificates: Sequence[x509.Certificate],
        trust_domain: str,
    ) -> None:
        self._key = key
        self._own = certificates[0]
        self._own_pem = self._own.public_bytes(serialization.Encoding.PEM)
        self.trust_domain = trust_domain
        self.bundle_pem = b"".join(
            one.public_bytes(serialization.Encoding.PEM) for one in certificates
        )
        self.pin = public_key_digest(key.public_key()).hex()
        """sha256 of the public key, in hex: what whoever joins was told beforehand."""

    def sign_member(
        self,
        public_key: PublicKey,
        *,
        kind: MemberKind,
        name: str,
        generation: int,
        at: Instant,
        life_ns: int,
    ) -> Signed:
        """A certificate that a client proves itself with, and nothing else.

        A worker's also serves queries, as `worker.TRUST_DOMAIN`.
        """
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, name),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, str(generation)),
            ]
        )
        uri = x509.UniformResourceIdentifier(f"spiffe://{self.trust_domain}/{kind.value}/{name}")
        names: list[x509.GeneralName] = [uri]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if kind is MemberKind.WORKER:
            names.append(x509.DNSName(f"worker.{self.trust_domain}"))
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        return self._sign(subject, public_key, names, usages, at=at, life_ns=life_ns)

    def sign_control(
        self, public_key: PublicKey, *, names: Sequence[str], at: Instant, life_ns: int
    ) -> Signed:
        """A control plane's certificate, also good for the hosts and addresses in `names`."""
        own = f"control.{self.trust_domain}"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, own)])
        alternatives: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(f"spiffe://{self.trust_domain}/control"),
            *map(_general_name, dict.fromkeys([own, *names])),
        ]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        return self._sign(subject, public_key, alternatives, usages, at=at, life_ns=life_ns)

    def _sign(
        self,
        subject: x509.Name,
        public_key: PublicKey,
        alternatives: Sequence[x509.GeneralName],
        usages: Sequence[x509.ObjectIdentifier],
        *,
        at: Instant,
        life_ns: int,
    ) -> Signed:
        ends = min(at + life_ns, _nanoseconds(self._own.not_valid_after_utc))
        first = at // SECOND - BACKDATED_SECONDS
        last = ends // SECOND
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._own.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_utc(first))
            .not_valid_after(_utc(last))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._own_public()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return Signed(pem + self._own_pem, Instant(first * SECOND), Instant(last * SECOND))

    def _own_public(self) -> PublicKey:
        return self._key.public_key()


def read_request(der: bytes) -> PublicKey:
    """The public key of a PKCS #10 request that was made by its private half.

    Raises RequestError. What else the request asks for is not looked at.
    """
    if len(der) > REQUEST_BYTES_MAX:
        raise RequestError(f"the certificate request has more than {REQUEST_BYTES_MAX} bytes")
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        proved = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise RequestError("the certificate request is not PKCS #10 in DER") from error
    if not proved:
        raise RequestError("the certificate request is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestError("the certificate request's key is not one on P-256")
    return key


def public_key_digest(key: PublicKey) -> bytes:
    """The sha256 by which the log remembers a public key."""
    return sha256(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).digest()


def load_or_create(
    key_file: Path, certificate_file: Path, trust_domain: str, *, make: bool
) -> Authority:
    """The authority in these files; with `make`, what is missing is made. Raises AuthorityError.

    `certificate_file` may hold several certificates: the first is the key's own, all are believed.
    """
    if TRUST_DOMAIN.fullmatch(trust_domain) is None:
        problem = f"{trust_domain!r} cannot be a trust domain"
        raise AuthorityError(certificate_file, problem, "use lower-case letters, digits and dots")
    if make and not certificate_file.exists():
        _make(key_file, certificate_file, trust_domain)
    try:
        pem = read_private(key_file)
        certificates = x509.load_pem_x509_certificates(certificate_file.read_bytes())
    except PrivateFileError as error:
        raise AuthorityError(error.path, error.problem, error.remedy) from error
    except (OSError, ValueError) as error:
        raise AuthorityError(
            certificate_file,
            f"no certificate in PEM can be read: {error}",
            "restore it beside its key, from where both were made",
        ) from error
    key = _private_key(key_file, pem)
    _check(certificate_file, key, certificates, trust_domain)
    return Authority(key, certificates, trust_domain)


def _private_key(path: Path, pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        problem = "not an unencrypted PEM private key"
        raise AuthorityError(path, problem, "restore the authority's key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityError(path, "not a key on an elliptic curve", "use one on P-256")
    return key


def _check(
    path: Path,
    key: ec.EllipticCurvePrivateKey,
    certificates: Sequence[x509.Certificate],
    trust_domain: str,
) -> None:
    own = certificates[0]
    if own.public_key() != key.public_key():
        problem = "its first certificate is not that of the authority's key"
        raise AuthorityError(path, problem, "put the key's own certificate first")
    try:
        constraints = own.extensions.get_extension_for_class(x509.BasicConstraints).value
        signs = constraints.ca
    except x509.ExtensionNotFound:
        signs = False
    if not signs:
        raise AuthorityError(path, "its first certificate may sign no others", "give a CA's")
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    if f"spiffe://{trust_domain}" not in uris:
        raise AuthorityError(
            path,
            f"its first certificate is not that of the trust domain {trust_domain!r}",
            f"set trust_domain, or make one with the URI spiffe://{trust_domain}",
        )


def _make(key_file: Path, certificate_file: Path, trust_domain: str) -> None:
    """Make a key where there is none, and a certificate for what stands there.

    Of two replicas that start at once on one folder the first wins, with either file.
    """
    fresh = ec.generate_private_key(ec.SECP256R1())
    pem = fresh.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        with suppress(FileExistsError):
            create_private(key_file, pem)
        key = _private_key(key_file, read_private(key_file))
        with suppress(FileExistsError):
            create_private(certificate_file, _self_signed(key, trust_domain))
        certificate_file.chmod(0o644)  # clients of other users on this machine are to believe it
    except PrivateFileError as error:
        raise AuthorityError(error.path, error.problem, error.remedy) from error
    except OSError as error:
        problem = f"the authority cannot be written: {error.strerror}"
        raise AuthorityError(key_file, problem, "make its folder writable") from error


def _self_signed(key: ec.EllipticCurvePrivateKey, trust_domain: str) -> bytes:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"toolreeve {trust_domain}")])
    uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(seconds=BACKDATED_SECONDS))
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def _utc(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _nanoseconds(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) * SECOND
