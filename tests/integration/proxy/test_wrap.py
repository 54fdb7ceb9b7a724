"""A wrapped server: lines pass, refusals are answered here, and nobody is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import TextContent
from tests.integration.proxy.pumping import Wrapped

from toolreeve.proxy.child import ChildBounds, ChildError
from toolreeve.proxy.wrap import CLIENT_LINE_BYTES_MAX, wrap

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Recorder

HERE = Path(__file__).parent
ODD = [sys.executable, str(HERE / "odd_server.py")]


OpenWrapped = Callable[..., AbstractAsyncContextManager[Wrapped]]


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    path = tmp_path / "seen.txt"
    path.touch()
    return path


@pytest.fixture
def wrapped(recorder: Callable[[], Recorder], seen: Path) -> OpenWrapped:
    @asynccontextmanager
    async def open_wrapped(
        command: list[str] = ODD, bounds: ChildBounds | None = None
    ) -> AsyncGenerator[Wrapped]:
        inner_read, outer_write = os.pipe()
        outer_read, inner_write = os.pipe()
        gate = recorder()
        task = asyncio.create_task(
            wrap(
                command,
                gate,
                "odd",
                environ={**os.environ, "SEEN_FILE": str(seen)},
                stdin_fd=inner_read,
                stdout_fd=inner_write,
                bounds=bounds or ChildBounds(stop_seconds_max=1.0),
            )
        )
        here = Wrapped(gate, task, outer_write, outer_read)
        try:
            yield here
        finally:
            if not task.done():
                await here.close()
            for fd in (inner_read, outer_read, inner_write):
                os.close(fd)

    return open_wrapped


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_sdk_clients_of_both_eras_notice_nothing(mode: str, seen: Path) -> None:
    async def main() -> None:
        server = StdioServerParameters(
            command=sys.executable,
            args=[str(HERE / "wrapped.py"), sys.executable, str(HERE / "flat_server.py"), "stdio"],
            env={**os.environ, "SEEN_FILE": str(seen)},
        )
        steps: list[float] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            steps.append(progress)

        async with asyncio.timeout(20), Client(stdio_client(server), mode=mode) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "vm_restart" in names
            result = await client.call_tool("vm_backup", {"id": 4}, progress_callback=note)
            assert isinstance(result.content[0], TextContent)
            assert result.content[0].text == "backed up 4"
            assert steps == [1, 2, 3]
            assert (await client.call_tool("vm_delete", {"id": 4})).is_error
            assert "vm_delete" not in seen.read_text()

    asyncio.run(main())


def test_a_line_arrives_as_it_was_sent_and_its_answer_as_it_was_given(
    wrapped: OpenWrapped,
) -> None:
    line = '{"jsonrpc":"2.0","id":"ä","method":"tools/call","params":{"name":"echo","x":[1e2]}}'

    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            await here.send(line.replace("1e2", "100.0").encode() + b"\r")
            answer = await here.line()
            assert answer["id"] == "ä"
            assert '"x":[100.0]' in json.dumps(answer["result"]).replace("\\", "")
            assert here.gate.outcomes == ["success"]
            assert here.gate.calls[0].request_id == '"ä"'

    asyncio.run(main())


REFUSED = {
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', "batch", -32600),
    "a bare CR that hides a call": (
        b"\r".join(
            (
                b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
                b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo"}}',
            )
        ),
        "bare_cr",
        -32700,
    ),
    "a bare CR as space": (b'{"jsonrpc":"2.0",\r"id":1,"method":"ping"}', "bare_cr", -32700),
    "a byte-order mark": (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}', "bom", -32700),
    "Method beside method": (
        b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}',
        "key_case",
        -32600,
    ),
    "a doubled name": (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"exit"}}',
        "duplicate_key",
        -32700,
    ),
    "a call without id": (
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}',
        "no_id",
        -32600,
    ),
    "a line that is too long": (b'"' + b"x" * CLIENT_LINE_BYTES_MAX, "line_size", -32700),
    "a half line": (b'{"jsonrpc":', "parse", -32700),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_lines_are_answered_recorded_and_not_passed_on(
    wrapped: OpenWrapped, seen: Path, name: str
) -> None:
    line, code, rpc_code = REFUSED[name]

    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            await here.send(line)
            error = (await here.line())["error"]
            assert isinstance(error, dict)
            assert error["code"] == rpc_code
            assert [bad.code for bad in here.gate.refusals] == [code]
            assert here.gate.refusals[0].transport == "stdio"
            await here.send(b'{"jsonrpc":"2.0","id":5,"method":"ping"}')
            assert (await here.line())["id"] == 5
            assert len(seen.read_text().splitlines()) == 1

    asyncio.run(main())


def test_a_refused_call_is_answered_here(wrapped: OpenWrapped, seen: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            here.gate.denied = {"echo"}
            await here.call("echo")
            assert await here.text() == "[POLICY DENIED] echo"
            assert seen.read_text() == ""

    asyncio.run(main())


def test_an_id_under_way_is_not_taken_twice(wrapped: OpenWrapped) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            here.gate.hold = asyncio.Event()
            await here.call("echo", 7)
            await here.call("echo", 7)
            assert "error" in await here.line()
            assert [bad.code for bad in here.gate.refusals] == ["id_in_use"]
            here.gate.hold.set()
            assert "echo" in await here.text()
            await here.call("echo", 7)
            assert "echo" in await here.text()

    asyncio.run(main())


def test_a_gate_that_fails_lets_nothing_through(wrapped: OpenWrapped, seen: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            here.gate.fails = True
            await here.call("echo")
            assert "error" in await here.line()
            assert seen.read_text() == ""
            here.gate.fails = False
            await here.call("echo")
            assert "echo" in await here.text()

    asyncio.run(main())


def test_a_file_of_requests_is_answered_to_its_last_line(seen: Path, tmp_path: Path) -> None:
    requests = tmp_path / "requests.jsonl"
    with requests.open("w") as file:
        for number in range(50):
            params = {"name": "echo" if number % 2 else "vm_delete"}
            message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            file.write(json.dumps(message) + "\n")
    with requests.open("rb") as file:
        done = subprocess.run(
            [sys.executable, str(HERE / "wrapped.py"), *ODD],
            stdin=file,
            capture_output=True,
            env={**os.environ, "SEEN_FILE": str(seen)},
            timeout=20,
            check=True,
        )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert {answer["id"] for answer in answers} == set(range(50))
    assert "vm_delete" not in seen.read_text()
    assert len(seen.read_text().splitlines()) == 25


def test_a_call_cancelled_while_it_is_decided_is_not_sent(wrapped: OpenWrapped, seen: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            here.gate.hold = asyncio.Event()
            await here.call("echo", 7)
            await here.gate.until(lambda: bool(here.gate.calls))
            note = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}'
            await here.send(note, b'{"jsonrpc":"2.0","id":8,"method":"ping"}')
            assert (await here.line())["id"] == 8
            here.gate.hold.set()
            await here.gate.until(lambda: bool(here.gate.endings))
            assert here.gate.outcomes == ["not_sent"]
            assert "echo" not in seen.read_text()
            assert "cancelled" not in seen.read_text()

    asyncio.run(main())


def test_a_list_shows_what_is_visible(wrapped: OpenWrapped) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            await here.send(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
            assert (await here.line())["result"] == {"tools": [{"name": "echo"}]}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("twice", ["first"]),
        ("stray", ["mine"]),
        ("rubbish", ["after rubbish"]),
        ("cr", ["after cr"]),
        ("noise", ["after noise"]),
    ],
)
def test_what_an_odd_server_says_does_not_confuse_the_client(
    wrapped: OpenWrapped, tool: str, said: list[str]
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), wrapped() as here:
            await here.call(tool)
            assert [await here.text() for _ in said] == said
            assert here.gate.outcomes == ["success"]
            await here.send(b'{"jsonrpc":"2.0","id":9,"method":"ping"}')
            assert (await here.line())["id"] == 9

    asyncio.run(main())


@pytest.mark.parametrize(
    ("tool", "code", "outcome"), [("exit", 7, "unknown"), ("last_words", 3, "success")]
)
def test_a_server_that_ends_takes_the_wrapper_with_it(
    wrapped: OpenWrapped, tool: str, code: int, outcome: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            await here.call(tool)
            assert await here.task == code
            assert here.gate.outcomes == [outcome]
            if tool == "last_words":
                assert await here.text() == "last words"

    asyncio.run(main())


def test_a_line_that_never_ends_stops_the_server(wrapped: OpenWrapped) -> None:
    async def main() -> None:
        bounds = ChildBounds(line_bytes_max=1_000_000, stop_seconds_max=1.0)
        async with asyncio.timeout(10), wrapped(bounds=bounds) as here:
            await here.call("long")
            assert await here.task == 128 + 9
            assert here.gate.outcomes == ["unknown"]

    asyncio.run(main())


def test_when_the_client_leaves_the_server_and_all_it_started_end(wrapped: OpenWrapped) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), wrapped() as here:
            await here.call("pid")
            server = int(await here.text())
            await here.call("grandchild")
            grandchild = int(await here.text())
            watches = [os.pidfd_open(pid) for pid in (server, grandchild)]
            assert await here.close() == 0
            for watch in watches:
                _wait_for_exit(watch)

    asyncio.run(main())


def test_a_server_that_does_not_read_is_ended_all_the_same(wrapped: OpenWrapped) -> None:
    async def main() -> None:
        bounds = ChildBounds(stop_seconds_max=0.2, last_answers_seconds_max=0.2)
        async with asyncio.timeout(10), wrapped(bounds=bounds) as here:
            await here.call("deaf")
            await here.gate.until(lambda: bool(here.gate.calls))
            assert await here.close() == 128 + 15
            assert here.gate.outcomes == ["unknown"]

    asyncio.run(main())


def test_a_command_that_is_not_there_is_named(recorder: Callable[[], Recorder]) -> None:
    with pytest.raises(ChildError, match="cannot start '/no/such/server': No such file"):
        asyncio.run(wrap(["/no/such/server"], recorder(), "odd", environ={}))


def test_a_wrapper_that_is_killed_leaves_nobody_behind(seen: Path) -> None:
    command = [sys.executable, str(HERE / "wrapped.py"), *ODD]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "SEEN_FILE": str(seen)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "pid"}}
        process.stdin.write(json.dumps(call).encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        server = int(answer["result"]["content"][0]["text"])
        watch = os.pidfd_open(server)
        process.kill()
        process.wait()
        _wait_for_exit(watch)


def _wait_for_exit(watch: int) -> None:
    ready, _, _ = select.select([watch], [], [], 5)
    os.close(watch)
    assert ready, "a process outlived its wrapper"
