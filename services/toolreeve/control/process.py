"""`toolreeve control`: from settings to a control plane that serves, and back to nothing."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import structlog

from toolreeve.bus import StreamSettings, Subjects, connect, ensure_stream, login_file, nobody
from toolreeve.control.approval_desk import ApprovalDesk
from toolreeve.control.approval_messages import attach
from toolreeve.control.approval_office import ApprovalOffice
from toolreeve.control.bootstrap import make_first_admin
from toolreeve.control.desk import Submitting
from toolreeve.control.fleet_desk import FleetDesk
from toolreeve.control.fleet_service import FleetService
from toolreeve.control.gate import Gate
from toolreeve.control.grant_desk import GrantDesk
from toolreeve.control.hold_desk import HoldDesk
from toolreeve.control.identity_desk import SERVICE as IDENTITY_SERVICE
from toolreeve.control.identity_desk import IdentityDesk
from toolreeve.control.join_service import SERVICE as JOIN_SERVICE
from toolreeve.control.join_service import JoinService
from toolreeve.control.lease_ledger import LeaseLedger
from toolreeve.control.lease_office import LeaseOffice
from toolreeve.control.ledger import Ledger
from toolreeve.control.observer import Observer
from toolreeve.control.oidc import Oidc
from toolreeve.control.operator_service import SERVICE as OPERATOR_SERVICE
from toolreeve.control.operator_service import operator_service
from toolreeve.control.policy_desk import PolicyDesk
from toolreeve.control.reconcile_service import SERVICE as RECONCILE_SERVICE
from toolreeve.control.reconcile_service import ReconcileService
from toolreeve.control.rollout_desk import RolloutDesk
from toolreeve.control.rollout_keeper import RolloutKeeper
from toolreeve.control.server import Listener
from toolreeve.control.settings import ControlSettings
from toolreeve.control.store import Store
from toolreeve.control.streams import Streams
from toolreeve.control.submit_desk import SubmitDesk
from toolreeve.control.transport import Transport, open_transport
from toolreeve.policy.sign import SigningKey
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.keyfile import load_or_create
from toolreeve.runtime.process import Stopping, until_stopped, write_ready_file
from toolreeve.wire.fleet import SERVICE as FLEET_SERVICE

log = structlog.get_logger()


async def serve(settings: ControlSettings, stopping: Stopping) -> int:
    """Run a control plane until it is asked to stop; returns the process's exit code.

    Once it serves, its address and public key stand in the log and in `ready_file`. Raises
    KeyFileError, ListenError, and HistoryError, WireError or LedgerLostError where the log cannot
    be folded.
    """
    key, created = load_or_create(settings.signing_key_file)
    if created:
        log.info("signing_key.created", file=str(settings.signing_key_file), key=key.public.text)
    try:
        await until_stopped(stopping, _serve_for_ever(settings, key))
    except BaseExceptionGroup as group:
        raise _first(group) from group
    log.info("control.stopped", reason=stopping.reason)
    return 0


async def _serve_for_ever(settings: ControlSettings, key: SigningKey) -> None:
    async with serving(settings, key) as served:
        facts: dict[str, object] = {"address": served.address, "public_key": key.public.text}
        if not settings.plaintext:
            facts |= {
                "members_address": served.members_address,
                "authority_sha256": served.pin,
                "authority": str(settings.authority_files[1]),
                "token_file": str(settings.admin_token_file),
            }
        write_ready_file(Path(settings.ready_file) if settings.ready_file else None, facts)
        log.info("control.ready", **facts)
        await asyncio.Event().wait()


@asynccontextmanager
async def running(settings: ControlSettings, key: SigningKey) -> AsyncGenerator[str]:
    """A control plane that serves; gives the address it has bound for operators."""
    async with serving(settings, key) as served:
        yield served.address


class Serving:
    """Where a control plane listens, and whom it lets others believe."""

    def __init__(self, listener: Listener, transport: Transport | None) -> None:
        self.address = listener.address
        self.members_address = listener.members_address
        self.pin = "" if transport is None else transport.authorities.now.pin


@asynccontextmanager
async def serving(settings: ControlSettings, key: SigningKey) -> AsyncGenerator[Serving]:
    """A control plane that serves.

    What ends it from within (a log that cannot be folded) is raised where it stands.
    """
    clock = Clock()
    subjects = Subjects(settings.prefix)
    name = f"control-{secrets.token_hex(4)}"
    login = login_file(Path(settings.nats_credentials)) if settings.nats_credentials else nobody
    async with connect(
        settings.nats_url, name=name, prefix=settings.prefix, login=login
    ) as connection:
        ledger = Ledger(connection, stream=subjects.control_stream, subject=subjects.control)
        store = Store(ledger, clock)
        streams = Streams(store, clock)
        observer = Observer(store)
        keeper = RolloutKeeper(store, clock)
        transport = open_transport(settings, clock.now)
        gate = _gate(settings, store, clock)
        leases = LeaseOffice(
            LeaseLedger(connection, subjects, replicas=settings.log_replicas), store
        )
        approvals = ApprovalOffice(store, streams, clock)
        fleet = FleetService(
            store,
            streams,
            observer,
            keeper,
            clock,
            leases=leases,
            approvals=approvals,
            gate=gate,
            hello_seconds_max=settings.hello_seconds_max,
        )
        submitting = Submitting(
            store,
            command_seconds_max=settings.command_seconds_max,
            four_eyes=settings.four_eyes,
        )
        attach(settings.approval_hook, approvals, submitting, clock)
        roster = FleetDesk(streams)
        operators = operator_service(
            [
                PolicyDesk(
                    store, streams, submitting, key, policy_bytes_max=settings.policy_bytes_max
                ).methods(),
                SubmitDesk(submitting, policy_bytes_max=settings.policy_bytes_max).methods(),
                HoldDesk(store, submitting, clock).methods(),
                GrantDesk(store, submitting, clock).methods(),
                ApprovalDesk(store, submitting, clock).methods(),
                RolloutDesk(
                    store, submitting, key, policy_bytes_max=settings.policy_bytes_max
                ).methods(),
                roster.methods(),
            ],
            {"WatchFleet": roster.watch_fleet},
            gate.operator,
        )
        reconciling = ReconcileService(
            streams, clock, gate, durable_seconds=settings.durable_seconds
        )
        authorities = None if transport is None else transport.authorities
        identities = IdentityDesk(store, streams, submitting, gate, authorities)
        services = {
            FLEET_SERVICE: fleet.handler(),
            OPERATOR_SERVICE: operators,
            IDENTITY_SERVICE: identities.handler(),
            RECONCILE_SERVICE: reconciling.handler(),
        }
        if transport is not None:
            joining = JoinService(
                submitting,
                gate,
                clock,
                transport,
                signing_keys=[key.public.text],
            )
            services[JOIN_SERVICE] = joining.handler()
        listener = Listener(settings, services, None if transport is None else transport.showing)
        if transport is not None:
            transport.listening(listener.members_address)
        try:
            async with asyncio.TaskGroup() as tasks:
                following: list[asyncio.Task[NoReturn]] = []
                try:
                    await ensure_stream(
                        connection,
                        subjects.control_stream,
                        [subjects.control],
                        _log_settings(settings),
                    )
                    following.append(tasks.create_task(store.run(), name="log"))
                    await store.caught_up()
                    log.info("log.folded", commits=store.state.index)
                    following += [
                        tasks.create_task(observer.run(), name="observer"),
                        tasks.create_task(keeper.run(), name="rollouts"),
                        tasks.create_task(leases.run(), name="leases"),
                        tasks.create_task(approvals.run(), name="approvals"),
                    ]
                    if transport is not None:
                        await make_first_admin(settings, store, submitting)
                    await listener.start()
                    yield Serving(listener, transport)
                finally:
                    streams.close_all()
                    await listener.stop(settings.stop_seconds_max)
                    for task in following:
                        task.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from group


def _gate(settings: ControlSettings, store: Store, clock: Clock) -> Gate:
    """Who is let through: in the clear everybody is."""
    trust_domain = None if settings.plaintext else settings.trust_domain
    gate = Gate(lambda: store.state, clock.now, trust_domain=trust_domain)
    if settings.oidc is not None:
        gate.also.append(Oidc(settings.oidc).caller)
    return gate


def _log_settings(settings: ControlSettings) -> StreamSettings:
    """The log is kept for ever: nothing in it can be taken away, and none of it ages."""
    return StreamSettings(
        bytes_max=settings.log_bytes_max,
        age_seconds_max=0,
        replicas=settings.log_replicas,
        deny_delete=True,
        deny_purge=True,
    )


def _first(error: BaseException) -> BaseException:
    """The fault itself: one task fails, the others only end."""
    while True:
        match error:
            case BaseExceptionGroup(exceptions=(first, *_)):
                error = first
            case _:
                return error
