"""Where the accounts of shared limits lie: a JetStream stream with one message an account.

A new version names the sequence of the one that it replaces, so of two replicas that change an
account at once, one is refused and looks again. JetStream keeps the latest version alone. A stream
that is full refuses; it never forgets.
"""

import asyncio
from typing import Any

import nats.errors
import nats.js.errors
from msgspec import Struct
from nats.js.api import DiscardPolicy, Header, RetentionPolicy, StorageType, StreamConfig

from toolreeve.bus import BusError, Connection, StreamLosesError, Subjects
from toolreeve.control.ledger import WRONG_LAST_SEQUENCE, OvertakenError, UnansweredError

ANSWER_SECONDS_MAX = 0.75
BYTES_MAX = 1 << 30
BYTES_LEAST = 16 << 20
NO_ROOM = 10047
NO_MESSAGE = 10037
AGE_SECONDS_MAX = 400 * 86_400
"""Longer than the longest window, by far: what is older counts nowhere."""


class Stored(Struct, frozen=True):
    """The latest version of an account; None and 0 where there is none."""

    sequence: int = 0
    raw: bytes | None = None


class LeaseLedger:
    """The accounts in one stream. `account` is a name as `Subjects.lease` takes it."""

    def __init__(self, connection: Connection, subjects: Subjects, *, replicas: int = 1) -> None:
        self._connection = connection
        self._subjects = subjects
        self._replicas = replicas

    async def open(self) -> None:
        """Make the stream, or check the one that is there. Raises BusError, StreamLosesError."""
        name = self._subjects.lease_stream
        jetstream = await self._connection.jetstream()
        try:
            try:
                found = (await jetstream.stream_info(name)).config
            except nats.js.errors.NotFoundError:
                found = await self._make()
        except nats.errors.Error as error:
            raise BusError(
                f"stream {name} cannot be had: {str(error) or type(error).__name__}",
                remedy="give the server room and JetStream, and this user its API",
            ) from error
        keeps = found.storage == StorageType.FILE and found.discard == DiscardPolicy.NEW
        aged = 0 < (found.max_age or 0) < AGE_SECONDS_MAX
        if not keeps or aged or (found.max_msgs or -1) > 0:
            raise StreamLosesError(
                f"stream {name} would forget what was given",
                remedy=f"mend it with `nats stream edit {name}`, or move it away",
            )

    async def read(self, account: str) -> Stored:
        """The latest version. Raises UnansweredError."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                jetstream = await self._connection.jetstream()
                subject = self._subjects.lease(account)
                found = await jetstream.get_last_msg(self._subjects.lease_stream, subject)
        except nats.js.errors.NotFoundError as error:
            if error.err_code == NO_MESSAGE:
                return Stored()
            raise UnansweredError(str(error)) from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise UnansweredError(str(error) or type(error).__name__) from error
        return Stored(found.seq or 0, found.data or b"")

    async def write(self, account: str, raw: bytes, *, after: int) -> int:
        """Replace version `after`, or nothing; returns once JetStream has it, with its sequence.

        Raises OvertakenError where `after` is not the latest, and UnansweredError where nobody can
        say whether it was written.
        """
        headers: dict[str, Any] = {
            Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(after),
            Header.EXPECTED_STREAM: self._subjects.lease_stream,
        }
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                jetstream = await self._connection.jetstream()
                subject = self._subjects.lease(account)
                ack = await jetstream.publish(
                    subject, raw, timeout=ANSWER_SECONDS_MAX, headers=headers
                )
        except nats.js.errors.APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise OvertakenError(str(error)) from error
            raise UnansweredError(str(error)) from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise UnansweredError(str(error) or type(error).__name__) from error
        return ack.seq

    async def _make(self) -> StreamConfig:
        """With half the size again and again where the server has less room."""
        jetstream = await self._connection.jetstream()
        bytes_max = BYTES_MAX
        while True:
            config = StreamConfig(
                name=self._subjects.lease_stream,
                subjects=[self._subjects.lease_all],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                max_msgs_per_subject=1,
                max_bytes=bytes_max,
                max_age=AGE_SECONDS_MAX,
                num_replicas=self._replicas,
                deny_delete=True,
                deny_purge=True,
            )
            try:
                info = await jetstream.add_stream(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
                    config
                )
            except nats.js.errors.APIError as error:
                if error.err_code != NO_ROOM or bytes_max // 2 < BYTES_LEAST:
                    raise
                bytes_max //= 2
            else:
                return info.config
