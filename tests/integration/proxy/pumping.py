"""The client's end of a wrapper under test."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Recorder


class Wrapped:
    """A running `wrap` between two pipes."""

    def __init__(self, gate: Recorder, task: asyncio.Task[int], to: int, back: int) -> None:
        self.gate = gate
        self.task = task
        self._to = to
        self._back = back
        self._rest = b""

    async def send(self, *lines: bytes) -> None:
        await asyncio.to_thread(os.write, self._to, b"".join(line + b"\n" for line in lines))

    async def line(self) -> dict[str, object]:
        while b"\n" not in self._rest:
            data = await asyncio.to_thread(os.read, self._back, 65536)
            assert data, "the wrapper has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        value: dict[str, object] = json.loads(line)
        return value

    async def call(self, tool: str, number: int = 1, **arguments: object) -> None:
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        await self.send(json.dumps(message).encode())

    async def text(self) -> str:
        answer: dict[str, Any] = await self.line()
        return str(answer["result"]["content"][0]["text"])

    async def close(self) -> int:
        os.close(self._to)
        return await self.task
