"""What the worker asks of the stream beside its messages."""

import asyncio

import nats.errors
import structlog
from nats.js.errors import APIError, NotFoundError

from toolreeve.bus import Connection
from toolreeve.worker.asking import StreamPlace

log = structlog.get_logger()

ANSWER_SECONDS_MAX = 2.0


def heed() -> None:
    """Raise CancelledError where this task was cancelled and did not hear of it.

    nats-py waits with `asyncio.wait_for`, which in Python 3.11 forgets a cancellation that comes
    together with the answer; a loop that asks for ever would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class AuditStream:
    """The audit stream, and the worker's own consumer of it."""

    def __init__(self, connection: Connection, *, stream: str, durable: str) -> None:
        self._connection = connection
        self._stream = stream
        self._durable = durable

    async def pending(self) -> int | None:
        """How many messages wait to be loaded; None where nobody can say now."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                jetstream = await self._connection.jetstream()
                info = await jetstream.consumer_info(self._stream, self._durable)
        except (TimeoutError, nats.errors.Error, APIError, OSError):
            return None
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def place(self) -> StreamPlace | None:
        """How far the stream goes and how far it is loaded; None where nobody can say now."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                jetstream = await self._connection.jetstream()
                state = (await jetstream.stream_info(self._stream)).state
                info = await jetstream.consumer_info(self._stream, self._durable)
        except (TimeoutError, nats.errors.Error, APIError, OSError):
            return None
        loaded = info.ack_floor.stream_seq if info.ack_floor else 0
        waiting = (info.num_pending or 0) + (info.num_ack_pending or 0)
        # With nothing waiting all is loaded, also where the stream's end was taken away.
        return StreamPlace(last=state.last_seq, loaded=loaded if waiting else state.last_seq)

    async def begin_again_behind(self, loaded: int) -> None:
        """Let the consumer read from the stream's start where it is ahead of `loaded`.

        What is acknowledged was loaded first, so a consumer that has acknowledged more than the
        newest loaded message belongs to a warehouse that was lost, or put back from a copy.
        """
        while True:
            jetstream = await self._connection.jetstream()
            try:
                info = await jetstream.consumer_info(self._stream, self._durable)
                floor = info.ack_floor.stream_seq if info.ack_floor else 0
                if floor > loaded:
                    log.warning("consumer.begins_again", acknowledged=floor, loaded=loaded)
                    await jetstream.delete_consumer(self._stream, self._durable)
            except NotFoundError:
                return
            except (nats.errors.Error, APIError, OSError):
                await asyncio.sleep(ANSWER_SECONDS_MAX)
            else:
                return

    async def last_payload(self, subject: str) -> bytes | None:
        """The newest message on a subject; None: there is none. Waits while NATS is away."""
        while True:
            jetstream = await self._connection.jetstream()
            try:
                message = await jetstream.get_last_msg(self._stream, subject)
            except NotFoundError:
                return None
            except (nats.errors.Error, APIError, OSError):
                await asyncio.sleep(ANSWER_SECONDS_MAX)
            else:
                return message.data
