"""What is done to the processes while agents are at work. Each fault leaves everything running.

Named after the row of the fault matrix it belongs to.
"""

import asyncio
import itertools
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from nats.js import JetStreamContext
from tests.nemesis.rig import ENFORCER, NAMES, Rig, own, wait_until

from toolreeve.bus import Subjects, connect

Fault = Callable[[Rig, random.Random], None]

SUBJECTS = Subjects("toolreeve")
REPLAYED = 400
NO_BOUND = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
TINY = (4096, resource.RLIM_INFINITY)


def _kills(name: str) -> Fault:
    def kill(rig: Rig, chance: random.Random) -> None:
        for _ in range(4):
            time.sleep(chance.uniform(0.2, 0.8))
            rig[name].restart()

    return kill


def _killed_while_it_recovers(rig: Rig, chance: random.Random) -> None:
    for _ in range(5):
        rig["gateway"].kill()
        rig["gateway"].start(wait=False)
        time.sleep(chance.uniform(0.0, 0.9))
    rig["gateway"].restart()


def _disk_full(rig: Rig, chance: random.Random) -> None:
    """Neither its outbox nor its log can be written; both can again, and nobody has to help."""
    gateway = rig["gateway"]
    works = gateway.log.count("record.works_again")  # said only after recording has failed
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, TINY)
    time.sleep(chance.uniform(0.5, 1.5))
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, NO_BOUND)
    wait_until("it records again", lambda: gateway.log.count("record.works_again") > works)


def _second_with_the_same_outbox(rig: Rig, chance: random.Random) -> None:
    del chance
    second = rig.folder / "second.toml"
    lines = (rig.folder / "gateway.toml").read_text().splitlines()
    second.write_text("\n".join([lines[0], 'listen = "127.0.0.1:0"', *lines[2:]]) + "\n")
    command = own("gateway", "--config", str(second))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"process {rig['gateway'].pid} works with it" in done.stderr


def _stands_still(rig: Rig, chance: random.Random) -> None:
    rig["nats"].pause()
    time.sleep(chance.uniform(1.0, 4.0))
    rig["nats"].resume()


def _cut(*, up: bool, down: bool) -> Fault:
    def cut(rig: Rig, chance: random.Random) -> None:
        rig.proxy.holds_up, rig.proxy.holds_down = up, down
        time.sleep(chance.uniform(1.0, 3.0))
        rig.proxy.holds_up = rig.proxy.holds_down = False

    return cut


def _flapping(rig: Rig, chance: random.Random) -> None:
    for _ in range(5):
        rig.proxy.refuses = not rig.proxy.refuses
        time.sleep(chance.uniform(0.1, 0.5))
    rig.proxy.refuses = False


def _played_again(rig: Rig, chance: random.Random) -> None:
    """An administrator publishes what is stored a second time, in any order and without ids."""

    async def replay() -> None:
        async with connect(rig.nats_url, name="admin") as connection:
            jetstream = await connection.jetstream()
            info = await jetstream.stream_info(SUBJECTS.audit_stream)
            numbers = range(info.state.first_seq, info.state.last_seq + 1)
            for number in chance.sample(numbers, min(REPLAYED, len(numbers))):
                message = await jetstream.get_msg(SUBJECTS.audit_stream, seq=number)
                assert message.subject is not None
                await jetstream.publish(message.subject, message.data or b"")

    asyncio.run(replay())


def _warehouse_gone(rig: Rig, chance: random.Random) -> None:
    del chance
    rig["worker"].kill()
    for path in rig.worker_data.glob("warehouse.duckdb*"):
        path.unlink()
    rig["worker"].start()


def _worker_disk_full(rig: Rig, chance: random.Random) -> None:
    """It stops acknowledging; or it ends, and goes on where it stood."""
    worker = rig["worker"]
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, TINY)
    time.sleep(chance.uniform(1.0, 2.0))
    if worker.ended:
        worker.restart()
    else:
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, NO_BOUND)


def _worker_away(rig: Rig, chance: random.Random) -> None:
    rig["worker"].kill()
    time.sleep(chance.uniform(2.0, 4.0))
    rig["worker"].start()


def _no_history(rig: Rig, chance: random.Random) -> None:
    """Messages on an enforcer's subject that are no groups, or none that can be read."""

    def set_aside() -> int:
        return int(rig.rows("SELECT count(*) FROM integrity")[0][0])

    async def poison() -> None:
        async with connect(rig.nats_url, name="admin") as connection:
            jetstream = await connection.jetstream()
            for payload in (b"\xff" * 40, b"nothing of ours", chance.randbytes(1000)):
                await jetstream.publish(SUBJECTS.audit(ENFORCER), payload)

    before = set_aside()
    asyncio.run(poison())
    wait_until("they are set aside", lambda: set_aside() >= before + 3)


