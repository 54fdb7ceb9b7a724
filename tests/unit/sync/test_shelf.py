"""The last known good on disk survives crashes, and is believed only as far as it is whole."""

import os
from pathlib import Path

import pytest

from toolreeve.policy import parse
from toolreeve.policy.sign import Envelope, Manifest, SigningKey, sign_manifest
from toolreeve.sync import Shelf, ShelfError
from toolreeve.sync.shelf import BODIES_KEPT

KEY = SigningKey.generate()


def offer(number: int, *, server: str = "vm") -> tuple[Envelope, bytes]:
    text = f'{{"version": "1", "default": "deny", "tools": {{"t{number}": {{}}}}}}'
    policy = parse(text, source="")
    manifest = Manifest(
        policy="p",
        server=server,
        sequence=number,
        revision=policy.revision,
        size=len(policy.canonical),
        issued_ns=1,
    )
    return sign_manifest(manifest, KEY), policy.canonical


def body_files(folder: Path) -> list[Path]:
    return sorted((folder / "bodies").iterdir())


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    envelope, body = offer(3)
    Shelf(tmp_path).put("vm", envelope, body)
    shelf = Shelf(tmp_path)
    shelved = shelf.load()["vm"]
    assert (shelved.envelope, shelved.body) == (envelope, body)
    assert shelf.highest("vm") == 3
    assert shelf.highest("other") == 0


def test_servers_may_have_any_name(tmp_path: Path) -> None:
    for number, server in enumerate(("a/b", "..", "ü", "a b"), start=1):
        Shelf(tmp_path).put(server, *offer(number, server=server))
    assert set(Shelf(tmp_path).load()) == {"a/b", "..", "ü", "a b"}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": "1"}'])
def test_a_damaged_body_is_left_out(tmp_path: Path, damage: bytes) -> None:
    Shelf(tmp_path).put("vm", *offer(1))
    body_files(tmp_path)[0].write_bytes(damage)
    assert Shelf(tmp_path).load() == {}


def test_a_damaged_manifest_is_left_out_and_its_sequence_is_not_forgotten(tmp_path: Path) -> None:
    Shelf(tmp_path).put("vm", *offer(5))
    (tmp_path / "servers" / "vm.json").write_bytes(b"torn")
    shelf = Shelf(tmp_path)
    assert shelf.load() == {}
    assert shelf.highest("vm") == 5


def test_a_manifest_under_the_name_of_another_server_is_left_out(tmp_path: Path) -> None:
    Shelf(tmp_path).put("vm", *offer(1))
    servers = tmp_path / "servers"
    (servers / "disk.json").write_bytes((servers / "vm.json").read_bytes())
    assert set(Shelf(tmp_path).load()) == {"vm"}


def test_a_sequence_that_cannot_be_read_lets_nothing_be_taken(tmp_path: Path) -> None:
    Shelf(tmp_path).put("vm", *offer(1))
    (tmp_path / "servers" / "vm.highest").write_bytes(b"?")
    with pytest.raises(ShelfError, match=r"vm\.highest"):
        Shelf(tmp_path).highest("vm")


def test_a_file_that_was_half_written_changes_nothing(tmp_path: Path) -> None:
    Shelf(tmp_path).put("vm", *offer(1))
    for path in [*(tmp_path / "servers").iterdir(), *(tmp_path / "bodies").iterdir()]:
        path.with_name(path.name + ".part").write_bytes(b"half")
    assert Shelf(tmp_path).load()["vm"].envelope == offer(1)[0]
    Shelf(tmp_path).put("vm", *offer(2))
    assert Shelf(tmp_path).highest("vm") == 2


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    Shelf(tmp_path).put("vm", *offer(1))
    body = body_files(tmp_path)[0]
    moved = tmp_path / "elsewhere"
    body.rename(moved)
    body.symlink_to(moved)
    assert Shelf(tmp_path).load() == {}


def test_old_bodies_go_and_the_one_in_force_stays(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put("disk", *offer(1, server="disk"))
    os.utime(body_files(tmp_path)[0], (0, 0))
    for number in range(2, BODIES_KEPT + 8):
        shelf.put("vm", *offer(number))
    assert len(body_files(tmp_path)) == BODIES_KEPT + 2
    assert set(Shelf(tmp_path).load()) == {"vm", "disk"}


def test_nobody_else_can_read_the_shelf(tmp_path: Path) -> None:
    Shelf(tmp_path / "shelf").put("vm", *offer(1))
    for path in (tmp_path / "shelf").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
