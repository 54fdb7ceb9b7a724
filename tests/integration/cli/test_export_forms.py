"""Exports for a SIEM and for a lake prove themselves as lines of JSON do."""

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from toolreeve.audit import (
    Arguments,
    Completed,
    Decided,
    Draft,
    Effect,
    EnforcerStarted,
    KeptArgument,
    Outcome,
)
from toolreeve.cli.__main__ import cli
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox
from toolreeve.wire import pack

SECOND = 10**9
BEGIN = 1_795_000_000 * SECOND


async def live(folder: Path) -> None:
    """Three epochs of an enforcer, a call a second."""
    at = BEGIN
    for epoch in (7, 8, 9):
        outbox = Outbox[Draft].open(folder, owner="edge-1", pack=pack("edge-1"))
        outbox.begin(epoch)
        started = EnforcerStarted(software_version="1", host="edge", servers=("truenas",))
        await outbox.append(Draft(Instant(at), started))
        for number in range(12):
            at += SECOND
            position = await outbox.append(Draft(Instant(at), decision(number)))
            done = Completed(
                decision_id=f"edge-1:{position.epoch}:{position.sequence}", outcome=Outcome.SUCCESS
            )
            outbox.append(Draft(Instant(at), done), lingers=True)
        await outbox.close()


def decision(number: int) -> Decided:
    return Decided(
        server="truenas",
        grant="local",
        agent="night-shift",
        request_id=str(number),
        tool="vm_restart",
        wire_tool="truenas",
        effect=Effect.ALLOW,
        code="allowed",
        arguments=Arguments(
            names=("id",), kept=(KeptArgument("/id", str(number)),), keyed_hash=bytes(32)
        ),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edge")
    asyncio.run(live(folder / "outbox"))
    return folder


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return 2, str(done.exception)
    return done.exit_code, done.output


def verified(folder: Path) -> dict[str, Any]:
    code, output = run("audit", "verify", "--json", "--export", folder)
    found: dict[str, Any] = json.loads(output)
    assert code == (0 if found["whole"] else 1)
    return found


def first_fault(folder: Path) -> tuple[str, str]:
    finding = verified(folder)["findings"][0]
    return finding["event"], finding["fault"]


def test_an_export_in_words_of_ocsf_is_checked_like_any_other(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "siem"
    assert run("audit", "export", "--data", data, "--output", folder, "--format", "ocsf")[0] == 0
    assert (verified(folder)["whole"], verified(folder)["events"]) == (True, 75)
    path = folder / "events.ocsf.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for line in map(json.loads, lines):
        assert (line["class_uid"], line["category_uid"], line["type_uid"]) == (6003, 6, 600399)
        assert line["metadata"]["uid"] == line["unmapped"]["event_id"]
        assert {"actor", "api", "severity_id", "src_endpoint", "time"} <= line.keys()
    decided = json.loads(lines[1])
    assert decided["api"]["operation"] == "vm_restart"
    assert decided["actor"]["user"] == {"name": "night-shift"}
    assert (decided["status_id"], decided["status_code"]) == (1, "allowed")
    lines[3] = lines[3].replace(b"night-shift", b"day-shift")
    path.write_bytes(b"".join(lines))
    assert first_fault(folder) == ("edge-1:7:4", "edited")


def test_an_export_as_parquet_is_checked_like_any_other(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    assert run("audit", "export", "--data", data, "--output", folder, "--format", "parquet")[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["events.parquet", "export.json"]
    assert (verified(folder)["whole"], verified(folder)["events"]) == (True, 75)
    path = folder / "events.parquet"
    rows = duckdb.execute(
        "SELECT sequence, body->>'tool', octet_length(bytes) > 0 FROM read_parquet(?) LIMIT 2",
        [str(path)],
    ).fetchall()
    assert rows == [(1, None, True), (2, "vm_restart", True)]


PARQUET_EDITS = {
    "a value in the text": (
        (
            "SELECT * REPLACE (CASE WHEN sequence = 4 THEN"
            " replace(body::VARCHAR, 'night', 'day')::JSON"
            " ELSE body END AS body)"
        ),
        ("edge-1:7:4", "edited"),
    ),
    "a number as a word": (
        (
            "SELECT * REPLACE (CASE WHEN sequence = 4 AND epoch = 7 THEN"
            " replace(body::VARCHAR, '\"size_bytes\":0', '\"size_bytes\":false')::JSON"
            " ELSE body END AS body)"
        ),
        ("edge-1:7:4", "edited"),
    ),
    "an event taken out": (
        "SELECT * FROM t WHERE event_id != 'edge-1:7:10' --",
        ("edge-1:7:10", "deleted"),
    ),
    "a head": (
        (
            "SELECT * REPLACE (CASE WHEN event_id = 'edge-1:8:3' THEN repeat('ab', 32)"
            " ELSE head END"
            " AS head)"
        ),
        ("edge-1:8:3", "edited"),
    ),
}


@pytest.mark.parametrize("name", PARQUET_EDITS)
def test_tampering_with_a_parquet_file_is_named(name: str, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    run("audit", "export", "--data", data, "--output", folder, "--format", "parquet")
    path = folder / "events.parquet"
    edit, expected = PARQUET_EDITS[name]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS FROM read_parquet(?)", [str(path)])
        connection.execute(f"COPY ({edit} FROM t\n) TO '{path}' (FORMAT parquet)")
    assert first_fault(folder) == expected


def test_a_flipped_bit_in_a_parquet_file_is_found(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    run("audit", "export", "--data", data, "--output", folder, "--format", "parquet")
    path = folder / "events.parquet"
    whole, chance = path.read_bytes(), random.Random(7)
    for _ in range(40):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        assert not verified(folder)["whole"]


WITHOUT_DUCKDB = """
import sys
sys.modules["duckdb"] = None
from toolreeve.cli.__main__ import main
sys.exit(main())
"""


def test_only_parquet_needs_duckdb(data: Path, tmp_path: Path) -> None:
    def light(*arguments: object) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_DUCKDB, "audit", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    for form in ("jsonl", "ocsf"):
        export = ("export", "--data", data, "--output", tmp_path / form, "--format", form)
        assert light(*export) == (0, "")
        assert light("verify", "--export", tmp_path / form) == (0, "")
    code, said = light("export", "--data", data, "--output", tmp_path / "p", "--format", "parquet")
    assert code == 2
    assert not (tmp_path / "p").exists()
    assert "duckdb is not installed; run \"pip install 'toolreeve[analytics]'\"" in said