def _stream_of(rig: Rig) -> Path:
    """Where nats-server keeps the audit stream; the control plane's log lies elsewhere."""
    (found,) = rig.store.rglob(f"streams/{SUBJECTS.audit_stream}")
    return found


def _stream_files_gone(rig: Rig, chance: random.Random) -> None:
    """nats-server comes back without the stream; it is made again, and filled from outboxes."""
    time.sleep(chance.uniform(0.5, 1.5))
    rig["nats"].kill()
    shutil.rmtree(_stream_of(rig))
    rig["nats"].start()


def _stream_file_damaged(rig: Rig, chance: random.Random) -> None:
    """A bit of what is stored flips: nats-server drops what it can no longer read, and says so
    to nobody."""
    time.sleep(chance.uniform(0.5, 1.5))
    rig["nats"].kill()
    block = chance.choice(sorted(_stream_of(rig).rglob("*.blk")))
    raw = bytearray(block.read_bytes())
    if raw:
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    block.write_bytes(raw)
    rig["nats"].start()


def _as_admin(rig: Rig, doing: Callable[[JetStreamContext], Awaitable[object]]) -> None:
    async def connected() -> None:
        async with connect(rig.nats_url, name="admin") as connection:
            await doing(await connection.jetstream())

    asyncio.run(connected())


def _stream_deleted(rig: Rig, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.5, 1.5))
    _as_admin(rig, lambda jetstream: jetstream.delete_stream(SUBJECTS.audit_stream))


def _stream_cut_short(rig: Rig, chance: random.Random) -> None:
    """What no lock of the stream's forbids: to keep one message. Nothing can be published then,
    outboxes keep everything, and somebody is told; who puts it back has all of it filled in."""

    async def keep(jetstream: JetStreamContext, most: int) -> None:
        config = (await jetstream.stream_info(SUBJECTS.audit_stream)).config
        config.max_msgs = most
        await jetstream.update_stream(config)  # pyright: ignore[reportUnknownMemberType]  (nats-py)

    told = rig["worker"].log.count("audit-stream-changed")  # its events cannot be published either
    time.sleep(chance.uniform(0.5, 1.5))
    _as_admin(rig, lambda jetstream: keep(jetstream, 1))
    wait_until(
        "somebody is told", lambda: rig["worker"].log.count("audit-stream-changed") > told, 5.0
    )
    _as_admin(rig, lambda jetstream: keep(jetstream, -1))


def _all_at_once(rig: Rig, chance: random.Random) -> None:
    for _ in range(2):
        time.sleep(chance.uniform(0.3, 0.8))
        rig.kill()
        rig.start()


def _any_order(rig: Rig, chance: random.Random) -> None:
    for order in chance.sample(list(itertools.permutations(NAMES)), 2):
        rig.kill()
        rig.start(order)
        time.sleep(0.3)


FAULTS: dict[str, Fault] = {
    "row 1: an enforcer is killed at any moment": _kills("gateway"),
    "row 2: an enforcer is killed while it recovers": _killed_while_it_recovers,
    "rows 5 and 52: an enforcer's disk is full, and so is that of its log": _disk_full,
    "row 10: a second enforcer with the same outbox": _second_with_the_same_outbox,
    "row 13: nats-server is killed again and again": _kills("nats"),
    "row 15: the stream's files are deleted": _stream_files_gone,
    "row 15: a bit of the stream's files flips": _stream_file_damaged,
    "row 17: an administrator deletes the stream": _stream_deleted,
    "row 17: an administrator has the stream keep one message": _stream_cut_short,
    "row 18: an administrator plays everything again": _played_again,
    "row 19: nats-server stands still": _stands_still,
    "row 22: nothing passes between enforcer and NATS": _cut(up=True, down=True),
    "row 22: nothing passes from the enforcer to NATS": _cut(up=True, down=False),
    "row 22: nothing passes from NATS to the enforcer": _cut(up=False, down=True),
    "row 22: the wire to NATS is cut and mended": _flapping,
    "row 26: a control plane is killed again and again": _kills("control"),
    "row 32: a worker is killed at any moment": _kills("worker"),
    "row 33: the warehouse is deleted": _warehouse_gone,
    "row 34: a worker's disk is full": _worker_disk_full,
    "row 35: a worker was away": _worker_away,
    "row 36: messages that are no history": _no_history,
    "row 47: everything is killed at once": _all_at_once,
    "row 48: processes start in any order": _any_order,
}
