"""What an enforcer and the control plane say to each other, as values and as messages.

One message is one `SubscribeRequest` ("up", from the enforcer) or `SubscribeResponse` ("down").
Both ends read strictly where a wrong word would cost trust, and skip members that are newer than
they are.
"""

from collections.abc import Mapping
from enum import Enum
from typing import assert_never

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.decision import Instant
from toolreeve.decision.approval import ApprovalAsk, ApprovalNews, PermitAnswer, PermitClaim
from toolreeve.decision.evidence import Evidence
from toolreeve.decision.lease import LeaseAsk, LeaseGiven
from toolreeve.policy.sign import Envelope
from toolreeve.v1 import fleet_pb2 as pb
from toolreeve.wire.approvals import (
    read_ask,
    read_claim,
    read_news,
    read_permit,
    write_ask,
    write_claim,
    write_news,
    write_permit,
)
from toolreeve.wire.durable import (
    Durable,
    Resend,
    read_place,
    read_resend,
    read_spans,
    write_place,
    write_resend,
    write_spans,
)
from toolreeve.wire.envelope import read_envelope, write_envelope
from toolreeve.wire.errors import WireError
from toolreeve.wire.grants import GrantOrder, read_grant_order, write_grant_order
from toolreeve.wire.hold_order import HoldOrder, read_order, write_order
from toolreeve.wire.lease import (
    read_lease_asked,
    read_lease_given,
    write_lease_asked,
    write_lease_given,
)
from toolreeve.wire.rollout import read_evidence, write_evidence

_SERVICE = pb.DESCRIPTOR.services_by_name["FleetService"]
SERVICE = _SERVICE.full_name
SUBSCRIBE = f"/{SERVICE}/{_SERVICE.methods_by_name['Subscribe'].name}"
FETCH_REVISION = f"/{SERVICE}/{_SERVICE.methods_by_name['FetchRevision'].name}"

NAME_MAX = 256
"""Characters in the name of an enforcer, a server, a policy or a label."""
TEXT_MAX = 4096
"""Characters in a reason; a longer one is cut when it is written."""
SERVERS_MAX = 1024
LABELS_MAX = 64
UP_BYTES_MAX = 64 * 1024
"""Bytes in anything an enforcer says."""


class RunningPolicy(Struct, frozen=True, kw_only=True):
    """One server's policy on one enforcer. `manifest_sequence` is 0 for a policy from a file."""

    server: str
    policy: str = ""
    revision: str
    manifest_sequence: int = 0


class Hello(Struct, frozen=True, kw_only=True):
    """Who is there and what it runs. The first message up; `servers` are its upstreams' names."""

    enforcer_id: str
    software_version: str
    host: str
    servers: tuple[str, ...]
    running: tuple[RunningPolicy, ...] = ()
    labels: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    epoch: int = 0


class Stage(Enum):
    """How far a revision has come: on disk and verified, or in force."""

    RECEIVED = "received"
    ACTIVATED = "activated"


class Ack(Struct, frozen=True, kw_only=True):
    """A revision was taken."""

    server: str
    policy: str
    revision: str
    manifest_sequence: int
    stage: Stage


class Nack(Struct, frozen=True, kw_only=True):
    """A revision was refused; what ran before still runs. `code` is a stable word."""

    server: str
    policy: str = ""
    revision: str = ""
    manifest_sequence: int = 0
    code: str
    reason: str


class Status(Struct, frozen=True, kw_only=True):
    """How an enforcer's outbox stands: the last event on disk, and the last JetStream has.

    `allowed` and `denied` are the decisions among the epoch's events up to `sequence`. Behind
    `kept_after`, where the chain's head was `kept_after_head`, the outbox still has everything.
    """

    epoch: int
    sequence: int
    head: bytes
    published_sequence: int
    outbox_bytes: int
    allowed: int = 0
    denied: int = 0
    at: Instant
    kept_after: Position = Position(0, 0)
    kept_after_head: bytes = b""


Up = Hello | Ack | Nack | Status | Evidence | LeaseAsk | ApprovalAsk | PermitClaim
Down = (
    Envelope | HoldOrder | GrantOrder | Durable | Resend | LeaseGiven | ApprovalNews | PermitAnswer
)

