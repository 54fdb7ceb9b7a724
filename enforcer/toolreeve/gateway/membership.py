"""One enforcer's membership in a fleet: what comes down the control stream, and what goes up."""

import asyncio
import socket
from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from toolreeve.audit import Draft, Position
from toolreeve.audit.span import Missing
from toolreeve.decision.approval import ApprovalAsk, ApprovalNews, PermitAnswer, PermitClaim
from toolreeve.decision.evidence import Evidence
from toolreeve.decision.lease import LeaseGiven
from toolreeve.enforcement import (
    Accept,
    LeaseHeard,
    LedgerReached,
    PolicyOffered,
    PolicyUnfit,
    Reject,
)
from toolreeve.gateway.admission import FleetGrants
from toolreeve.gateway.holdfile import HoldFile
from toolreeve.gateway.holding import carry_out
from toolreeve.gateway.opening import Opened
from toolreeve.gateway.settings import ControlSettings, GatewaySettings
from toolreeve.outbox import OutboxError
from toolreeve.policy.sign import Envelope, KeyTextError, PublicKey
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.credentials import Credentials
from toolreeve.runtime.settings import SettingsError
from toolreeve.runtime.version import VERSION
from toolreeve.sync import Accepted, Rejected, Shelf, receive, recover
from toolreeve.sync.joining import joined
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.wire.durable import Durable, Resend
from toolreeve.wire.fleet import (
    UP_BYTES_MAX,
    Ack,
    Hello,
    Nack,
    RunningPolicy,
    Stage,
    Status,
    write_up,
)
from toolreeve.wire.grants import GrantOrder
from toolreeve.wire.hold_order import HoldOrder

log = structlog.get_logger()

CONTROL = "control"
DISK = "disk"


