"""What a control plane needs to speak TLS: its authority, what it shows, what it signs."""

from collections.abc import Callable
from pathlib import Path

from toolreeve.control.authority import load_or_create
from toolreeve.control.nats_accounts import EnforcerLogins
from toolreeve.control.server import names_of
from toolreeve.control.settings import ControlSettings
from toolreeve.control.tls import Authorities, Now, Showing
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.identity import MemberKind

NatsLogin = Callable[[MemberKind, str, str, Instant], str]
"""A NATS user's JWT for a member of a kind and name, over a public nkey, until an instant."""


class Transport:
    """The means of one control plane. `members_address` is what members are told to connect to."""

    def __init__(self, settings: ControlSettings, now: Now) -> None:
        key_file, certificate_file = settings.authority_files
        self.life_ns = int(settings.certificate_hours * 3_600 * SECOND)
        self.authorities = Authorities(key_file, certificate_file, settings.trust_domain)
        self.showing = Showing(
            self.authorities, names=names_of(settings), life_ns=self.life_ns, now=now
        )
        self.members_address = settings.members_address
        self.nats_login: NatsLogin | None = None
        if settings.nats_enforcers:
            self.nats_login = EnforcerLogins.load(Path(settings.nats_enforcers)).login

    def listening(self, address: str) -> None:
        """Tell members the port that was bound, where nothing else is to be told."""
        if not self.members_address:
            self.members_address = f":{address.rpartition(':')[2]}"


def open_transport(settings: ControlSettings, now: Now) -> Transport | None:
    """The transport of these settings, None for one in the clear. Raises AuthorityError."""
    if settings.plaintext:
        return None
    ours = not settings.authority_key and not settings.authority_certificate
    load_or_create(*settings.authority_files, settings.trust_domain, make=ours)
    return Transport(settings, now)
