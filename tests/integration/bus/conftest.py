"""An outbox of plain records, and what a stream holds."""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest

from toolreeve.audit import Position
from toolreeve.bus import Connection
from toolreeve.outbox import Outbox


def pack(first: Position, head: bytes, records: Sequence[bytes]) -> tuple[bytes, bytes]:
    payload = b"\n".join(records)
    return payload, sha256(head + payload).digest()


@pytest.fixture
def open_outbox(tmp_path: Path) -> Callable[[str], Outbox[bytes]]:
    """Opens the outbox of the enforcer with this name."""
    return lambda enforcer: Outbox.open(tmp_path / enforcer, owner=enforcer, pack=pack)


@pytest.fixture
def stored() -> Callable[[Connection, str], Awaitable[list[tuple[str, bytes]]]]:
    """Reads a whole stream: each message's id and payload, in its order."""

    async def read(connection: Connection, stream: str) -> list[tuple[str, bytes]]:
        jetstream = await connection.jetstream()
        state = (await jetstream.stream_info(stream)).state
        messages: list[tuple[str, bytes]] = []
        for sequence in range(state.first_seq, state.last_seq + 1):
            message = await jetstream.get_msg(stream, sequence)
            headers = cast(
                "dict[str, str]",
                message.headers,  # pyright: ignore[reportUnknownMemberType]  (nats-py)
            )
            messages.append((headers["Nats-Msg-Id"], message.data or b""))
        return messages

    return read
