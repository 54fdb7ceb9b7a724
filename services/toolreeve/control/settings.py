"""What can be set about the control plane."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
import platformdirs
from msgspec import Meta, Struct

from toolreeve.runtime.log import Level

RoleName = Literal["viewer", "author", "approver", "releaser", "admin"]
ROLE_NAMES: tuple[RoleName, ...] = get_args(RoleName)


class OidcSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Operators who come with a token of an identity provider.

    `issuer` is its URL, `audience` what its tokens must be for. `roles` says which roles a word in
    `roles_claim` gives: by itself each word gives the role of its name.
    """

    issuer: str
    audience: str
    name_claim: str = "sub"
    roles_claim: str = "roles"
    roles: dict[str, tuple[RoleName, ...]] = msgspec.field(
        default_factory=lambda: {name: (name,) for name in ROLE_NAMES}
    )


class ApprovalHookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Approvals by signed messages over HTTP: told to `url`, voted on at `listen`; either may be
    empty. `secret_file` holds `whsec_` and base64, and is readable by its owner alone."""

    secret_file: Path
    url: Annotated[str, Meta(pattern=r"^(https?://[!-~]+)?$")] = ""
    listen: str = ""
    timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    attempts_max: Annotated[int, Meta(gt=0)] = 5
    waiting_max: Annotated[int, Meta(gt=0)] = 1_000


class ControlSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `toolreeve control`.

    `listen` may name port 0: a free one. Operators and whoever joins come there, over TLS;
    enforcers and workers come to `listen_members` with their certificates, and are told
    `members_address` when they join (its port alone where that is empty). With `plaintext` there is
    `listen` alone, nothing is encrypted and nobody is asked who they are. `prefix` names the
    subjects and streams of this installation; every replica of one control plane has the same, and
    the same authority. `names` are hosts and addresses that its certificate is good for beside its
    own. `nats_credentials` is a file to log in to NATS with, and `nats_enforcers` one to sign
    enforcers' logins with, where NATS is run by JWTs. `log_replicas` and `log_bytes_max` are for
    the stream's making and do not touch one that is there. An enforcer hears at most every
    `durable_seconds` what of its events is in the warehouse.
    """

    listen: str = "127.0.0.1:8461"
    listen_members: str = "127.0.0.1:8464"
    members_address: str = ""
    plaintext: bool = False
    trust_domain: str = "toolreeve"
    authority_key: str = ""
    authority_certificate: str = ""
    names: tuple[str, ...] = ()
    four_eyes: bool = False
    oidc: OidcSettings | None = None
    certificate_hours: Annotated[float, Meta(gt=0, le=720)] = 24.0
    nats_url: str = "nats://127.0.0.1:4222"
    nats_credentials: str = ""
    nats_enforcers: str = ""
    prefix: str = "toolreeve"
    data: str = ""
    signing_key: str = ""
    reflection: bool = False
    log_level: Level = "info"
    ready_file: str = ""
    log_replicas: Annotated[int, Meta(ge=1, le=5)] = 1
    log_bytes_max: Annotated[int, Meta(gt=0)] = 1 << 30
    policy_bytes_max: Annotated[int, Meta(gt=0, le=900_000)] = 500_000
    command_seconds_max: Annotated[float, Meta(gt=0)] = 10.0
    hello_seconds_max: Annotated[float, Meta(gt=0)] = 10.0
    streams_max: Annotated[int, Meta(gt=0)] = 20_000
    connection_age_seconds_max: Annotated[int, Meta(gt=0)] = 1_800
    stop_seconds_max: Annotated[float, Meta(ge=0)] = 3.0
    durable_seconds: Annotated[float, Meta(ge=0)] = 10.0
    approval_hook: ApprovalHookSettings | None = None

    @property
    def data_folder(self) -> Path:
        """Where the signing key lies, unless `signing_key` names another file."""
        if self.data:
            return Path(self.data)
        return Path(platformdirs.user_data_dir("toolreeve")) / "control"

    @property
    def authority_files(self) -> tuple[Path, Path]:
        """The key and the certificate of what signs members' certificates."""
        folder = self.data_folder
        key, certificate = self.authority_key, self.authority_certificate
        return (
            Path(key) if key else folder / "authority-key.pem",
            Path(certificate) if certificate else folder / "authority.pem",
        )

    @property
    def admin_token_file(self) -> Path:
        """Where the token of the first admin is left."""
        return self.data_folder / "admin-token"

    @property
    def signing_key_file(self) -> Path:
        """The private half of what enforcers pin."""
        return Path(self.signing_key) if self.signing_key else self.data_folder / "signing-key.pem"
