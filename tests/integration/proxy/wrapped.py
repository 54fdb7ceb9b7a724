"""`wrapped.py COMMAND...`: a process that runs `wrap` with a gate that refuses `vm_delete`."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

import structlog

from toolreeve.proxy.gate import (
    BadAnswer,
    BadRequest,
    Caller,
    Ending,
    Forward,
    Refusal,
    Stranger,
    ToolCall,
)
from toolreeve.proxy.wrap import wrap


class Decision(NamedTuple):
    decided: Forward | Refusal
    written: None = None
    held: None = None

    def verdict(self) -> Forward | Refusal:
        return self.decided


class ByName:
    def authenticate(self, server: str, authorization: str | None) -> Caller | Stranger:
        return Caller("local", "test")

    def may_stay(self, server: str, caller: Caller) -> bool:
        return True

    def decide(self, call: ToolCall) -> Decision:
        if call.wire_name == "vm_delete":
            text = [{"type": "text", "text": "[POLICY DENIED]"}]
            return Decision(Refusal({"content": text, "isError": True, "resultType": "complete"}))
        return Decision(Forward(object()))

    def ended(self, token: object, ending: Ending) -> None:
        pass

    async def refused(self, bad: BadRequest) -> None:
        pass

    def withheld(self, bad: BadAnswer) -> None:
        pass

    def visible(
        self, server: str, caller: Caller, tools: list[object], *, more: bool
    ) -> list[object]:
        return tools

    def watch_tools(self, server: str, changed: Callable[[], None]) -> None:
        pass

    def method_allowed(self, server: str, caller: Caller, method: str) -> bool:
        return True


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sys.exit(asyncio.run(wrap(sys.argv[1:], ByName(), "flat", environ=os.environ)))
