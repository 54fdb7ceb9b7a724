"""An enforcer that goes on from an outbox of many segments, some of them rotten."""

import asyncio
from collections.abc import Coroutine, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolreeve.audit import Draft, EnforcerStarted, HoldPlaced, OutboxDamaged, Redaction
from toolreeve.decision import Hold
from toolreeve.enforcement import Sampling
from toolreeve.gateway.admission import Everybody
from toolreeve.gateway.opening import Opened, damaged, take_up
from toolreeve.gateway.scrubbing import scrub
from toolreeve.outbox import Outbox, OutboxSettings, Salvage
from toolreeve.outbox.segment import IDENTITY_BYTES
from toolreeve.runtime.identity import Identity
from toolreeve.wire import pack, read_event, unpack

KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"edge-1").digest())
WHO = Identity(KEY.public_key().public_bytes_raw(), lambda: KEY.sign)
SMALL = OutboxSettings(segment_bytes=16_384, bytes_max=4_000, publishes=False)


def run(story: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


async def taken_up(home: Path) -> Opened:
    return await take_up(
        home / "outbox",
        name="edge-1",
        who=WHO,
        redaction=Redaction(keep=(), key=bytes(32)),
        counter_key=bytes(32),
        servers=("s",),
        policies={},
        admission=Everybody(),
        outbox_settings=SMALL,
        sampling=Sampling(),
        waits=True,
        tell=lambda _: None,
    )


async def live(home: Path, events: int) -> None:
    """A life that is written down at its half, and ends without a word."""
    opened = await taken_up(home)
    for number in range(events):
        if number == events // 2:
            await opened.rememberer.write()
        hold = Hold(hold_id=f"h{number}", tool="t", actor="ann", reason="r" * 200)
        await opened.station.note(Draft(opened.clock.now(), HoldPlaced(hold=hold)))
    await opened.outbox.close()


def segments(home: Path) -> list[Path]:
    return sorted((home / "outbox").glob("*.segment"))


def flip(file: Path) -> bytes:
    at = IDENTITY_BYTES + 200
    intact = file.read_bytes()
    file.write_bytes(intact[:at] + bytes([intact[at] ^ 4]) + intact[at + 1 :])
    return file.read_bytes()


def recorded(home: Path) -> Sequence[object]:
    outbox = Outbox[Draft].open(
        home / "outbox", owner="edge-1", pack=pack("edge-1"), settings=SMALL, whole=False
    )
    bodies = [
        read_event(raw).body
        for group in outbox.groups(outbox.status().kept_after)
        for raw in unpack(group.payload).raws
    ]
    asyncio.run(outbox.close())
    return bodies


@pytest.fixture
def lived(tmp_path: Path) -> Path:
    run(live(tmp_path, 240))
    assert len(segments(tmp_path)) > 5
    return tmp_path


def test_damage_behind_the_memory_is_set_aside_and_recorded_at_the_start(lived: Path) -> None:
    flip(segments(lived)[-2])

    async def story() -> None:
        opened = await taken_up(lived)
        assert opened.outbox.recovered.salvaged is not None
        await opened.outbox.close()

    run(story())
    assert (lived / "outbox.damaged-1").is_dir()
    bodies = recorded(lived)
    assert isinstance(bodies[-2], EnforcerStarted)
    (found,) = [body for body in bodies if isinstance(body, OutboxDamaged)]
    assert found.kept_in == "outbox.damaged-1"
    assert len(found.lost) == 1


def test_damage_that_no_start_reads_is_recorded_while_the_enforcer_is_at_work(lived: Path) -> None:
    second = segments(lived)[1]
    rotten = flip(second)
    told: list[OutboxDamaged] = []

    async def story() -> None:
        opened = await taken_up(lived)
        assert opened.outbox.recovered.salvaged is None, "a start reads what is new"
        seen = asyncio.Event()

        async def record(found: Salvage) -> None:
            body = damaged(found)
            await opened.station.note(Draft(opened.clock.now(), body))
            told.append(body)
            seen.set()

        scrubbing = asyncio.create_task(
            scrub(opened.outbox, record, piece_seconds=0.0, pass_seconds=0.0)
        )
        await seen.wait()
        await asyncio.sleep(0.3)  # some passes more
        scrubbing.cancel()
        await opened.outbox.close()

    run(story())
    (found,) = told
    assert [one.segment for one in found.lost] == [second.name]
    assert (lived / found.kept_in / second.name).read_bytes() == rotten

    async def next_start() -> None:
        opened = await taken_up(lived)
        assert opened.outbox.recovered.salvaged is not None, "it reads everything"
        await opened.outbox.close()
        opened = await taken_up(lived)
        assert opened.outbox.recovered.salvaged is None, "and it is on record"
        await opened.outbox.close()

    run(next_start())
