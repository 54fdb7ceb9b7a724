"""What a member of the fleet proves itself with, kept with its data.

The private key, the certificate over it and the NATS login lie in one file, so that a crash in the
middle of a renewal leaves the old ones or the new ones, and never a key without its certificate.
Reading it loads no cryptography.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.runtime.private import PrivateFileError, read_private, replace_private
from toolreeve.runtime.settings import SettingsError

FILE = "credentials.json"
_JOIN = "join again with 'toolreeve enforcer join'"


class Credentials(Struct, frozen=True, kw_only=True):
    """One join or renewal. `kind` and `name` are those of the certificate; PEM stands as text.

    `nats_jwt` is empty where the bus is not run by JWTs.
    """

    kind: str
    name: str
    trust_domain: str
    key: str
    chain: str
    authorities: str
    issued_at: Instant
    expires_at: Instant
    members_address: str
    signing_keys: tuple[str, ...] = ()
    nats_seed: str = ""
    nats_jwt: str = ""

    @property
    def renew_at(self) -> Instant:
        """When two thirds of its life are over."""
        return Instant(self.issued_at + (self.expires_at - self.issued_at) * 2 // 3)

    @property
    def control_name(self) -> str:
        """What every control plane's certificate says it is."""
        return f"control.{self.trust_domain}"


def read_credentials(folder: Path) -> Credentials | None:
    """What this member joined with; None where it never did. Raises SettingsError."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_private(path), type=Credentials)
    except PrivateFileError as error:
        raise SettingsError(str(error.path), error.problem, error.remedy) from error
    except msgspec.MsgspecError as error:
        raise SettingsError(str(path), f"these are no credentials: {error}", _JOIN) from error


def write_credentials(folder: Path, credentials: Credentials) -> None:
    """Keep them, whole, in place of earlier ones. Raises OSError."""
    replace_private(folder / FILE, msgspec.json.encode(credentials) + b"\n")
