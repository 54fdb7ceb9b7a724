"""The parts of the tree and the settings files they are started with."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.launch.toml import Value, write_toml
from toolreeve.cli.launch.tree import Facts, Part, own_command, read_ready_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from toolreeve.cli.launch.folder import Folder

ENFORCER = "gateway-local"
WORKER = "worker"
OURS = ("enforcer", "listen", "data", "ready_file", "control", "bus")

TEMPLATE = """\
# The MCP servers behind the gateway of `toolreeve up`. Each stands at <gateway>/<name>/mcp.
# Until a policy is published for it, every call to it is refused:
#   toolreeve policy publish policy.json --server files

# [upstreams.files]
# command = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/tmp"]

# [upstreams.truenas]
# url = "http://127.0.0.1:3000/mcp"

# Who may call. Without any grant everybody on this machine may, as "local".
# token_sha256 is what `printf %s "$TOKEN" | sha256sum` prints; the client sends the token itself
# as `Authorization: Bearer TOKEN`.
#
# [[grants]]
# agent = "ops-agent"
# grant = "ops"
# token_sha256 = "..."
# servers = ["files"]
"""


def control_part(folder: Folder, nats_url: str) -> Part:
    """Return the control plane."""
    config, ready_file = folder.run / "control.toml", folder.run / "control.ready.json"

    def prepare(before: Facts | None) -> tuple[str, ...]:
        anywhere = {"address": "127.0.0.1:0", "members_address": "127.0.0.1:0"}
        listens = anywhere if before is None else before
        settings = {
            "listen": str(listens["address"]),
            "listen_members": str(listens["members_address"]),
            "data": str(folder.control),
            "nats_url": nats_url,
            "nats_credentials": str(folder.accounts / "control.creds"),
            "nats_enforcers": str(folder.accounts / "enforcers.json"),
            "ready_file": str(ready_file),
        }
        _write(config, settings, ready_file)
        return own_command("control", "--config", str(config))

    return _part(folder, "control", prepare, ready_file)


def worker_part(folder: Folder, nats_url: str, control: str) -> Part:
    """Return the analytics worker with its query service. It has joined at `control`."""
    config, ready_file = folder.run / "worker.toml", folder.run / "worker.ready.json"

    def prepare(before: Facts | None) -> tuple[str, ...]:
        listen = "127.0.0.1:0" if before is None else str(before["query"])
        settings = {
            "listen": listen,
            "data": str(folder.worker),
            "nats_url": nats_url,
            "nats_credentials": str(folder.accounts / "worker.creds"),
            "control": control,
        }
        _write(config, settings, ready_file)
        return own_command("worker", "--config", str(config), "--ready-file", str(ready_file))

    return _part(folder, "worker", prepare, ready_file)


def gateway_part(
    folder: Folder,
    *,
    nats_url: str,
    control: str,
    keys: list[str],
    listen: str,
    servers: Mapping[str, Value],
) -> Part:
    """Return the gateway. `servers` holds the tables `upstreams` and `grants`.

    It has joined at `control`.
    """
    return _own_part(
        folder,
        "gateway",
        lambda again: {
            **servers,
            "enforcer": ENFORCER,
            "listen": again,
            "data": str(folder.gateway),
            "control": {"address": control, "keys": keys},
            "bus": {"url": nats_url},
        },
        listen=listen,
    )


def read_upstreams(folder: Folder) -> dict[str, Any]:
    """Return what the user has written into gateway.toml; write a template where there is none.

    It is read as the gateway will read it, so that what is wrong is said before anything starts.
    """
    from toolreeve.gateway.settings import GatewaySettings
    from toolreeve.runtime.settings import SettingsError, load_settings

    file = folder.upstreams
    if not file.exists():
        file.write_text(TEMPLATE, encoding="utf-8")
    joined = {"address": "127.0.0.1:0", "keys": ["made when the control plane starts"]}
    given = {"data": folder.gateway, "control": joined}
    try:
        load_settings(GatewaySettings, file, overrides=given, environment={}).check(str(file))
    except SettingsError as error:
        problem, remedy = f"{error.source}: {error.problem}", error.remedy
        raise CommandError(problem, remedy, exit_code=BAD_INPUT) from error
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    for key in OURS:
        if key in document:
            raise CommandError(
                f"{file} sets {key!r}, which 'toolreeve up' chooses itself",
                "take it out; 'toolreeve gateway --config' runs with all settings of your own",
                exit_code=BAD_INPUT,
            )
    return document


def _own_part(
    folder: Folder,
    name: str,
    settings: Callable[[str], dict[str, Value]],
    *,
    listen: str = "127.0.0.1:0",
) -> Part:
    """Return one of our own processes; it comes back on the address it had."""
    config, ready_file = folder.run / f"{name}.toml", folder.run / f"{name}.ready.json"

    def prepare(before: Facts | None) -> tuple[str, ...]:
        wanted = settings(listen if before is None else str(before["address"]))
        _write(config, {**wanted, "ready_file": str(ready_file)}, ready_file)
        return own_command(name, "--config", str(config))

    return _part(folder, name, prepare, ready_file)


def _part(
    folder: Folder, name: str, prepare: Callable[[Facts | None], tuple[str, ...]], ready_file: Path
) -> Part:
    return Part(
        name=name,
        log=folder.logs / f"{name}.log",
        prepare=prepare,
        ready=lambda _: read_ready_file(ready_file),
    )


def _write(config: Path, settings: Mapping[str, Value], ready_file: Path) -> None:
    """Write settings that only their owner can read, for they may hold tokens."""
    ready_file.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(write_toml(settings), encoding="utf-8")
