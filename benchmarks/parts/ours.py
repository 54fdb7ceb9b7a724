"""The gateway and the wrapper as they are measured: what is in their settings, how they start."""

import json
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from parts.processes import MEASURED, started, wait_for_facts

Policy = Mapping[str, object]


@contextmanager
def gateway(
    folder: Path,
    policy: Policy,
    upstreams: Mapping[str, Mapping[str, object]],
    nats_url: str | None = None,
    *,
    audit: str = "required",
) -> Generator[tuple[int, int]]:
    """The port and process id of a gateway in front of servers, each at `/NAME/mcp`.

    `upstreams` are their tables in the settings: a `url` or a `command`. Nothing is kept in the
    outbox longer than it must. A folder's gateway keeps its name when it is started again.
    """
    folder.mkdir(exist_ok=True)
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    (folder / "policy.json").write_text(json.dumps(policy))
    lines = [
        f'enforcer = "bench-{sha256(str(folder).encode()).hexdigest()[:8]}"',
        'listen = "127.0.0.1:0"',
        'data = "data"',
        'policy = "policy.json"',
        'ready_file = "ready.json"',
        'log_level = "warning"',
        "keep_hours = 0",
        f'audit = "{audit}"',
    ]
    if nats_url is not None:
        lines += ["[bus]", f'url = "{nats_url}"']
    for name, upstream in upstreams.items():
        lines.append(f"[upstreams.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in upstream.items()]
    (folder / "gateway.toml").write_text("\n".join(lines) + "\n")
    config = str(folder / "gateway.toml")
    command = [sys.executable, "-m", "toolreeve.cli", "gateway", "--config", config]
    with started(command, folder / "log", cores=MEASURED) as process:
        address = str(wait_for_facts(ready, process)["address"])
        yield int(address.rpartition(":")[2]), process.pid


def wrap(folder: Path, policy: Policy, command: list[str], *, audit: str = "required") -> list[str]:
    """The command of a wrapper around a stdio server, with an outbox of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "policy.json").write_text(json.dumps(policy))
    (folder / "wrap.toml").write_text(f'log_level = "warning"\naudit = "{audit}"\n')
    return [
        *(sys.executable, "-m", "toolreeve.cli", "wrap"),
        *("--server", "bench", "--config", str(folder / "wrap.toml")),
        *("--policy", str(folder / "policy.json"), "--data", str(folder / "data"), "--no-bus"),
        *("--", *command),
    ]
