"""The file of pins: whole at every moment, and shared by whoever stands before the server."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolreeve.decision import Instant
from toolreeve.enforcement.definition import Definition, definition_of
from toolreeve.enforcement.pins import Pins
from toolreeve.gateway.pinfile import Kept, PinFile, PinFileError, pin_files, untold
from toolreeve.policy import Pinning

AT = Instant(1_768_000_000_000_000_000)

# Approves tools of its own, one after the other, for as long as it may: WRITER FOLDER NAME TIMES.
WRITER = """
import sys
from pathlib import Path
from toolreeve.decision import Instant
from toolreeve.enforcement.definition import definition_of
from toolreeve.gateway.pinfile import Kept, PinFile, untold

folder, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file = PinFile(folder, "s")
print("ready", flush=True)
sys.stdin.readline()
for number in range(times):
    definition = definition_of({"name": f"{name}-{number}", "description": "x" * 5_000})

    def approve(kept):
        at = Instant(number + 1)
        pins, event = kept.pins.approve("s", definition, actor=name, reason="r", at=at)
        return Kept(pins=pins, untold=(*kept.untold, untold(event, at))), None

    file.change(approve)
"""


def writer(folder: Path, name: str, times: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def defined(name: str) -> Definition:
    found = definition_of({"name": name, "description": "Does it."})
    assert found is not None
    return found


def test_nothing_is_lost_where_several_processes_write_at_once(tmp_path: Path) -> None:
    writers = [writer(tmp_path / "pins", name, 40) for name in ("a", "b", "c")]
    for process in writers:
        go(process)
    for process in writers:
        process.communicate(timeout=60)
        assert process.returncode == 0
    kept = PinFile(tmp_path / "pins", "s").read()
    wanted = {f"{name}-{number}" for name in "abc" for number in range(40)}
    assert set(kept.pins.tools) == wanted
    assert {one.approved.tool for one in kept.untold if one.approved is not None} == wanted


def test_a_writer_that_is_killed_leaves_a_whole_file_and_no_lock(tmp_path: Path) -> None:
    file = PinFile(tmp_path, "s")
    before = 0
    for _ in range(10):
        process = writer(tmp_path, "w", 10_000)
        go(process)
        deadline = time.monotonic() + 20
        while len(file.read().pins.tools) <= min(before, 30):  # at work
            assert time.monotonic() < deadline
        process.kill()
        process.communicate()
        before = len(file.read().pins.tools)
    file.change(lambda _: (Kept(), None))
    assert file.read() == Kept()


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    file = PinFile(tmp_path / "pins", "odd/na me\u00e9")
    seen = Pins().see("s", [defined("a"), defined("b")], Pinning.ENFORCE, AT)
    entries = tuple(untold(one, AT, "gw") for one in seen.news)
    file.change(lambda _: (Kept(pins=seen.pins, untold=entries), None))
    changes = [file.changed]
    (again,) = pin_files(tmp_path / "pins")
    assert again.server == "odd/na me\u00e9"
    assert again.read() == Kept(pins=seen.pins, untold=entries)
    again.told(entries[:1])
    assert [*changes, file.changed] == [False, True], (
        "others' writing is seen, and one's own is not"
    )
    assert file.read().untold == entries[1:]
    assert (file.path.stat().st_mode & 0o777, file.path.parent.stat().st_mode & 0o777) == (
        0o600,
        0o700,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"pins": {"tools": 1}}',
        '{"pins": {}, "more": 1}',
        '{"untold": [{"at": 1}]}',
        '{"pins": {"tools": {"a": {"tool": "b"}}}}',
    ],
)
def test_what_is_no_file_of_pins_is_told_and_left_alone(tmp_path: Path, text: str) -> None:
    file = PinFile(tmp_path, "s")
    file.path.write_text(text)
    with pytest.raises(PinFileError, match="restore it, or delete it and approve the tools again"):
        file.read()
    with pytest.raises(PinFileError):
        file.change(lambda kept: (kept, None))
    assert file.path.read_text() == text


def test_every_flipped_letter_of_a_definition_or_digest_is_noticed(tmp_path: Path) -> None:
    file = PinFile(tmp_path, "s")
    seen = Pins().see("s", [defined("a")], Pinning.ENFORCE, AT)
    changed = seen.pins.see(
        "s", [definition_of({"name": "a"}) or defined("a")], Pinning.ENFORCE, AT
    )
    file.change(lambda _: (Kept(pins=changed.pins), None))
    whole = json.loads(file.path.read_text())
    for member in ("approved", "approved_json", "offered", "offered_json"):
        value = whole["pins"]["tools"]["a"][member]
        for place in (10, len(value) // 2, len(value) - 2):
            flipped = value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]
            damaged = json.loads(json.dumps(whole))
            damaged["pins"]["tools"]["a"][member] = flipped
            file.path.write_text(json.dumps(damaged))
            with pytest.raises(PinFileError, match="is not the one that its digest names"):
                file.read()
