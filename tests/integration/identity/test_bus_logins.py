"""What an enforcer may say on a NATS that is run by JWTs, on a real one."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from tests.conftest import NatsServer, nats_server_binary, port_when_ready
from tests.integration.identity.scene import until, within

from toolreeve.bus import (
    BusError,
    Login,
    Publisher,
    Subjects,
    connect,
    ensure_stream,
    login_file,
)
from toolreeve.control.nats_accounts import CONFIGURATION, EnforcerLogins, make_accounts
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.identity import MemberKind
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.nkeys import Nkey, NkeyKind

PREFIX = "toolreeve"
SUBJECTS = Subjects(PREFIX)
FOREVER = 3_600 * SECOND


class Site:
    """A nats-server with accounts, and the keys to them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.account = make_accounts(home, prefix=PREFIX, issued_at=Clock().now())
        self.logins = EnforcerLogins.load(home / "enforcers.json")
        self.url = ""

    def enforcer(self, name: str, life_ns: int = FOREVER) -> Login:
        key = Nkey.generate(NkeyKind.USER)
        until = Instant(Clock().now() + life_ns)
        return Login(self.logins.login(MemberKind.ENFORCER, name, key.public, until), key.seed)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    place = Site(tmp_path / "accounts")
    config = tmp_path / "nats.conf"
    config.write_text(
        f'include "accounts/{CONFIGURATION}"\nlisten: "127.0.0.1:-1"\n'
        f'jetstream {{ store_dir: "{tmp_path / "store"}" }}\n'
    )
    server = _Server(tmp_path, config)
    place.url = server.url
    yield place
    server.stop()


