"""What happens when there is no more room: ordinary records stop first, and all recovers alone."""

import asyncio
import subprocess
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest
from tests.integration.outbox.conftest import pack

from toolreeve.audit import Position
from toolreeve.outbox import Outbox, OutboxError, OutboxSettings
from toolreeve.outbox.error import NoRoomError

SEGMENT = 16_384
RECORD = bytes(900)


def small(bytes_on_disk_max: int = 1 << 30) -> OutboxSettings:
    return OutboxSettings(
        segment_bytes=SEGMENT,
        bytes_max=4_000,
        keep_seconds=0.0,
        retry_seconds=0.02,
        bytes_on_disk_max=bytes_on_disk_max,
    )


def run(story: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await story

    asyncio.run(bounded())


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 80 kB: four segments and no fifth."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def opened(folder: Path, settings: OutboxSettings) -> Outbox[bytes]:
    """An outbox in which records that end in an exclamation mark are reserved."""
    return Outbox[bytes].open(
        folder,
        owner="edge-1",
        pack=pack,
        settings=settings,
        reserved=lambda record: record.endswith(b"!"),
    )


async def fill(outbox: Outbox[bytes]) -> OutboxError:
    """Append ordinary records until one is refused; that refusal."""
    while True:
        try:
            await outbox.append(RECORD)
        except OutboxError as error:
            return error


async def until_taken(outbox: Outbox[bytes]) -> Position:
    while True:
        try:
            return await outbox.append(RECORD)
        except OutboxError:
            await asyncio.sleep(0.01)


async def stays_useful(outbox: Outbox[bytes]) -> None:
    """Ordinary records are refused, reserved ones are not, and both keep their order."""
    assert isinstance(await fill(outbox), NoRoomError)
    last = outbox.status().last
    assert last is not None
    outcome = outbox.append(b"outcome!", lingers=True)
    decision = outbox.append(RECORD)
    hold = outbox.append(b"hold!")
    assert await outcome == Position(1, last.sequence + 1)
    assert await hold == Position(1, last.sequence + 2)
    with pytest.raises(NoRoomError, match="what is left here is reserved; make room"):
        await decision


def test_at_its_bound_an_outbox_keeps_room_for_what_must_not_be_lost(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        outbox = opened(tmp_path / "outbox", small(bytes_on_disk_max=3 * SEGMENT))
        outbox.begin(1)
        await stays_useful(outbox)
        assert (
            sum(file.stat().st_size for file in (tmp_path / "outbox").glob("*")) < 3 * SEGMENT + 99
        )
        last = outbox.status().last
        assert last is not None
        outbox.published(last)  # whoever takes the groups is back
        outbox.trim()
        assert await until_taken(outbox) > last
        await outbox.close()

    run(story())


def test_on_a_full_disk_too_and_it_goes_on_when_there_is_room(
    tiny_disk: Path,
) -> None:
    async def story() -> None:
        ballast = tiny_disk / "ballast"
        ballast.write_bytes(bytes(24_000))
        outbox = opened(tiny_disk / "outbox", small())
        outbox.begin(1)
        await stays_useful(outbox)
        before = outbox.status().last
        ballast.unlink()
        after = await until_taken(outbox)
        assert before is not None
        assert after == Position(1, before.sequence + 1)
        await outbox.close()
        again = opened(tiny_disk / "outbox", small())
        assert again.recovered.last == after
        assert again.recovered.salvaged is None
        await again.close()

    run(story())
