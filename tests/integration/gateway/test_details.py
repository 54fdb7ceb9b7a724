"""What a gateway writes of arguments: beside the chain, hashed with a key that can be renewed."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from mcp import Client

from toolreeve.audit import Arguments, Decided
from toolreeve.audit.redact import key_id, value_hash
from toolreeve.cli.__main__ import cli
from toolreeve.outbox import peek
from toolreeve.runtime.hashkeys import read_keys
from toolreeve.wire import read_events, unpack

Start = Callable[[dict[str, object]], Any]

SECRET = "what-ada-wants"


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def call(url: str, arguments: dict[str, Any]) -> None:
    async def once() -> None:
        async with Client(url) as client:
            await client.call_tool("vm_restart", arguments)

    asyncio.run(once())


def recorded(data: Path) -> Iterator[tuple[bytes, Arguments]]:
    """The bytes of each decision, and its arguments with what stands beside it."""
    for group in map(unpack, (one.payload for one in peek(data / "outbox"))):
        for raw, event in zip(group.raws, read_events(group), strict=True):
            if isinstance(event.body, Decided):
                yield raw, event.body.arguments


def test_values_stand_beside_the_chain_and_hashes_follow_the_key(
    gateway: Start, tmp_path: Path
) -> None:
    running = gateway({"version": "1", "default": "allow"})
    data = running.folder / "data"
    arguments = {"id": 7, "reason": SECRET}
    call(running.server("flat"), arguments)
    assert run("audit", "rotate-key", "--data", data)[0] == 0
    assert running.stop() == 0
    running.start()
    call(running.server("flat"), arguments)
    assert running.stop() == 0

    old, new = (one.key for one in read_keys(data / "hash.keys"))
    (first_raw, first), (second_raw, second) = recorded(data)
    for raw, kept, key in ((first_raw, first, old), (second_raw, second, new)):
        assert SECRET.encode() not in raw
        assert [(one.pointer, one.value_json) for one in kept.kept] == [("/id", "7")]
        assert kept.key_id == key_id(key)
        hashes = [value_hash(text, key) for text in (b"7", f'"{SECRET}"'.encode())]
        assert kept.value_hashes == b"".join(hashes)
        assert kept.keyed_hash not in raw
    assert first.keyed_hash != second.keyed_hash

    folder = tmp_path / "export"
    assert run("audit", "export", "--data", data, "--output", folder)[0] == 0
    code, output = run("audit", "verify", "--export", folder, "--json")
    assert (code, json.loads(output)["details"]["kept"]) == (0, 2)
    assert SECRET not in (folder / "events.jsonl").read_text()


def test_a_value_that_is_erased_in_an_export_by_hand_is_missed(
    gateway: Start, tmp_path: Path
) -> None:
    running = gateway({"version": "1", "default": "allow"})
    call(running.server("flat"), {"id": 7})
    assert running.stop() == 0
    folder = tmp_path / "export"
    assert run("audit", "export", "--data", running.folder / "data", "--output", folder)[0] == 0
    events = folder / "events.jsonl"
    lines = events.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if '"details"' in line)
    line = json.loads(lines[at])
    del line["details"]
    line["body"]["arguments"] |= {
        "kept": [],
        "keyed_hash": "",
        "key_id": "",
        "value_hashes": "",
    }
    lines[at] = json.dumps(line, separators=(",", ":"))
    events.write_text("\n".join([*lines, ""]))
    code, output = run("audit", "verify", "--export", folder, "--json")
    found = json.loads(output)["findings"]
    assert (code, [one["fault"] for one in found]) == (1, ["details missing"])
