"""One message is a request, a notification or a response; what might be two things is neither."""

import json

import pytest

from toolreeve.proxy.message import Element, Kind, Message, NotAMessage, read


def call(**changes: object) -> bytes:
    """A tool call with some members changed; `...` takes one away."""
    envelope: dict[str, object] = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "vm_restart", "arguments": {"id": 3}},
        **changes,
    }
    return json.dumps({key: value for key, value in envelope.items() if value is not ...}).encode()


def params(**changes: object) -> bytes:
    return call(params={"name": "vm_restart", "arguments": {"id": 3}, **changes})


REFUSED = {
    "an empty batch": (b"[]", "batch", -32600),
    "a batch": (b"[" + call() + b"]", "batch", -32600),
    "a bare string": (b'"tools/call"', "envelope", -32600),
    "null": (b"null", "envelope", -32600),
    "no version": (call(jsonrpc=...), "envelope", -32600),
    "another version": (call(jsonrpc="1.0"), "envelope", -32600),
    "a version that is a number": (call(jsonrpc=2.0), "envelope", -32600),
    "a null id": (call(id=None), "id", -32600),
    "a true id": (call(id=True), "id", -32600),
    "a fractional id": (call(id=1.5), "id", -32600),
    "an id with a point": (call(id=1.0), "id", -32600),
    "an object as id": (call(id={}), "id", -32600),
    "an array as id": (call(id=[1]), "id", -32600),
    "an id that doubles round": (call(id=2**53 + 1), "id", -32600),
    "the first id that doubles mix up": (call(id=2**53), "id", -32600),
    "a negative id that doubles round": (call(id=-(2**53)), "id", -32600),
    "a very long id": (call(id="x" * 300), "id", -32600),
    "a call without id": (call(id=...), "no_id", -32600),
    "a list without id": (call(id=..., method="tools/list"), "no_id", -32600),
    "no method": (call(method=...), "envelope", -32600),
    "a method that is no string": (call(method=7), "method", -32600),
    "an empty method": (call(method=""), "method", -32600),
    "a method with a line break": (call(method="tools/list\n"), "method", -32600),
    "a method in capitals": (call(method="TOOLS/CALL"), "method", -32601),
    "a list in capitals": (call(method="Tools/List"), "method", -32601),
    "a method with a space": (call(method="tools/call "), "method", -32601),
    "a method with two slashes": (call(method="tools//call"), "method", -32601),
    "a method in full width": (call(method="\uff54ools/call"), "method", -32601),
    "a result beside a method": (call(result={}), "envelope", -32600),
    "an error beside a method": (call(error={}), "envelope", -32600),
    "Method beside method": (call(Method="tools/list"), "key_case", -32600),
    "ID instead of id": (call(id=..., ID=7), "key_case", -32600),
    "id with a dotless letter": (
        call().replace(b"{", '{"\u0131d":8,'.encode(), 1),
        "key_case",
        -32600,
    ),
    "id with a dotted capital": (
        call().replace(b"{", '{"\u0130d":8,'.encode(), 1),
        "key_case",
        -32600,
    ),
    "method and a space": (call(**{"method ": "ping"}), "key_case", -32600),
    "name and a NUL": (params(**{"name\0": "vm_stop"}), "key_case", -32600),
    "name and a character nobody sees": (params(**{"na\u200bme": "x"}), "key_case", -32600),
    "PARAMS beside params": (call(PARAMS={}), "key_case", -32600),
    "a key in full width": (
        call().replace(b"{", b'{"\xef\xbd\x8dethod":1,', 1),
        "key_case",
        -32600,
    ),
    "a key with a long s": (call().replace(b"{", b'{"param\xc5\xbf":{},', 1), "key_case", -32600),
    "params that are an array": (call(params=[]), "params", -32602),
    "params that are null": (call(params=None), "params", -32602),
    "params that are a string": (call(params="x"), "params", -32602),
    "_meta that is a list": (params(_meta=[]), "params", -32602),
    "no name": (call(params={"arguments": {}}), "name", -32602),
    "no params": (call(params=...), "name", -32602),
    "an empty name": (params(name=""), "name", -32602),
    "a name that is a number": (params(name=7), "name", -32602),
    "a very long name": (params(name="x" * 257), "name", -32602),
    "a name with a line break": (params(name="safe\nevil"), "name", -32602),
    "a name with NUL": (params(name="safe\x00"), "name", -32602),
    "a name with an escape": (params(name="\x1b[8m"), "name", -32602),
    "a name that runs backwards": (params(name="\u202eevas"), "name", -32602),
    "a name with a zero-width space": (params(name="sa\u200bfe"), "name", -32602),
    "a name with a line separator": (params(name="sa\u2028fe"), "name", -32602),
    "arguments that are an array": (params(arguments=[]), "arguments", -32602),
    "arguments that are null": (params(arguments=None), "arguments", -32602),
    "arguments that are a string": (params(arguments='{"id":3}'), "arguments", -32602),
    "Name beside name": (params(Name="vm_delete"), "key_case", -32600),
    "ARGUMENTS beside arguments": (params(ARGUMENTS={"id": 4}), "key_case", -32600),
    "neither result nor error": (b'{"jsonrpc":"2.0","id":1}', "envelope", -32600),
    "both result and error": (
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
        "envelope",
        -32600,
    ),
    "a result with a null id": (b'{"jsonrpc":"2.0","id":null,"result":{}}', "id", -32600),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_might_be_two_things_is_refused(name: str) -> None:
    raw, code, rpc_code = REFUSED[name]
    found = read(raw)
    assert isinstance(found, NotAMessage)
    assert (found.refused.code, found.refused.rpc_code) == (code, rpc_code)


def test_a_call_is_read_with_its_name_and_arguments() -> None:
    found = read(params(_meta={"progressToken": 1}, unknown=[1]))
    assert isinstance(found, Message)
    assert found.kind is Kind.REQUEST
    assert found.is_call
    assert (found.name, found.arguments, found.id_json) == ("vm_restart", {"id": 3}, "7")
    assert found.meta == {"progressToken": 1}
    assert b'"unknown":[1]' in found.raw


def test_a_call_without_arguments_has_none() -> None:
    found = read(call(params={"name": "vm_list"}))
    assert isinstance(found, Message)
    assert found.arguments == {}


def test_an_escaped_method_is_the_method_it_spells() -> None:
    found = read(call().replace(b"tools/call", b"tools\\u002fcall"))
    assert isinstance(found, Message)
    assert found.is_call
    assert b'"tools/call"' in found.raw


@pytest.mark.parametrize("number", [0, -1, 2**53 - 1, -(2**53) + 1])
def test_an_id_that_every_reader_can_hold_is_taken(number: int) -> None:
    message = read(call(id=number))
    assert isinstance(message, Message)
    assert message.id == number


def test_a_text_id_keeps_its_quotes() -> None:
    found = read(call(id="a-7"))
    assert isinstance(found, Message)
    assert found.id_json == '"a-7"'


def test_a_notification_and_a_response_are_read() -> None:
    note = read(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    assert isinstance(note, Message)
    assert (note.kind, note.id_json) == (Kind.NOTIFICATION, "")
    answer = read(b'{"jsonrpc":"2.0","id":"s1","result":{"roots":[]}}')
    assert isinstance(answer, Message)
    assert (answer.kind, answer.method, answer.id) == (Kind.RESPONSE, "", "s1")


def test_an_error_that_answers_something_unreadable_has_a_null_id() -> None:
    found = read(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}')
    assert isinstance(found, Message)
    assert found.kind is Kind.RESPONSE


def test_a_name_with_letters_of_any_language_is_let_through_to_the_policy() -> None:
    found = read(params(name="neustart_für_vm.x/y-z"))
    assert isinstance(found, Message)


def test_every_element_of_a_batch_is_told() -> None:
    found = read(b"[" + call(method="tools/list", params=...) + b"," + call(id="b") + b",7]")
    assert isinstance(found, NotAMessage)
    assert found.elements == (
        Element("tools/list", "", "7"),
        Element("tools/call", "vm_restart", '"b"'),
        Element("", "", "null"),
    )


def test_a_refused_call_still_tells_which_tool_it_meant() -> None:
    found = read(params(arguments=[]))
    assert isinstance(found, NotAMessage)
    assert found.elements == (Element("tools/call", "vm_restart", "7"),)


def test_the_protocol_version_comes_from_the_envelope_or_from_initialize() -> None:
    key = "io.modelcontextprotocol/protocolVersion"
    new = read(params(_meta={key: "2026-07-28"}))
    old = read(call(method="initialize", params={"protocolVersion": "2025-11-25"}))
    neither = read(call())
    assert isinstance(new, Message)
    assert isinstance(old, Message)
    assert isinstance(neither, Message)
    versions = [new.protocol_version, old.protocol_version, neither.protocol_version]
    assert versions == ["2026-07-28", "2025-11-25", None]
