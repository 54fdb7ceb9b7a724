"""Whose certificate is good for what, how it is renewed, and how it ends."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from tests.integration.identity.scene import Control, Place, enforcing, refusal, until, within

from toolreeve.control.authority import load_or_create
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.identity import MemberKind
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.credentials import Credentials, read_credentials, write_credentials
from toolreeve.sync.joining import JoinError, Renewing, new_asking, renew
from toolreeve.sync.secure import member_channel
from toolreeve.v1 import fleet_pb2, identity_pb2, reconcile_pb2
from toolreeve.v1.fleet_pb2_grpc import FleetServiceStub
from toolreeve.v1.identity_pb2_grpc import JoinServiceStub
from toolreeve.v1.reconcile_pb2_grpc import ReconcileServiceStub

HOUR = 3_600 * SECOND
Forge = Callable[[Control, Credentials], Credentials]


def signed_by(
    folder: Path, like: Credentials, *, at: int, life_ns: int = HOUR, generation: int = 1
) -> Credentials:
    """A certificate like this one, from the authority in a folder."""
    authority = load_or_create(
        folder / "authority-key.pem", folder / "authority.pem", like.trust_domain, make=True
    )
    key = ec.generate_private_key(ec.SECP256R1())
    signed = authority.sign_member(
        key.public_key(),
        kind=MemberKind(like.kind),
        name=like.name,
        generation=generation,
        at=Instant(at),
        life_ns=life_ns,
    )
    return replace(like, key=pem(key), chain=signed.chain_pem.decode())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def of_a_foreign_authority(control: Control, like: Credentials) -> Credentials:
    return signed_by(control.place.folder / "foreign", like, at=time.time_ns())


def expired(control: Control, like: Credentials) -> Credentials:
    long_ago = time.time_ns() - 2 * HOUR
    return signed_by(control.place.folder / "control", like, at=long_ago)


def not_yet_good(control: Control, like: Credentials) -> Credentials:
    later = time.time_ns() + HOUR
    return signed_by(control.place.folder / "control", like, at=later)


def a_control_planes(control: Control, like: Credentials) -> Credentials:
    folder = control.place.folder / "control"
    authority = load_or_create(
        folder / "authority-key.pem", folder / "authority.pem", like.trust_domain, make=False
    )
    key = ec.generate_private_key(ec.SECP256R1())
    signed = authority.sign_control(
        key.public_key(), names=[], at=Instant(time.time_ns()), life_ns=HOUR
    )
    return replace(like, key=pem(key), chain=signed.chain_pem.decode())


def of_somebody_who_never_joined(control: Control, like: Credentials) -> Credentials:
    stranger = replace(like, name="gw-9")
    return signed_by(control.place.folder / "control", stranger, at=time.time_ns())


def of_a_join_to_come(control: Control, like: Credentials) -> Credentials:
    folder = control.place.folder / "control"
    return signed_by(folder, like, at=time.time_ns(), generation=7)


@pytest.mark.parametrize(
    "forge",
    [
        of_a_foreign_authority,
        expired,
        not_yet_good,
        a_control_planes,
        of_somebody_who_never_joined,
        of_a_join_to_come,
    ],
    ids=lambda forge: forge.__name__,
)
def test_a_certificate_that_is_not_good_opens_nothing(place: Place, forge: Forge) -> None:
    async def story() -> None:
        async with place.control() as control:
            good = await control.joined("gw-1")
            bad = forge(control, good)
            address = control.served.members_address
            async with member_channel(address, bad, []) as channel:
                code, text = await refusal(
                    FleetServiceStub(channel).FetchRevision(
                        fleet_pb2.FetchRevisionRequest(revision="r"), timeout=5
                    )
                )
                assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED}, text
                asking = new_asking()
                code, text = await refusal(
                    JoinServiceStub(channel).Renew(
                        identity_pb2.RenewRequest(certificate_request=asking.request), timeout=5
                    )
                )
                assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED}, text
            with pytest.raises(JoinError):
                await renew(address, bad)
            async with enforcing("gw-1", address, lambda: good) as enforcer:
                await enforcer.link.wait_connected()

    within(30, story)


def test_an_enforcer_believes_no_control_plane_of_another_authority(
    place: Place, tmp_path: Path
) -> None:
    async def story() -> None:
        async with place.control() as control:
            good = await control.joined("gw-1")
        elsewhere = tmp_path / "elsewhere"
        async with (
            place.control(data=str(elsewhere), prefix=f"{place.settings.prefix}b") as other,
            enforcing("gw-1", other.served.members_address, lambda: good) as enforcer,
        ):
            await enforcer.turned_away()

    within(30, story)


def test_an_enforcers_certificate_does_not_pass_for_a_control_plane(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control:
            victim = await control.joined("gw-1")
            thief = await control.joined("gw-2")
            server = grpc.aio.server()
            port = server.add_secure_port(
                "127.0.0.1:0",
                grpc.ssl_server_credentials([(thief.key.encode(), thief.chain.encode())]),
            )
            await server.start()
            try:
                async with member_channel(f"127.0.0.1:{port}", victim, []) as channel:
                    code, _ = await refusal(
                        FleetServiceStub(channel).FetchRevision(
                            fleet_pb2.FetchRevisionRequest(revision="r"), timeout=5
                        )
                    )
                    assert code is grpc.StatusCode.UNAVAILABLE
            finally:
                await server.stop(0)

    within(30, story)


def test_hello_under_anothers_name_is_refused(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            credentials = await control.joined("gw-1")
            await control.joined("gw-2")
            address = control.served.members_address
            async with enforcing("gw-2", address, lambda: credentials) as enforcer:
                await enforcer.turned_away()
            assert not (await admin.members())["gw-2"].connected

    within(30, story)


def test_wrappers_come_under_the_certificate_of_who_runs_them_and_go_with_it(
    place: Place,
) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            laptop = await control.joined("laptop")
            await control.joined("laptop-prod")
            address = control.served.members_address
            async with (
                enforcing("laptop-files-0", address, lambda: laptop) as slot,
                enforcing("laptop-prod", address, lambda: laptop) as thief,
                enforcing("laptop2", address, lambda: laptop) as stranger,
            ):
                await slot.link.wait_connected()
                await thief.turned_away()  # that name has joined by itself
                await stranger.turned_away()  # that name does not begin with its own
                await admin.deny("laptop")
                await until(lambda: not slot.link.connected)
                await slot.turned_away()

    within(30, story)


def test_a_wrappers_name_becomes_its_own_once_it_joins(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control:
            laptop = await control.joined("laptop")
            address = control.served.members_address
            async with enforcing("laptop-files", address, lambda: laptop) as borrowed:
                await borrowed.link.wait_connected()
                own = await control.joined("laptop-files")
                await until(lambda: not borrowed.link.connected)
                async with enforcing("laptop-files", address, lambda: own) as enforcer:
                    await enforcer.link.wait_connected()
                    await asyncio.sleep(0.3)
                    assert enforcer.link.connected

    within(30, story)


def test_without_a_certificate_nobody_is_an_enforcer(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control:
            asked = fleet_pb2.FetchRevisionRequest(revision="r")
            async with control.channel() as channel:
                code, text = await refusal(FleetServiceStub(channel).FetchRevision(asked))
                assert code is grpc.StatusCode.UNAUTHENTICATED
                assert "no certificate was shown" in text
                code, _ = await refusal(
                    ReconcileServiceStub(channel).Reconcile(reconcile_pb2.ReconcileRequest())
                )
                assert code is grpc.StatusCode.UNAUTHENTICATED
                code, _ = await refusal(JoinServiceStub(channel).Renew(identity_pb2.RenewRequest()))
                assert code in {
                    grpc.StatusCode.UNAUTHENTICATED,
                    grpc.StatusCode.INVALID_ARGUMENT,
                }
            async with control.channel(members=True) as channel:
                code, _ = await refusal(FleetServiceStub(channel).FetchRevision(asked, timeout=5))
                assert code is grpc.StatusCode.UNAVAILABLE

    within(30, story)


def test_an_enforcer_is_no_worker_and_a_worker_no_enforcer(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            enforcer = await control.joined("gw-1")
            token = await admin.join_token("worker", kind=identity_pb2.MEMBER_KIND_WORKER)
            worker = await control.join(token)
            address = control.served.members_address
            asked = reconcile_pb2.ReconcileRequest()
            async with member_channel(address, worker, []) as channel:
                await ReconcileServiceStub(channel).Reconcile(asked)
                code, text = await refusal(
                    FleetServiceStub(channel).FetchRevision(fleet_pb2.FetchRevisionRequest())
                )
                assert (code, "a certificate of kind enforcer" in text) == (
                    grpc.StatusCode.PERMISSION_DENIED,
                    True,
                )
            async with member_channel(address, enforcer, []) as channel:
                code, _ = await refusal(ReconcileServiceStub(channel).Reconcile(asked))
                assert code is grpc.StatusCode.PERMISSION_DENIED

    within(30, story)


def test_credentials_are_renewed_at_two_thirds_and_the_next_connection_uses_them(
    place: Place, tmp_path: Path
) -> None:
    async def story() -> None:
        async with place.control(certificate_hours=3 / 3_600) as control:
            credentials = await control.joined("gw-1")
            write_credentials(tmp_path, credentials)
            address = control.served.members_address
            renewing = Renewing(tmp_path, [address], credentials, Clock())
            task = asyncio.create_task(renewing.run())
            async with enforcing("gw-1", address, lambda: renewing.now) as enforcer:
                await enforcer.link.wait_connected()
                await until(lambda: renewing.now is not credentials)
                assert renewing.now.key != credentials.key
                assert read_credentials(tmp_path) == renewing.now
                await until(lambda: time.time_ns() > credentials.expires_at)
                await asyncio.sleep(0.5)  # the old stream ended, a new one stands
                await enforcer.link.wait_connected()
            task.cancel()

    within(30, story)


def test_a_stream_ends_with_its_certificate(place: Place) -> None:
    async def story() -> None:
        async with place.control(certificate_hours=2 / 3_600) as control:
            credentials = await control.joined("gw-1")
            address = control.served.members_address
            async with enforcing("gw-1", address, lambda: credentials) as enforcer:
                await enforcer.link.wait_connected()
                await until(lambda: not enforcer.link.connected)
                assert time.time_ns() >= credentials.expires_at - SECOND
                await enforcer.turned_away()

    within(30, story)


def test_an_authority_is_replaced_while_everything_runs(place: Place) -> None:
    """The next one is believed beside the last, until every member has renewed."""

    async def story() -> None:
        async with place.control() as control:
            first = await control.joined("gw-1")
            folder, fresh = place.folder / "control", place.folder / "fresh"
            load_or_create(
                fresh / "authority-key.pem", fresh / "authority.pem", "toolreeve", make=True
            )
            both = (fresh / "authority.pem").read_bytes() + (folder / "authority.pem").read_bytes()
            address = control.served.members_address
            # Members first: they learn of the next authority by renewing under the last.
            before = (folder / "authority.pem").read_bytes()
            (folder / "authority.pem").write_bytes(before + (fresh / "authority.pem").read_bytes())
            knows_both = await renew(address, first)
            assert knows_both.authorities.count("BEGIN CERTIFICATE") == 2
            (fresh / "authority-key.pem").replace(folder / "authority-key.pem")
            (folder / "authority.pem").write_bytes(both)
            async with enforcing("gw-1", address, lambda: knows_both) as enforcer:
                await enforcer.link.wait_connected()
            second = await renew(address, knows_both)
            (folder / "authority.pem").write_bytes((fresh / "authority.pem").read_bytes())
            async with enforcing("gw-1", address, lambda: second) as enforcer:
                await enforcer.link.wait_connected()
            with pytest.raises(JoinError):
                await renew(address, first)

    within(30, story)


def test_a_renewal_that_is_cut_anywhere_leaves_credentials_that_work(
    place: Place, tmp_path: Path
) -> None:
    """What a kill leaves in the folder: the old file whole, and perhaps a part of the new one."""

    async def story() -> None:
        async with place.control() as control:
            credentials = await control.joined("gw-1")
            write_credentials(tmp_path, credentials)
            renewed = await renew(control.served.members_address, credentials)
            (tmp_path / "credentials.json.0badcafe.part").write_bytes(b'{"kind": "enf')
            found = read_credentials(tmp_path)
            assert found == credentials
            again = await renew(control.served.members_address, credentials)
            write_credentials(tmp_path, again)
            assert read_credentials(tmp_path) == again
            assert renewed != again

    within(30, story)