_STAGES = {Stage.RECEIVED: pb.ACK_STAGE_RECEIVED, Stage.ACTIVATED: pb.ACK_STAGE_ACTIVATED}
_READ_STAGES = {number: stage for stage, number in _STAGES.items()}


def write_up(message: Up) -> bytes:
    """What an enforcer says, as the bytes of a SubscribeRequest."""
    match message:
        case Hello():
            said = pb.SubscribeRequest(hello=_write_hello(message))
        case Ack():
            said = pb.SubscribeRequest(
                ack=pb.Ack(
                    server=message.server,
                    policy=message.policy,
                    revision=message.revision,
                    manifest_sequence=message.manifest_sequence,
                    stage=_STAGES[message.stage],
                )
            )
        case Nack():
            said = pb.SubscribeRequest(
                nack=pb.Nack(
                    server=message.server,
                    policy=message.policy,
                    revision=message.revision,
                    manifest_sequence=message.manifest_sequence,
                    code=message.code,
                    reason=message.reason[:TEXT_MAX],
                )
            )
        case Status():
            said = pb.SubscribeRequest(status=write_status(message))
        case LeaseAsk():
            said = pb.SubscribeRequest(lease_asked=write_lease_asked(message))
        case ApprovalAsk():
            said = pb.SubscribeRequest(approval_ask=write_ask(message))
        case PermitClaim():
            said = pb.SubscribeRequest(permit_claim=write_claim(message))
        case Evidence():
            said = pb.SubscribeRequest(evidence=write_evidence(message))
        case _:
            assert_never(message)
    return said.SerializeToString()


def read_up(raw: bytes) -> Up | None:
    """What an enforcer said; None for what only a newer one says. Raises WireError."""
    if len(raw) > UP_BYTES_MAX:
        raise WireError(f"a SubscribeRequest of more than {UP_BYTES_MAX} bytes")
    try:
        message = pb.SubscribeRequest.FromString(raw)
    except DecodeError as error:
        raise WireError("not a SubscribeRequest") from error
    match message.WhichOneof("message"):
        case "hello":
            return _read_hello(message.hello)
        case "ack":
            return _read_ack(message.ack)
        case "nack":
            nack = message.nack
            return Nack(
                server=_name(nack.server, "server"),
                policy=_name(nack.policy, "policy"),
                revision=_name(nack.revision, "revision"),
                manifest_sequence=nack.manifest_sequence,
                code=_name(nack.code, "code"),
                reason=nack.reason[:TEXT_MAX],
            )
        case "status":
            return read_status(message.status)
        case "evidence":
            return read_evidence(message.evidence)
        case "lease_asked":
            return read_lease_asked(message.lease_asked)
        case "approval_ask":
            return read_ask(message.approval_ask)
        case "permit_claim":
            return read_claim(message.permit_claim)
        case None:
            return None


def write_down(message: Down) -> bytes:
    """What the control plane says, as the bytes of a SubscribeResponse."""
    match message:
        case Envelope():
            said = pb.SubscribeResponse(manifest=write_envelope(message))
        case HoldOrder():
            said = pb.SubscribeResponse(hold=write_order(message))
        case LeaseGiven():
            said = pb.SubscribeResponse(lease_given=write_lease_given(message))
        case ApprovalNews():
            said = pb.SubscribeResponse(approval=write_news(message))
        case PermitAnswer():
            said = pb.SubscribeResponse(permit=write_permit(message))
        case GrantOrder():
            said = pb.SubscribeResponse(grants=write_grant_order(message))
        case Durable():
            said = pb.SubscribeResponse(durable=pb.Durable(spans=write_spans(message.spans)))
        case Resend():
            said = pb.SubscribeResponse(resend=write_resend(message.missing))
        case _:
            assert_never(message)
    return said.SerializeToString()