class Membership:
    """Keeps the link, weighs what it brings, and lets the enforcement hear what is believed.

    What is to be published again goes into `wanted`.
    """

    def __init__(
        self,
        control: ControlSettings,
        name: str,
        settings: GatewaySettings,
        wanted: asyncio.Queue[Missing],
    ) -> None:
        self._name = name
        self._wanted = wanted
        self._settings = settings
        self._keys = _public_keys(control.keys)
        self._shelf = Shelf(settings.data / "shelf")
        self._sequences: dict[str, int] = {}
        self._opened: Opened | None = None
        self._holds: HoldFile | None = None
        self._grants: FleetGrants | None = None
        self._renewing = (
            None
            if control.plaintext
            else joined(
                control.credentials or settings.data,
                kind="enforcer",
                name=name,
                addresses=[control.address],
                clock=Clock(),
                unless="control.plaintext",
            )
        )
        self._link = Link(
            control.address,
            hello=self._hello,
            on_manifest=self._on_manifest,
            on_hold=self._on_hold,
            on_grants=self._on_grants,
            status=self._status,
            evidence=self._evidence,
            on_refill=self._on_refill,
            on_lease=self._on_lease,
            on_approval=self._on_approval,
            on_reach=self._on_reach,
            credentials=self.credentials,
            settings=LinkSettings(status_seconds=settings.status_seconds),
        )

    def last_known_good(self) -> list[PolicyOffered | PolicyUnfit]:
        """What lies on the shelf for our servers, to start from while nobody answers."""
        found: list[PolicyOffered | PolicyUnfit] = []
        for server, shelved in self._shelf.load().items():
            if server not in self._settings.upstreams:
                continue
            taken = recover(
                shelved,
                keys=self._keys,
                servers=tuple(self._settings.upstreams),
                shelf=self._shelf,
            )
            found.append(self._offered(taken, DISK))
        return found

    async def run(self, opened: Opened, holds: HoldFile, grants: FleetGrants | None = None) -> None:
        """Keep the link up for ever. Without `grants` the fleet's are not listened to."""
        self._opened, self._holds, self._grants = opened, holds, grants
        for one in opened.enforcer.evidence():  # taken up again from the shelf
            opened.tally.await_first(one.server, one.revision)
        opened.station.leasing.send = self._link.send
        opened.station.approving.send = self._send_approval
        opened.station.approving.hold_seconds_max = self._settings.approval_seconds_max
        async with asyncio.TaskGroup() as tasks:
            if self._renewing is not None:
                tasks.create_task(self._renewing.run(), name="renewing")
            tasks.create_task(opened.station.leasing.run(), name="leasing")
            await self._link.run()

    @property
    def connected(self) -> bool:
        """Whether a control plane is there now."""
        return self._link.connected

    def tell(self, answer: Accept | Reject) -> None:
        """Tell the control plane what became of its offer."""
        match answer:
            case Accept():
                self._sequences[answer.server] = answer.manifest_sequence
                said: Ack | Nack = Ack(
                    server=answer.server,
                    policy=answer.policy,
                    revision=answer.revision,
                    manifest_sequence=answer.manifest_sequence,
                    stage=Stage.ACTIVATED,
                )
            case Reject():
                said = Nack(
                    server=answer.server,
                    policy=answer.policy,
                    revision=answer.revision,
                    manifest_sequence=answer.manifest_sequence,
                    code=answer.code,
                    reason=answer.reason,
                )
        self._link.send(said)

    async def _on_manifest(self, envelope: Envelope) -> None:
        opened = self._running()
        taken = await receive(
            envelope,
            keys=self._keys,
            servers=tuple(self._settings.upstreams),
            enforcer=self._name,
            labels=self._settings.labels,
            shelf=self._shelf,
            fetch=self._link.fetch,
            at=opened.clock.now(),
        )
        if isinstance(taken, Rejected):
            log.error("policy.refused", server=taken.server, code=taken.code, reason=taken.reason)
        else:
            log.info("policy.taken", server=taken.manifest.server, revision=taken.policy.revision)
            self._say_received(taken)
        await opened.station.attempt(self._offered(taken, CONTROL))

    def _offered(self, taken: Accepted | Rejected, origin: str) -> PolicyOffered | PolicyUnfit:
        if isinstance(taken, Rejected):
            return PolicyUnfit(
                server=taken.server,
                policy=taken.policy,
                revision=taken.revision,
                code=taken.code,
                reason=taken.reason,
                origin=origin,
                manifest_sequence=taken.manifest_sequence,
            )
        self._sequences[taken.manifest.server] = taken.manifest.sequence
        return PolicyOffered(
            server=taken.manifest.server,
            policy=taken.policy,
            origin=origin,
            manifest_sequence=taken.manifest.sequence,
            rollout=taken.manifest.rollout,
            before=taken.before,
            break_glass=taken.manifest.break_glass,
        )

    def _say_received(self, taken: Accepted) -> None:
        """The first word of a rollout: its revision is on disk and verified."""
        manifest = taken.manifest
        if manifest.rollout:
            self._running().tally.await_first(manifest.server, manifest.revision)
            self._link.send(
                Evidence(
                    rollout=manifest.rollout, server=manifest.server, revision=manifest.revision
                )
            )

    def _evidence(self) -> list[Evidence]:
        """What is known of revisions under rollout, as far as its events are on disk."""
        opened = self._running()
        return [
            replace(one, first_decision=opened.tally.first_of(one.server, one.revision))
            for one in opened.enforcer.evidence()
        ]

    async def _on_hold(self, order: HoldOrder) -> None:
        opened, file = self._running(), self._holds
        assert file is not None
        await carry_out(order, opened.station, file)

    async def _on_grants(self, order: GrantOrder) -> None:
        if self._grants is None:
            return
        opened = self._running()
        for changed in await self._grants.carry_out(order):
            try:
                await opened.station.note(Draft(opened.clock.now(), changed))
            except OutboxError as error:
                log.error("grant.not_recorded", grant=changed.grant, error=str(error))

    def _send_approval(self, message: ApprovalAsk | PermitClaim) -> bool:
        if len(write_up(message)) > UP_BYTES_MAX:  # for which the stream would be ended
            log.warning("approval.too_long")
            return False
        return self._link.send(message)

    def _on_approval(self, said: ApprovalNews | PermitAnswer) -> None:
        self._running().station.approving.hear(said)

    def _on_refill(self, heard: Durable | Resend) -> None:
        match heard:
            case Durable():
                self._running().outbox.materialised(heard.spans)
            case Resend():
                log.info("resend.asked", missing=str(heard.missing))
                if not self._wanted.full():  # it is asked for again
                    self._wanted.put_nowait(heard.missing)

    def _on_lease(self, given: LeaseGiven) -> None:
        self._running().station.leasing.hear(LeaseHeard(given))

    def _on_reach(self, connected: bool) -> None:
        self._running().station.leasing.hear(LedgerReached(connected))

    def _hello(self) -> Hello:
        opened = self._running()
        running: list[RunningPolicy] = []
        for server in self._settings.upstreams:
            policy = opened.enforcer.policy_of(server)
            if policy is not None:
                running.append(
                    RunningPolicy(
                        server=server,
                        policy=policy.policy.name,
                        revision=policy.revision,
                        manifest_sequence=self._sequences.get(server, 0),
                    )
                )
        return Hello(
            enforcer_id=self._name,
            software_version=VERSION,
            host=socket.gethostname(),
            servers=tuple(self._settings.upstreams),
            running=tuple(running),
            labels=self._settings.labels,
            epoch=opened.epoch,
        )

    def _status(self) -> Status:
        opened = self._running()
        outbox = opened.outbox.status()
        published = outbox.published
        ours = published is not None and published.epoch == opened.epoch
        tally = opened.tally
        return Status(
            epoch=opened.epoch,
            sequence=tally.sequence,
            head=tally.head,
            published_sequence=published.sequence if ours and published is not None else 0,
            outbox_bytes=outbox.bytes_on_disk,
            allowed=tally.allowed,
            denied=tally.denied,
            at=opened.clock.now(),
            kept_after=outbox.kept_after or Position(0, 0),
            kept_after_head=outbox.kept_after_head,
        )

    def credentials(self) -> Credentials | None:
        """What we prove ourselves with now; None in the clear."""
        return None if self._renewing is None else self._renewing.now

    def _running(self) -> Opened:
        assert self._opened is not None, "the link runs only beside an open enforcer"
        return self._opened


def _public_keys(texts: Sequence[str]) -> tuple[PublicKey, ...]:
    try:
        return tuple(PublicKey.parse(text) for text in texts)
    except KeyTextError as error:
        remedy = "copy the key that `toolreeve control` prints"
        raise SettingsError("control.keys", str(error), remedy) from error
