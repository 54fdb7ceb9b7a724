"""An outbox on a real disk, as its users see it."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from msgspec.structs import replace

from toolreeve.audit import Position
from toolreeve.outbox import Group, Outbox, OutboxError, OutboxSettings

OpenOutbox = Callable[..., Outbox[bytes]]
SMALL = OutboxSettings(segment_bytes=16_384, bytes_max=4_000, keep_seconds=0.0, retry_seconds=0.0)


def run(story: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await story

    asyncio.run(bounded())


def lines(groups: list[Group]) -> list[bytes]:
    return [line for group in groups for line in group.payload.split(b"\n")]


async def take(outbox: Outbox[bytes], records: int) -> list[Group]:
    """The first groups a new follower is given, until it has so many records."""
    groups: list[Group] = []
    async for group in outbox.follow():
        groups.append(group)
        if sum(taken.count for taken in groups) >= records:
            break
    return groups


def test_records_get_positions_in_the_order_of_append_and_are_there_after_reopening(
    open_outbox: OpenOutbox,
) -> None:
    async def story() -> None:
        outbox = open_outbox()
        assert outbox.recovered.last is None
        assert outbox.recovered.next_epoch == 1
        outbox.begin(1)
        waiting = [outbox.append(b"%d" % number) for number in range(1000)]
        positions = await asyncio.gather(*waiting)
        assert positions == [Position(1, number) for number in range(1, 1001)]
        status = outbox.status()
        assert (status.last, status.waiting) == (Position(1, 1000), 0)
        await outbox.close()

        again = open_outbox()
        assert again.recovered.last == Position(1, 1000)
        assert again.recovered.head == status.head
        assert again.recovered.torn_bytes == 0
        groups = list(again.groups())
        assert lines(groups) == [b"%d=%d" % (number + 1, number) for number in range(1000)]
        assert len(groups) < 200, "records that wait together are flushed together"
        await again.close()

    run(story())


def test_an_epoch_starts_at_one_and_the_chain_goes_on(open_outbox: OpenOutbox) -> None:
    async def story() -> None:
        outbox = open_outbox()
        outbox.begin(4)
        await outbox.append(b"old")
        head = outbox.status().head
        late = outbox.append(b"still old")
        outbox.begin(6)
        new = outbox.append(b"new")
        assert await late == Position(4, 2)
        assert await new == Position(6, 1)
        assert outbox.status().head != head
        for epoch in (4, 6):
            with pytest.raises(ValueError, match="not above 6"):
                outbox.begin(epoch)
        await outbox.close()
        again = open_outbox()
        assert again.recovered.next_epoch == 7
        assert [group.first for group in again.groups(Position(4, 2))] == [Position(6, 1)]
        await again.close()

    run(story())


def test_a_record_that_lingers_rides_with_the_next_and_else_goes_by_itself(
    open_outbox: OpenOutbox,
) -> None:
    async def story() -> None:
        outbox = open_outbox(OutboxSettings(linger_seconds=1.0))
        outbox.begin(1)
        outcome = outbox.append(b"outcome", lingers=True)
        await asyncio.sleep(0.05)
        assert not outcome.done(), "it asks for no flush of its own"
        assert await outbox.append(b"decision") == Position(1, 2)
        assert outcome.result() == Position(1, 1)
        assert [group.count for group in outbox.groups()] == [2]
        outbox.append(b"last", lingers=True)
        await outbox.close()  # an end in order waits for nobody's turn
        again = open_outbox(OutboxSettings(linger_seconds=0.01))
        assert again.recovered.last == Position(1, 3)
        again.begin(2)
        assert await again.append(b"alone", lingers=True) == Position(2, 1)
        await again.close()

    run(story())


def test_groups_stay_within_records_max_and_bytes_max(open_outbox: OpenOutbox) -> None:
    async def story() -> None:
        outbox = open_outbox(replace(SMALL, records_max=10))
        outbox.begin(1)
        small = [outbox.append(b".") for _ in range(95)]
        large = [outbox.append(bytes(900)) for _ in range(20)]
        await asyncio.gather(*small, *large)
        groups = list(outbox.groups())
        assert sum(group.count for group in groups) == 115
        assert all(group.count <= 10 and len(group.payload) <= 4000 for group in groups)
        with pytest.raises(OutboxError, match="bytes_max"):
            await outbox.append(bytes(5000))
        assert await outbox.append(b"next") == Position(1, 116)
        await outbox.close()

    run(story())


def test_a_record_that_cannot_be_packed_harms_no_other(open_outbox: OpenOutbox) -> None:
    async def story() -> None:
        outbox = open_outbox()
        outbox.begin(1)
        records = [b"a", b"b", b"poison", b"c", b"poison", b"d"]
        results = await asyncio.gather(
            *(outbox.append(record) for record in records), return_exceptions=True
        )
        good = [result for result in results if isinstance(result, Position)]
        bad = [result for result in results if isinstance(result, OutboxError)]
        assert good == [Position(1, number) for number in (1, 2, 3, 4)]
        assert len(bad) == 2
        assert lines(list(outbox.groups())) == [b"1=a", b"2=b", b"3=c", b"4=d"]
        await outbox.close()

    run(story())


def test_more_records_than_may_wait_are_refused_and_use_no_position(
    open_outbox: OpenOutbox,
) -> None:
    async def story() -> None:
        outbox = open_outbox(replace(SMALL, waiting_max=5))
        outbox.begin(1)
        results = await asyncio.gather(
            *(outbox.append(b"%d" % number) for number in range(9)), return_exceptions=True
        )
        assert results[:5] == [Position(1, number) for number in range(1, 6)]
        assert all(isinstance(result, OutboxError) for result in results[5:])
        assert await outbox.append(b"later") == Position(1, 6)
        await outbox.close()

    run(story())


def test_after_a_failed_write_what_waits_is_refused_and_the_next_append_finds_a_way(
    open_outbox: OpenOutbox, break_writes: Callable[[], None], tmp_path: Path
) -> None:
    async def story() -> None:
        outbox = open_outbox(SMALL)
        outbox.begin(1)
        await outbox.append(b"before")
        break_writes()
        results = await asyncio.gather(
            *(outbox.append(bytes(900)) for _ in range(50)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, OutboxError)]
        assert refused, "the write failed"
        assert "No space left on device" in str(refused[0])
        assert results[0] is refused[0], "the first one was in the failed write"
        assert len(refused) > 4, "and so was whatever waited behind it"
        accepted = [result for result in results if isinstance(result, Position)]
        last = await outbox.append(b"after")
        assert last == Position(1, 2 + len(accepted))
        assert lines(list(outbox.groups()))[0] == b"1=before"
        assert lines(list(outbox.groups()))[-1] == b"%d=after" % last.sequence
        assert len(list((tmp_path / "outbox").glob("*.segment"))) == 2
        await outbox.close()
        again = open_outbox(SMALL)
        assert again.recovered.last == last
        assert len(lines(list(again.groups()))) == last.sequence
        await again.close()

    run(story())


def test_while_the_disk_is_full_appends_fail_at_once_and_recover_when_there_is_room(
    open_outbox: OpenOutbox, tmp_path: Path
) -> None:
    """A folder stands where the next segment is prepared, so it cannot be made."""

    async def story() -> None:
        outbox = open_outbox(SMALL)
        outbox.begin(1)
        obstacle = tmp_path / "outbox" / "0000000001.segment.new"
        obstacle.mkdir()
        for _ in range(3):
            with pytest.raises(OutboxError, match="cannot be begun"):
                await outbox.append(b"refused")
        obstacle.rmdir()
        assert await outbox.append(b"there") == Position(1, 1)
        await outbox.close()

    run(story())


def test_a_follower_gets_the_past_from_disk_then_what_comes_live(
    open_outbox: OpenOutbox,
) -> None:
    async def story() -> None:
        outbox = open_outbox(replace(SMALL, recent_bytes_max=0))
        outbox.begin(1)
        await asyncio.gather(*(outbox.append(bytes(500)) for _ in range(100)))
        await outbox.close()
        outbox = open_outbox(replace(SMALL, recent_bytes_max=3000))
        outbox.begin(2)
        seen: list[Group] = []
        caught_up = asyncio.Event()

        async def follow() -> None:
            async for group in outbox.follow():
                seen.append(group)
                if group.last == Position(2, 1):
                    caught_up.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            await outbox.append(b"live")
            await caught_up.wait()
            for number in range(300):
                await outbox.append(b"%d" % number)
            await asyncio.gather(*(outbox.append(bytes(900)) for _ in range(50)))
            await outbox.close()  # ends the follower, after everything
        assert seen == list(outbox.groups())
        assert sum(group.count for group in seen) == 100 + 1 + 300 + 50

    run(story())


def test_what_the_only_follower_has_come_by_is_not_kept_in_memory(
    open_outbox: OpenOutbox,
) -> None:
    async def story() -> None:
        outbox = open_outbox()
        outbox.begin(1)
        await asyncio.gather(*(outbox.append(bytes(500)) for _ in range(100)))
        assert outbox.status().recent_bytes == 0, "nobody follows"
        seen = 0

        async def follow() -> None:
            nonlocal seen
            async for group in outbox.follow():
                seen += group.count

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            for number in range(100):
                await outbox.append(b"%d" % number)
            await outbox.finish()
        assert seen == 200
        assert outbox.status().recent_bytes == 0
        await outbox.close()

    run(story())


def test_a_follower_starts_behind_what_was_published_also_after_a_restart(
    open_outbox: OpenOutbox,
) -> None:
    async def story() -> None:
        outbox = open_outbox()
        outbox.begin(1)
        for number in range(10):
            await outbox.append(b"%d" % number)
        outbox.published(Position(1, 4))
        outbox.published(Position(1, 3))
        assert outbox.status().published == Position(1, 4)
        assert (await take(outbox, 1))[0].first == Position(1, 5)
        with pytest.raises(ValueError, match="never written"):
            outbox.published(Position(1, 11))
        await outbox.close()
        again = open_outbox()
        assert again.recovered.published == Position(1, 4)
        assert (await take(again, 6))[0].first == Position(1, 5)
        again.published(Position(1, 10))
        again.begin(2)
        live = asyncio.create_task(take(again, 1))
        await again.append(b"new")
        assert (await live)[0].first == Position(2, 1)
        await again.close()

    run(story())


def test_segments_go_when_they_are_published_and_old_and_not_before(
    open_outbox: OpenOutbox, tmp_path: Path
) -> None:
    async def story() -> None:
        keeping = replace(SMALL, keep_seconds=3600.0)
        outbox = open_outbox(keeping)
        outbox.begin(1)
        for _ in range(20):
            await outbox.append(bytes(3000))
        segments = sorted((tmp_path / "outbox").glob("*.segment"))
        assert len(segments) > 4
        assert outbox.status().bytes_on_disk == SMALL.segment_bytes * len(segments)
        assert outbox.trim() == 0, "nothing is published"
        outbox.published(Position(1, 12))
        assert outbox.trim() == 0, "all are young"
        await outbox.close()
        for segment in segments:
            os.utime(segment, (0, 0))
        outbox = open_outbox(keeping)
        assert outbox.trim() > 0
        left = list(outbox.groups())
        assert left[0].first <= Position(1, 13) <= left[-1].first
        await outbox.close()
        again = open_outbox(keeping)
        assert list(again.groups()) == left
        assert again.recovered.published == Position(1, 12)
        await again.close()

    run(story())


def test_closing_writes_what_waits_and_refuses_what_comes_later(open_outbox: OpenOutbox) -> None:
    async def story() -> None:
        outbox = open_outbox()
        outbox.begin(1)
        waiting = [outbox.append(b"%d" % number) for number in range(100)]
        await outbox.close()
        assert await waiting[-1] == Position(1, 100)
        with pytest.raises(OutboxError, match="closed"):
            await outbox.append(b"late")
        await outbox.close()
        again = open_outbox()
        assert again.recovered.last == Position(1, 100)
        await again.close()

    run(story())


def test_a_cancelled_waiter_takes_nothing_back(open_outbox: OpenOutbox) -> None:
    async def story() -> None:
        outbox = open_outbox()
        outbox.begin(1)
        outbox.append(b"cancelled").cancel()
        assert await outbox.append(b"next") == Position(1, 2)
        await outbox.close()

    run(story())


def test_an_outbox_that_cannot_be_used_says_so_at_once(tmp_path: Path) -> None:
    def pack(first: Position, head: bytes, records: object) -> tuple[bytes, bytes]:
        return b"", head

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OutboxError, match="no symbolic link"):
        Outbox[bytes].open(tmp_path / "link", owner="edge-1", pack=pack)
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError, match="cannot be opened"):
        Outbox[bytes].open(tmp_path / "file", owner="edge-1", pack=pack)
    with pytest.raises(OutboxError, match="set segment_bytes to"):
        Outbox[bytes].open(
            tmp_path / "tight",
            owner="edge-1",
            pack=pack,
            settings=OutboxSettings(segment_bytes=8192, bytes_max=8192),
        )