def read_down(raw: bytes) -> Down | None:
    """What the control plane said; None for what only a newer one says. Raises WireError."""
    try:
        message = pb.SubscribeResponse.FromString(raw)
    except DecodeError as error:
        raise WireError("not a SubscribeResponse") from error
    match message.WhichOneof("message"):
        case "manifest":
            return read_envelope(message.manifest)
        case "hold":
            return read_order(message.hold)
        case "grants":
            return read_grant_order(message.grants)
        case "durable":
            return Durable(read_spans(message.durable.spans))
        case "resend":
            return Resend(read_resend(message.resend))
        case "lease_given":
            return read_lease_given(message.lease_given)
        case "approval":
            return read_news(message.approval)
        case "permit":
            return read_permit(message.permit)
        case None:
            return None


def write_fetch(revision: str) -> bytes:
    """The question for a revision's body."""
    return pb.FetchRevisionRequest(revision=revision).SerializeToString()


def read_fetched(raw: bytes) -> bytes:
    """A revision's body, still to be held against its hash. Raises WireError."""
    try:
        return pb.FetchRevisionResponse.FromString(raw).body
    except DecodeError as error:
        raise WireError("not a FetchRevisionResponse") from error


def write_status(status: Status) -> pb.Status:
    """A status as the contract says it."""
    return pb.Status(
        epoch=status.epoch,
        sequence=status.sequence,
        head=status.head,
        published_sequence=status.published_sequence,
        outbox_bytes=status.outbox_bytes,
        allowed=status.allowed,
        denied=status.denied,
        time_unix_nano=status.at,
        kept_after=write_place(status.kept_after),
        kept_after_head=status.kept_after_head,
    )


def read_status(status: pb.Status) -> Status:
    """A status from the contract."""
    return Status(
        epoch=status.epoch,
        sequence=status.sequence,
        head=status.head,
        published_sequence=status.published_sequence,
        outbox_bytes=status.outbox_bytes,
        allowed=status.allowed,
        denied=status.denied,
        at=Instant(status.time_unix_nano),
        kept_after=read_place(status.kept_after),
        kept_after_head=status.kept_after_head,
    )


def _write_hello(hello: Hello) -> pb.Hello:
    return pb.Hello(
        enforcer_id=hello.enforcer_id,
        software_version=hello.software_version,
        host=hello.host,
        servers=hello.servers,
        running=[
            pb.RunningPolicy(
                server=running.server,
                policy=running.policy,
                revision=running.revision,
                manifest_sequence=running.manifest_sequence,
            )
            for running in hello.running
        ],
        labels=dict(hello.labels),
        epoch=hello.epoch,
    )


def _read_hello(message: pb.Hello) -> Hello:
    if not message.enforcer_id:
        raise WireError("a hello without an enforcer id")
    if len(message.servers) > SERVERS_MAX or len(message.running) > SERVERS_MAX:
        raise WireError(f"a hello with more than {SERVERS_MAX} servers")
    if len(message.labels) > LABELS_MAX:
        raise WireError(f"a hello with more than {LABELS_MAX} labels")
    return Hello(
        enforcer_id=_name(message.enforcer_id, "enforcer id"),
        software_version=_name(message.software_version, "software version"),
        host=_name(message.host, "host"),
        servers=tuple(dict.fromkeys(_name(server, "server") for server in message.servers)),
        running=tuple(
            RunningPolicy(
                server=_name(running.server, "server"),
                policy=_name(running.policy, "policy"),
                revision=_name(running.revision, "revision"),
                manifest_sequence=running.manifest_sequence,
            )
            for running in message.running
        ),
        labels={
            _name(label, "label"): _name(value, "label")
            for label, value in sorted(message.labels.items())
        },
        epoch=message.epoch,
    )


def _read_ack(message: pb.Ack) -> Ack:
    stage = _READ_STAGES.get(message.stage)
    if stage is None:
        raise WireError(f"ack stage {message.stage} is not known")
    return Ack(
        server=_name(message.server, "server"),
        policy=_name(message.policy, "policy"),
        revision=_name(message.revision, "revision"),
        manifest_sequence=message.manifest_sequence,
        stage=stage,
    )


def _name(text: str, what: str) -> str:
    if len(text) > NAME_MAX:
        raise WireError(f"a {what} of more than {NAME_MAX} characters")
    if text and not text.isprintable():
        raise WireError(f"a {what} with control characters")
    return text
