"""Callers that give every call a name of its own, never say one twice, and time every answer."""

import contextlib
import http.client
import json
import threading
import time
from itertools import count
from typing import Self

from tests.nemesis.rig import listens

VERSION = "2026-07-28"
DEADLINE_SECONDS = 15.0
PAUSE_SECONDS = 0.004
_names = count(1)
_lock = threading.Lock()


class Agents:
    """Some agents at work from `start` to `stop`."""

    def __init__(self, port: int, agents: int = 4) -> None:
        self._port = port
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(agents)]
        self.asked: set[str] = set()
        self.answered: dict[str, str] = {}
        """What an agent was told of a call: allow, deny, or not_recorded."""
        self.overdue: list[str] = []
        """Calls without an answer, and without an end of their connection, within the deadline."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        while not self._ending.is_set():
            with _lock:
                number = next(_names)
            name = f"call-{number}"
            tool = "vm_restart" if number % 10 == 0 else "vm_status"
            self.asked.add(name)
            try:
                connection.request("POST", "/flat/mcp", body(number, tool, name), headers(tool))
                answer = connection.getresponse()
                text = answer.read().decode()
            except TimeoutError:
                self.overdue.append(name)
                connection.close()
            except (OSError, http.client.HTTPException):
                connection.close()
                while not listens(self._port) and not self._ending.is_set():
                    time.sleep(0.02)
            else:
                if answer.status == http.HTTPStatus.OK:
                    self.answered[name] = effect(text)
            time.sleep(PAUSE_SECONDS)
        with contextlib.suppress(OSError):
            connection.close()


def effect(text: str) -> str:
    """What an answer tells of the call."""
    if "[POLICY DENIED]" not in text:
        return "allow"
    return "not_recorded" if "could not be recorded" in text else "deny"


def body(number: int, tool: str, name: str) -> bytes:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {"id": 1, "name": name}, "_meta": meta}
    return json.dumps(
        {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    ).encode()


def headers(tool: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
