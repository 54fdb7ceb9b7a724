"""From the first start of a control plane to an enforcer that has joined, by commands alone."""

import socket
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.identity.process import COMMAND, Site, site_of, wait_until

POLICY = '{"version": "1", "name": "lab", "default": "deny", "tools": {}}'


@pytest.fixture
def site(tmp_path: Path, nats_url: str, prefix: str) -> Iterator[Site]:
    with site_of(tmp_path, nats_url, prefix) as one:
        yield one


def test_what_join_prints_is_what_the_gateway_needs(site: Site, tmp_path: Path) -> None:
    site.log_in()
    assert site.json("operator", "whoami") == {"name": "admin", "roles": ["admin"]}
    made = site.run("enforcer", "token", "gw-1")
    assert made.returncode == 0, made.stderr
    assert f"toolreeve enforcer join {site.address} --pin sha256:{site.pin}" in made.stderr
    data = tmp_path / "gateway"
    join = ("enforcer", "join", site.address, "--pin", site.pin, "--data", str(data))
    joined = site.run(*join, says=made.stdout)
    assert joined.returncode == 0, joined.stderr
    assert tomllib.loads(joined.stdout.split(":\n", 1)[1]) == {
        "enforcer": "gw-1",
        "data": str(data),
        "control": {"address": site.members, "keys": [site.public_key]},
    }
    assert (data / "credentials.json").stat().st_mode & 0o777 == 0o600
    again = site.run(*join, says=made.stdout)
    assert (again.returncode, "was used already" in again.stderr) == (1, True)


def test_a_gateway_that_has_joined_is_on_the_roster_until_it_is_denied(
    site: Site, tmp_path: Path
) -> None:
    site.log_in()
    token = site.json("enforcer", "token", "gw-1")
    data = tmp_path / "gateway"
    pin, address = token["pin"], token["address"]
    joined = site.run(
        "enforcer", "join", address, "--pin", pin, "--data", str(data), says=token["token"]
    )
    assert joined.returncode == 0, joined.stderr
    site.start(
        "gateway",
        f'enforcer = "gw-1"\ndata = "{data}"\nlisten = "127.0.0.1:0"\n'
        f'control = {{ address = "{site.members}", keys = ["{site.public_key}"] }}',
    )
    wait_until(lambda: [one["connected"] for one in site.json("enforcer", "list")] == [True])
    done = site.run("enforcer", "deny", "gw-1", "--reason", "taken over")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: [one["connected"] for one in site.json("enforcer", "list")] == [False])
    (member,) = site.json("enforcer", "list")
    assert (member["denied"], member["denied_by"], member["reason"]) == (
        True,
        "admin",
        "taken over",
    )


def test_a_gateway_that_has_not_joined_says_how(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'enforcer = "gw-1"\ndata = "{tmp_path / "gateway"}"\nlisten = "127.0.0.1:0"\n'
        f'control = {{ address = "{site.members}", keys = ["{site.public_key}"] }}'
    )
    done = site.run("gateway", "--config", str(config))
    assert done.returncode == 2
    assert "has not joined the control plane; join with 'toolreeve enforcer join" in done.stderr


def test_operators_come_and_go_and_every_command_works_with_their_token(
    site: Site, tmp_path: Path
) -> None:
    site.log_in()
    policy = tmp_path / "policy.json"
    policy.write_text(POLICY)
    ada = site.json("operator", "create", "ada", "--role", "releaser", "--for", "1h")["token"]
    assert [one["name"] for one in site.json("operator", "list")] == ["ada", "admin"]
    site.log_in(ada)
    publish = ("policy", "publish", str(policy), "--server", "vm", "--actor", "mallory")
    assert site.run(*publish).returncode == 0
    (listed,) = site.json("policy", "list")
    assert listed["actor"] == "ada"
    assert site.json("fleet", "status") == []
    refused = site.run("operator", "list")
    assert (refused.returncode, "takes one of the roles admin" in refused.stderr) == (1, True)
    admin = {"TOOLREEVE_TOKEN": site.admin_token}
    done = site.run("operator", "revoke", "ada", "--reason", "left", **admin)
    assert done.returncode == 0, done.stderr
    refused = site.run("policy", "list")
    assert (refused.returncode, "was revoked" in refused.stderr) == (1, True)
    assert site.run("operator", "logout").returncode == 0
    said = {"TOOLREEVE_AUTHORITY": site.authority, "TOOLREEVE_TOKEN": site.admin_token}
    shown = site.run("policy", "list", "--control", site.address, **said)
    assert shown.returncode == 0, shown.stderr


def test_a_token_is_not_sent_to_whom_nobody_knows(site: Site, tmp_path: Path) -> None:
    done = site.run("policy", "list", "--control", site.address, TOOLREEVE_TOKEN=site.admin_token)
    assert (done.returncode, "nothing by which to know who listens" in done.stderr) == (2, True)
    wrong = site.run(
        "operator", "login", site.address, "--pin", "0" * 64, TOOLREEVE_TOKEN=site.admin_token
    )
    assert (wrong.returncode, "authority with this pin" in wrong.stderr) == (1, True)
    silent = site.run("policy", "list", "--control", site.address)
    assert silent.returncode == 1


def test_nothing_but_tls_1_3_is_spoken(site: Site) -> None:
    assert handshake(site.address, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    for address in (site.address, site.members):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            handshake(address, ssl.TLSVersion.TLSv1_2)


def test_accounts_for_nats_are_made_into_a_new_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    made = subprocess.run([COMMAND, "bus", "init", str(folder)], capture_output=True, check=True)
    assert b"operator.json: for nobody that runs" in made.stdout
    assert {file.name for file in folder.iterdir()} == {
        "accounts.conf",
        "control.creds",
        "worker.creds",
        "enforcers.json",
        "operator.json",
    }
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())
    again = subprocess.run(
        [COMMAND, "bus", "init", str(folder)], capture_output=True, text=True, check=False
    )
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)


def handshake(address: str, version: ssl.TLSVersion) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    host, port = address.rsplit(":", 1)
    with (
        socket.create_connection((host, int(port)), 5) as plain,
        context.wrap_socket(plain) as done,
    ):
        return done.version()


def test_a_wrapper_comes_with_what_its_user_has_joined_with(site: Site, tmp_path: Path) -> None:
    site.log_in()
    data = tmp_path / "wraps"
    token = site.json("enforcer", "token", "laptop")["token"]
    join = ("enforcer", "join", site.address, "--pin", site.pin, "--data", str(data))
    joined = site.run(*join, says=token)
    assert joined.returncode == 0, joined.stderr
    config = tmp_path / "wrap.toml"
    config.write_text(joined.stdout.split(":\n", 1)[1])
    server = (sys.executable, "-c", "import sys; sys.stdin.read()")
    with (
        (tmp_path / "wrap.log").open("w") as log,
        subprocess.Popen(
            [COMMAND, "wrap", "--config", str(config), "--server", "files", "--", *server],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        ) as wrapper,
    ):
        try:
            wait_until(
                lambda: (
                    [(one["enforcer"], one["connected"]) for one in site.json("fleet", "status")]
                    == [("laptop-files-0", True)]
                )
            )
        finally:
            wrapper.terminate()
