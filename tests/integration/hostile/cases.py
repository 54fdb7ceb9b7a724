"""Reads the corpus of bad input: named cases in data files, and how their bytes are made.

Each line of `tests/fixtures/bad_input/*.jsonl` is one case. Text is made of *pieces*: a string is
itself in UTF-8; `{"hex": H}` and `{"latin1": T}` are bytes; `{"encode": E, "text": T}` is text in
another encoding, `{"gzip": T}` text packed; `{"repeat": T, "times": N}` is text many times over. In
a piece `@CALL` stands for the plain call of the case's era.

A case over HTTP is the plain call with something changed:

- `message` (a piece, or a list of them) is the whole body; else `change`, pairs of old and new,
  changes the plain call's text, where each old text stands exactly once;
- `line` is the request line; `headers` sets headers by name, takes one away with null, sends one
  several times where there is a list; `lines` are more header lines as they stand;
- `framing`: "length" (as it is), "chunked", or "none" (nothing says where the body ends);
- `raw` is instead everything that is sent;
- `grant`: "one" (as it is), "two", "elsewhere" or null for none.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parents[2] / "fixtures" / "bad_input"
TOKENS = {"one": "token-of-one", "two": "token-of-two", "elsewhere": "token-of-elsewhere"}
STATELESS = "2026-07-28"
META: dict[str, object] = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientCapabilities": {},
}
PATH = "/flat/mcp"
TOOL = "vm_list"

Piece = str | dict[str, Any]


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case. `status`, `rpc` and `code` are what it is refused with, `events` how often."""

    name: str
    era: str = "session"
    message: Piece | list[Piece] | None = None
    change: list[tuple[str, str]] = []
    line: str = f"POST {PATH} HTTP/1.1"
    headers: dict[str, str | list[str] | None] = {}
    lines: list[str] = []
    framing: str = "length"
    raw: list[Piece] | None = None
    grant: str | None = "one"
    status: int = 400
    rpc: int = -32600
    code: str
    events: int = 1

    @property
    def answered_with_body(self) -> bool:
        return not self.line.startswith("HEAD ")


class Accepted(Case, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Odd input that is taken: which `arguments` the upstream gets, and which headers it does not.

    `arguments` are JSON as it stands in what is sent on.
    """

    code: str = ""
    status: int = 200
    arguments: str
    absent: list[str] = []


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line on stdio: what it is made of, and how it is refused."""

    name: str
    message: Piece | list[Piece] | None = None
    change: list[tuple[str, str]] = []
    rpc: int = -32600
    code: str
    events: int = 1


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an upstream answers, and what becomes of it.

    Over HTTP it sends `line`, `headers` and `body` with its length, or `events` as a stream, or
    `raw` alone; over stdio `says`, a line each. In a piece `@ID` stands for the id of the request
    and `@OK` for a plain answer to it. Then it goes on as `then` says: "keep" waits for the next
    request, "close" ends the connection or the process, "wait" does nothing more, "repeat" sends
    `again`, over stdio as lines, until nobody takes it any more, and "pour" the same without ends.

    The client gets `status` and, where there is one, the JSON-RPC error `rpc`; `holds` is in what
    it gets and `lacks` is not. A call's record has `outcome` and, somewhere in it, `detail`;
    `code` is the word of the record that something was withheld.
    """

    name: str
    asked: str = "tools/call"
    line: str = "HTTP/1.1 200 OK"
    headers: tuple[str, ...] = ("Content-Type: application/json",)
    body: list[Piece] = []
    events: list[list[Piece]] | None = None
    raw: list[Piece] | None = None
    says: list[list[Piece]] = []
    then: str = "keep"
    again: list[Piece] = []
    status: int = 200
    rpc: int | None = None
    outcome: str = ""
    detail: str = ""
    code: str = ""
    holds: str = ""
    lacks: str = ""


def read_cases(file: str, kind: Any) -> list[Any]:
    """The cases of one data file, each name once."""
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    cases = [msgspec.json.decode(line, type=kind) for line in lines if line.strip()]
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "two cases have one name"
    return cases


def plain_call(era: str, number: object = 1) -> str:
    """The call that everything bad is made from."""
    params: dict[str, object] = {"name": TOOL, "arguments": {"id": 1}}
    if era == "stateless":
        params["_meta"] = META
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(message, separators=(",", ":"))


def piece_bytes(piece: Piece, era: str) -> bytes:
    if isinstance(piece, str):
        return piece.replace("@CALL", plain_call(era)).encode()
    text = str(piece.get("text", piece.get("gzip", ""))).replace("@CALL", plain_call(era))
    match piece:
        case {"hex": str(digits)}:
            return bytes.fromhex(digits)
        case {"latin1": str(latin)}:
            return latin.encode("latin-1")
        case {"encode": str(encoding)}:
            return text.encode(encoding)
        case {"gzip": str()}:
            return gzip.compress(text.encode())
        case {"repeat": str(unit), "times": int(times)}:
            return unit.encode() * times
        case _:
            raise ValueError(f"no such piece: {piece}")


def answer_bytes(pieces: list[Piece], request_id: object) -> bytes:
    """Pieces of an answer to one request."""
    number = json.dumps(request_id)
    ok = f'{{"jsonrpc":"2.0","id":{number},"result":{{"content":[],"isError":false}}}}'
    made = b"".join(piece_bytes(piece, "session") for piece in pieces)
    return made.replace(b"@OK", ok.encode()).replace(b"@ID", number.encode())


def body_bytes(case: Case | Line, era: str) -> bytes:
    if case.message is not None:
        pieces = case.message if isinstance(case.message, list) else [case.message]
        return b"".join(piece_bytes(piece, era) for piece in pieces)
    text = plain_call(era)
    for old, new in case.change:
        assert text.count(old) == 1, f"{case.name}: {old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    return text.encode()


def request_bytes(case: Case) -> bytes:
    """Everything that is sent for a case."""
    if case.raw is not None:
        return b"".join(piece_bytes(piece, case.era) for piece in case.raw)
    body = body_bytes(case, case.era)
    if case.framing == "chunked":
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = "\r\n".join([case.line, *_header_lines(case, len(body)), *case.lines, "", ""])
    return head.encode("latin-1") + body


def good_request(number: str, token: str = TOKENS["one"]) -> bytes:
    """A call that passes, whatever was sent before."""
    body = plain_call("session", number).encode()
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Authorization: Bearer {token}",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _header_lines(case: Case, length: int) -> Iterator[str]:
    headers: dict[str, str | list[str] | None] = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": None if case.grant is None else f"Bearer {TOKENS[case.grant]}",
    }
    if case.era == "stateless":
        headers |= {
            "MCP-Protocol-Version": STATELESS,
            "Mcp-Method": "tools/call",
            "Mcp-Name": TOOL,
        }
    if case.framing == "length":
        headers["Content-Length"] = str(length)
    elif case.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    for name, value in (headers | case.headers).items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                yield f"{name}: {one}"
