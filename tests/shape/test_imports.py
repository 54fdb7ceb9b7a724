"""What may import what, and what an import may do."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = ("proto", "enforcer", "services", "analytics")


class Contract(msgspec.Struct):
    """What is read of an import contract."""

    id: str
    layers: list[str] = []
    source_modules: list[str] = []


# Run in an interpreter of its own: imports every module named on stdin and reports what it saw.
WATCHER = """
import importlib, json, sys, threading

FORBIDDEN = {"socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "os.system",
             "os.mkdir", "os.remove", "os.rename", "os.putenv", "shutil.rmtree"}
names = json.load(sys.stdin)
seen, now = [], ""

def hook(event, arguments):
    if event in FORBIDDEN:
        seen.append(f"{now}: {event} {arguments!r}")
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"{now}: writes {arguments[0]!r}")

sys.addaudithook(hook)
for now in names:
    threads = threading.active_count()
    importlib.import_module(now)
    if threading.active_count() > threads:
        seen.append(f"{now}: starts a thread")
json.dump({"seen": seen, "loaded": sorted(sys.modules)}, sys.stdout)
"""


def modules(*roots: str) -> list[str]:
    """The names of all modules below these source roots."""
    found: set[str] = set()
    for root in roots:
        for path in (REPOSITORY / root / "toolreeve").rglob("*.py"):
            parts = path.relative_to(REPOSITORY / root).with_suffix("").parts
            found.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted(found)


def watch(names: list[str]) -> dict[str, list[str]]:
    """What happens when these modules are imported, in this order, by a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", WATCHER],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"importing says something: {done.stderr}"
    report: dict[str, list[str]] = json.loads(done.stdout)
    return report


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [linter, "--no-cache", "--no-logo"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pure_room_stands_in_the_contract_of_pure_rooms() -> None:
    tools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    found = msgspec.convert(tools["importlinter"]["contracts"], list[Contract])
    contracts = {contract.id: contract for contract in found}
    layers = contracts["layers"].layers
    below_wire = layers[layers.index("wire") + 1 :]
    named = {f"toolreeve.{room.strip()}" for layer in below_wire for room in layer.split("|")}
    assert named - {"toolreeve.v1"} == set(contracts["pure"].source_modules)


def test_importing_does_nothing_but_define() -> None:
    assert not watch(modules(*ROOTS))["seen"]


def test_an_enforcer_loads_nothing_of_the_analytics_the_console_or_the_sdk() -> None:
    heavy = {
        "duckdb",
        "jinja2",
        "mcp",
        "pandas",
        "pyarrow",
        "pydantic",
        "pytz",
        "starlette",
        "uvicorn",
    }
    loaded = watch(modules("proto", "enforcer"))["loaded"]
    assert "toolreeve.policy" in loaded
    assert not heavy.intersection(loaded)
    rooms_above = {path.name for path in (REPOSITORY / "services" / "toolreeve").iterdir()} | {
        path.name for path in (REPOSITORY / "analytics" / "toolreeve").iterdir()
    }
    assert not {f"toolreeve.{room}" for room in rooms_above}.intersection(loaded)


def test_a_wrapper_starts_without_what_it_does_not_use(tmp_path: Path) -> None:
    wrap = ["wrap", "--no-bus", "--data", str(tmp_path), "--", "cat"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "toolreeve.cli", *wrap],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert "structlog.processors" in loaded
    unused = {"grpc", "importlib.metadata", "nats", "re2", "rich.console", "ruamel.yaml"}
    assert not unused.intersection(loaded)
