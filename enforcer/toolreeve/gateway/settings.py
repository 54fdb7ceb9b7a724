"""How a gateway is set up."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from platformdirs import user_data_path

from toolreeve.enforcement import Sampling
from toolreeve.proxy.http_request import HttpBounds
from toolreeve.runtime.log import Level
from toolreeve.runtime.settings import SettingsError

Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
EnforcerName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
"""Stands in a NATS subject, so it has neither dots nor blanks."""

KEPT_ARGUMENTS = ("/id", "/vm_id", "/vm_name", "/name", "/vm")


class UpstreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An MCP server behind the gateway: an address or a command, never both."""

    url: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    command: tuple[str, ...] | None = None
    environment: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    directory: Path | None = None
    policy: Path | None = None
    offer_stateless: bool = False


class AnswerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an upstream may say, and how slowly.

    `seconds_max` is for an answer, however much is said before it; streams without end have none.
    `messages_per_second` is for messages that nobody asked for, of one connection or process; one
    that sends more is read more slowly.
    """

    bytes_max: Annotated[int, Meta(ge=1 << 20)] = 256 << 20
    seconds_max: Annotated[float, Meta(gt=0)] = 3_600.0
    silence_seconds_max: Annotated[float, Meta(gt=0)] = 300.0
    messages_per_second: Annotated[float, Meta(gt=0)] = 1_000.0
    messages_burst: Annotated[int, Meta(ge=1)] = 5_000


class ControlSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where policies come from, and whose signatures are believed.

    Without `plaintext` the enforcer must have joined: `toolreeve enforcer join` leaves its
    certificate in `data`, or in `credentials` where that is named.
    """

    address: str
    keys: tuple[str, ...]
    plaintext: bool = False
    credentials: Path | None = None


class BusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events go. A user and a password stand in the URL: `nats://USER:PASSWORD@HOST:PORT`."""

    url: str
    prefix: str = "toolreeve"


class GrantSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credential for one agent: the sha256 of its bearer token, in hex."""

    grant: Name
    agent: str
    token_sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    servers: tuple[str, ...] = ()


class GatewaySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway. `grants` empty: everybody who reaches it is the implicit grant `local`, unless
    `grants_from` says that the control plane knows who may come in.

    Without `enforcer` it is called after the host at its first start, and keeps that name.
    """

    enforcer: EnforcerName | None = None
    listen: str = "127.0.0.1:8460"
    data: Path = msgspec.field(default_factory=lambda: user_data_path("toolreeve") / "gateway")
    policy: Path | None = None
    upstreams: dict[Name, UpstreamSettings] = msgspec.field(
        default_factory=dict[str, UpstreamSettings]
    )
    control: ControlSettings | None = None
    bus: BusSettings | None = None
    grants: tuple[GrantSettings, ...] = ()
    grants_from: Literal["settings", "control"] = "settings"
    labels: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    http: HttpBounds = msgspec.field(default_factory=HttpBounds)
    refusals: Sampling = msgspec.field(default_factory=Sampling)
    answers: AnswerSettings = msgspec.field(default_factory=AnswerSettings)
    keep_arguments: tuple[str, ...] = KEPT_ARGUMENTS
    audit: Literal["required", "observe"] = "required"
    keep_hours: Annotated[float, Meta(ge=0)] = 24.0
    outbox_mb_max: Annotated[int, Meta(ge=64)] = 4096
    outbox_keep_until: Literal["materialised", "published"] = "materialised"
    call_seconds_max: Annotated[float, Meta(gt=0)] = 300.0
    approval_seconds_max: Annotated[float, Meta(ge=0, le=3_600)] = 45.0
    status_seconds: Annotated[float, Meta(gt=0)] = 5.0
    ready_file: Path | None = None
    log_level: Level = "info"

    @property
    def outbox_kept_until(self) -> Literal["materialised", "published"]:
        """What must have become of events before the outbox lets go of them.

        What is materialised is known through the control plane, of what the bus has carried away.
        """
        tells = self.control is not None and self.bus is not None
        return self.outbox_keep_until if tells else "published"

    def policy_files(self) -> dict[str, Path]:
        """The policy file of each server that has one."""
        return {
            name: file
            for name, upstream in self.upstreams.items()
            if (file := upstream.policy or self.policy) is not None
        }

    def check(self, source: str) -> None:
        """Raise SettingsError for what the types cannot say."""
        for name, upstream in self.upstreams.items():
            if (upstream.url is None) == (upstream.command is None):
                problem = f"upstreams.{name} needs a url or a command"
                raise SettingsError(source, problem, "give exactly one of them")
            if upstream.command == ():
                raise SettingsError(source, f"upstreams.{name}: command is empty", "name a program")
        if self.control is not None and self.policy_files():
            problem = "policies come from files and from a control plane"
            raise SettingsError(source, problem, "remove policy, or remove [control]")
        if self.control is not None and not self.control.keys:
            problem = "control.keys is empty, so no policy could be believed"
            remedy = "add the public key that `toolreeve control` prints"
            raise SettingsError(source, problem, remedy)
        if self.grants_from == "control":
            if self.control is None:
                problem = 'grants_from is "control", and there is no control plane'
                raise SettingsError(source, problem, "add [control], or remove grants_from")
            if self.grants:
                problem = "grants come from the settings and from the control plane"
                raise SettingsError(source, problem, "remove [[grants]], or grants_from")
        unknown = {server for grant in self.grants for server in grant.servers} - set(
            self.upstreams
        )
        if unknown:
            problem = f"grants name servers that are not there: {', '.join(sorted(unknown))}"
            raise SettingsError(source, problem, "name upstreams, or add them")
        for key in ("grant", "token_sha256"):
            values = [getattr(grant, key) for grant in self.grants]
            if len(set(values)) != len(values):
                raise SettingsError(source, f"two grants have the same {key}", "change one")
