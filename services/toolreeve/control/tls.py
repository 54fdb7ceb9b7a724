"""What the control plane shows to those who connect, fresh at every handshake.

Its key is made at its start and never leaves the process; its certificate is signed anew at two
thirds of its life, and when the authority's files have changed. gRPC asks at each new connection.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from toolreeve.control.authority import Authority, AuthorityError, load_or_create
from toolreeve.decision import Instant

log = structlog.get_logger()

Now = Callable[[], Instant]
_Stamp = tuple[tuple[int, int, int], ...]


class Authorities:
    """The authority in its files, read again when they change. Safe to ask from any thread."""

    def __init__(self, key_file: Path, certificate_file: Path, trust_domain: str) -> None:
        self._files = (key_file, certificate_file)
        self._trust_domain = trust_domain
        self._lock = threading.Lock()
        self._stamp = self._stamped()
        self._authority = load_or_create(key_file, certificate_file, trust_domain, make=False)

    @property
    def now(self) -> Authority:
        """The authority as its files are now; where they cannot be read, as they were."""
        with self._lock:
            stamp = self._stamped()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._authority = load_or_create(*self._files, self._trust_domain, make=False)
                    log.info("authority.reloaded", pin=self._authority.pin)
                except AuthorityError as error:
                    log.error("authority.not_reloaded", error=str(error))
            return self._authority

    def _stamped(self) -> _Stamp:
        found: list[tuple[int, int, int]] = []
        for file in self._files:
            try:
                status = file.stat()
            except OSError:
                continue
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


class Showing:
    """One control plane's own key and certificate."""

    def __init__(
        self, authorities: Authorities, *, names: Sequence[str], life_ns: int, now: Now
    ) -> None:
        self._authorities = authorities
        self._names = names
        self._life_ns = life_ns
        self._now = now
        self._lock = threading.Lock()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self._signed_by: Authority | None = None
        self._renew_at = Instant(0)
        self._shown = self._sign(authorities.now)

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        """For a port; `mutual` asks clients for a certificate of this authority and insists."""
        last = [self._current()]

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            try:
                current = self._current()
            except Exception as error:  # noqa: BLE001  (a raise here ends in gRPC's C code)
                log.error("certificate.not_renewed", error=repr(error))
                return None
            if current is last[0]:
                return None
            last[0] = current
            return current

        fetcher: Any = fetch  # None means no change, which the stubs do not know
        return grpc.dynamic_ssl_server_credentials(
            last[0], fetcher, require_client_authentication=mutual
        )

    def _current(self) -> grpc.ServerCertificateConfiguration:
        with self._lock:
            authority = self._authorities.now
            if authority is not self._signed_by or self._now() >= self._renew_at:
                self._shown = self._sign(authority)
            return self._shown

    def _sign(self, authority: Authority) -> grpc.ServerCertificateConfiguration:
        at = self._now()
        signed = authority.sign_control(
            self._key.public_key(), names=self._names, at=at, life_ns=self._life_ns
        )
        self._signed_by = authority
        self._renew_at = Instant(at + (signed.not_after - at) * 2 // 3)
        return grpc.ssl_server_certificate_configuration(
            [(self._key_pem, signed.chain_pem)], root_certificates=authority.bundle_pem
        )
