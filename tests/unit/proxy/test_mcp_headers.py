"""Since 2026-07-28 headers must say what the body says; before, they say nothing."""

import base64
import json

import pytest

from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.mcp_headers import (
    HEADER_MISMATCH,
    UNSUPPORTED_VERSION,
    Era,
    ParamHeaders,
    contradiction,
    decode_header,
    era_of,
)
from toolreeve.proxy.message import Message, read
from toolreeve.proxy.strictjson import INVALID_PARAMS, Refused

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
TRUE = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "vm_restart"}


def request(headers: dict[str, str]) -> HttpRequest:
    made = HttpRequest()
    for name, value in headers.items():
        made.add_header(name.encode(), value.encode("latin-1"))
    return made


def call(
    name: str = "vm_restart",
    version: object = "2026-07-28",
    arguments: dict[str, object] | None = None,
) -> Message:
    meta = {} if version is None else {VERSION_KEY: version}
    params = {"name": name, "arguments": arguments or {}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    message = read(json.dumps(body).encode())
    assert isinstance(message, Message)
    return message


def verdict(headers: dict[str, str], message: Message) -> int | None:
    made = request(headers)
    era = era_of(made)
    refused = era if isinstance(era, Refused) else contradiction(made, message, era)
    return None if refused is None else refused.rpc_code


def test_headers_that_tell_the_truth_pass() -> None:
    assert verdict(TRUE, call()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "TOOLS/CALL"},
        {"Mcp-Name": "vm_list"},
        {"Mcp-Name": "VM_RESTART"},
        {"Mcp-Name": "vm_list, vm_restart"},
        {"Mcp-Name": "=?base64?!!!?="},
        {"Mcp-Name": "=?BASE64?dm1fcmVzdGFydA==?="},
        {"Mcp-Name": "=?base64?dm1fcmVzdGFydB==?="},
        {"Mcp-Name": "=?base64?/w==?="},
    ],
)
def test_headers_that_contradict_the_body_are_refused(changes: dict[str, str]) -> None:
    assert verdict({**TRUE, **changes}, call()) == HEADER_MISMATCH


@pytest.mark.parametrize("missing", ["Mcp-Method", "Mcp-Name", "MCP-Protocol-Version"])
def test_headers_that_are_missing_are_refused(missing: str) -> None:
    headers = {name: value for name, value in TRUE.items() if name != missing}
    assert verdict(headers, call()) == HEADER_MISMATCH


@pytest.mark.parametrize("version", ["2025-11-25", 20260728])
def test_a_body_of_another_version_is_refused(version: object) -> None:
    assert verdict(TRUE, call(version=version)) == HEADER_MISMATCH


def test_a_body_that_names_no_version_lacks_a_parameter() -> None:
    assert verdict(TRUE, call(version=None)) == INVALID_PARAMS


def test_white_space_around_a_header_does_not_count() -> None:
    assert verdict({**TRUE, "Mcp-Name": " vm_restart\t"}, call()) is None


def test_a_name_that_no_header_can_hold_comes_wrapped() -> None:
    wrapped = "=?base64?" + base64.b64encode("neustart-ü".encode()).decode() + "?="
    assert verdict({**TRUE, "Mcp-Name": wrapped}, call("neustart-ü")) is None


def test_a_header_that_stands_twice_is_refused_before_anything_else() -> None:
    made = request(TRUE)
    made.add_header(b"mcp-name", b"vm_restart")
    assert made.refused is not None
    assert made.refused.code == "duplicate_header"


@pytest.mark.parametrize("version", ["banana", "9999-01-01", "2026-07-28 ", "", "2026-07-28, x"])
def test_an_unknown_version_is_refused_by_its_own_code(version: str) -> None:
    found = verdict({**TRUE, "MCP-Protocol-Version": version}, call())
    assert found == (None if version.strip() == "2026-07-28" else UNSUPPORTED_VERSION)


def test_before_2026_the_headers_mean_nothing() -> None:
    lies = {"Mcp-Method": "tools/list", "Mcp-Name": "other"}
    assert verdict(lies, call(version=None)) is None
    assert era_of(request({"MCP-Protocol-Version": "2025-11-25"})) is Era.SESSION


def test_clients_send_no_responses_in_the_stateless_era() -> None:
    answer = read(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert isinstance(answer, Message)
    assert contradiction(request(TRUE), answer, Era.STATELESS) is not None
    assert contradiction(request({}), answer, Era.SESSION) is None


def test_wrapping_is_undone_only_where_an_encoder_would_have_done_it() -> None:
    assert decode_header("plain") == "plain"
    assert decode_header("=?base64?dm0=?=") == "vm"
    assert decode_header("=?base64?dm1=?=") is None
    assert decode_header(None) is None


SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "size": {"type": "integer", "x-mcp-header": "Size"},
        "force": {"type": "boolean", "x-mcp-header": "Force"},
        "place": {
            "type": "object",
            "properties": {"room": {"type": "string", "x-mcp-header": "R"}},
        },
    },
}


@pytest.mark.parametrize(
    ("headers", "arguments", "agrees"),
    [
        ({"Mcp-Param-Region": "us"}, {"region": "us"}, True),
        ({"mcp-param-region": "eu"}, {"region": "us"}, False),
        ({}, {"region": "us"}, False),
        ({}, {}, True),
        ({"Mcp-Param-Region": "us"}, {}, False),
        ({"Mcp-Param-Region": "us"}, {"region": None}, False),
        ({"Mcp-Param-Size": "42"}, {"size": 42}, True),
        ({"Mcp-Param-Size": "42.0"}, {"size": 42}, True),
        ({"Mcp-Param-Size": "43"}, {"size": 42}, False),
        ({"Mcp-Param-Size": "4_2"}, {"size": 42}, False),
        ({"Mcp-Param-Force": "true"}, {"force": True}, True),
        ({"Mcp-Param-Force": "1"}, {"force": True}, False),
        ({"Mcp-Param-R": "a"}, {"place": {"room": "a"}}, True),
        ({"Mcp-Param-R": "b"}, {"place": {"room": "a"}}, False),
        ({}, {"region": ["us"]}, True),
        ({"Mcp-Param-Region": "us"}, {"region": ["us"]}, False),
    ],
)
def test_parameter_headers_agree_with_the_arguments(
    headers: dict[str, str], arguments: dict[str, object], agrees: bool
) -> None:
    learnt = ParamHeaders()
    learnt.learn([{"name": "vm_restart", "inputSchema": SCHEMA}, "rubbish", {"name": 7}])
    found = learnt.contradiction(request(headers), call(arguments=arguments))
    assert (found is None) is agrees


def test_a_tool_that_no_list_has_shown_is_its_upstreams_affair() -> None:
    assert ParamHeaders().contradiction(request({"Mcp-Param-X": "1"}), call()) is None