class _Server(NatsServer):
    """The server of the other tests, with a configuration of its own."""

    def __init__(self, home: Path, config: Path) -> None:
        super().__init__(home)
        ports = home / "ports"
        ports.mkdir()
        with (home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [nats_server_binary(), "-c", str(config), "--ports_file_dir", str(ports)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._port = port_when_ready(ports, self._process, home / "server.log")


@asynccontextmanager
async def client(
    site: Site, login: Login, name: str, heard: list[str] | None = None
) -> AsyncGenerator[Any]:
    async def on_error(error: Exception) -> None:
        if heard is not None:
            heard.append(str(error).lower())

    one: Any = Client()
    await one.connect(
        site.url,
        user_jwt_cb=login.user_jwt,
        signature_cb=login.signature,
        inbox_prefix=SUBJECTS.inbox(name),
        allow_reconnect=False,
        error_cb=on_error,
    )
    try:
        yield one
    finally:
        await one.close()


async def is_let_in(site: Site, login: Login) -> bool:
    """Whether a client stands with this login after a time in which any would."""
    async with connect(site.url, name="gw-1", prefix=PREFIX, login=lambda: login) as connection:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await connection.session()
        return connection.connected


def creds(site: Site, user: str) -> Login:
    login = login_file(site.home / f"{user}.creds")()
    assert login is not None
    return login


def test_an_enforcer_publishes_under_its_own_name_and_does_nothing_else(site: Site) -> None:
    async def story() -> None:
        worker = login_file(site.home / "worker.creds")
        async with connect(site.url, name="worker", prefix=PREFIX, login=worker) as connection:
            await ensure_stream(connection, SUBJECTS.audit_stream, [SUBJECTS.audit_all])
        heard: list[str] = []
        async with client(site, site.enforcer("gw-1"), "gw-1", heard) as one:
            answer = await one.request(SUBJECTS.audit("gw-1"), b"hello", timeout=3)
            assert SUBJECTS.audit_stream.encode() in answer.data
            forbidden = [
                SUBJECTS.audit("gw-2"),
                SUBJECTS.audit("gw-1") + ".more",
                SUBJECTS.control,
                SUBJECTS.inbox("worker") + ".x",
                f"$JS.API.STREAM.INFO.{SUBJECTS.audit_stream}",
                f"$JS.API.STREAM.DELETE.{SUBJECTS.audit_stream}",
                f"$JS.API.STREAM.MSG.GET.{SUBJECTS.audit_stream}",
                "$SYS.REQ.SERVER.PING",
            ]
            for subject in forbidden:
                before = len(heard)
                with pytest.raises((TimeoutError, nats.errors.TimeoutError)):
                    await one.request(subject, b"", timeout=0.1)
                await until(lambda before=before: len(heard) > before)  # type: ignore[misc]
                assert "permissions violation for publish" in heard[-1]
            for subject in (SUBJECTS.audit("gw-1"), ">", SUBJECTS.inbox("gw-2") + ".>", "*"):
                before = len(heard)
                await one.subscribe(subject)
                await until(lambda before=before: len(heard) > before)  # type: ignore[misc]
                assert "permissions violation for subscription" in heard[-1]

    within(20, story)


def test_a_jwt_that_claims_more_than_the_scope_gives_is_refused(site: Site) -> None:
    async def story() -> None:
        key = Nkey.generate(NkeyKind.USER)
        scoped = site.logins._key  # pyright: ignore[reportPrivateUsage]
        claims = {
            "sub": key.public,
            "name": "gw-1",
            "nats": {
                "type": "user",
                "version": 2,
                "issuer_account": site.account,
                "pub": {"allow": [">"]},
            },
        }
        assert not await is_let_in(site, Login(scoped.jwt(claims), key.seed))

    within(20, story)


@pytest.mark.parametrize("name", ["*", ">", "gw.1", "gw 1", ""])
def test_a_name_that_would_be_a_wildcard_gets_no_login(site: Site, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        site.enforcer(name)


def test_a_stolen_jwt_is_worth_nothing_without_its_key(site: Site) -> None:
    async def story() -> None:
        stolen = Login(site.enforcer("gw-1").jwt, Nkey.generate(NkeyKind.USER).seed)
        assert not await is_let_in(site, stolen)
        assert await is_let_in(site, site.enforcer("gw-1"))

    within(20, story)


def test_a_session_ends_with_its_jwt_and_the_next_begins_with_the_renewed_one(
    site: Site,
) -> None:
    async def story() -> None:
        logins = [site.enforcer("gw-1", 2 * SECOND), site.enforcer("gw-1")]
        asked: list[Login] = []

        def login() -> Login:
            asked.append(logins[min(len(asked), 1)])
            return asked[-1]

        worker = login_file(site.home / "worker.creds")
        async with connect(site.url, name="worker", prefix=PREFIX, login=worker) as making:
            await ensure_stream(making, SUBJECTS.audit_stream, [SUBJECTS.audit_all])
        async with connect(site.url, name="gw-1", prefix=PREFIX, login=login) as connection:
            first = await connection.session()
            await until(first.lost.is_set)
            publisher = Publisher(connection, SUBJECTS.audit("gw-1"), stream=SUBJECTS.audit_stream)
            ack = await publisher.publish(b"later", "gw-1:1:1")
            assert ack.sequence == 1
            assert asked[:2] == logins

    within(20, story)


def test_an_expired_jwt_opens_nothing(site: Site) -> None:
    async def story() -> None:
        expired = site.enforcer("gw-1", -2 * SECOND)
        assert not await is_let_in(site, expired)

    within(20, story)


def test_streams_are_the_workers_and_the_control_planes_and_nobody_deletes_them(
    site: Site,
) -> None:
    async def story() -> None:
        heard: list[str] = []
        async with client(site, creds(site, "worker"), "worker", heard) as one:
            jetstream = one.jetstream(timeout=0.3)
            await jetstream.add_stream(name=SUBJECTS.audit_stream, subjects=[SUBJECTS.audit_all])
            with pytest.raises((TimeoutError, nats.errors.TimeoutError)):
                await jetstream.add_stream(name=SUBJECTS.control_stream, subjects=["x"])
            with pytest.raises((TimeoutError, nats.errors.TimeoutError)):
                await jetstream.delete_stream(SUBJECTS.audit_stream)
            with pytest.raises((TimeoutError, nats.errors.TimeoutError)):
                await jetstream.purge_stream(SUBJECTS.audit_stream)
        async with client(site, creds(site, "control"), "control", heard) as one:
            jetstream = one.jetstream(timeout=0.3)
            await jetstream.add_stream(name=SUBJECTS.control_stream, subjects=[SUBJECTS.control])
            with pytest.raises((TimeoutError, nats.errors.TimeoutError)):
                await jetstream.delete_stream(SUBJECTS.control_stream)

    within(20, story)


def test_a_file_of_credentials_that_is_none_says_so(tmp_path: Path) -> None:
    path = tmp_path / "worker.creds"
    path.write_text("nothing")
    path.chmod(0o600)
    with pytest.raises(BusError, match="no file of NATS credentials"):
        login_file(path)
    path.chmod(0o644)
    with pytest.raises(BusError, match="others can read it"):
        login_file(path)
