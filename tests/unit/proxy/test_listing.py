"""A list shows what may be seen and keeps the rest; one that cannot be read shows nothing."""

import json

import pytest

from toolreeve.proxy.listing import TTL_MS_MAX, Listing, filter_listing
from toolreeve.proxy.strictjson import Refused


def but_delete(tools: list[object], more: bool) -> list[object]:
    return [tool for tool in tools if isinstance(tool, dict) and tool["name"] != "vm_delete"]


def listed(stateless: bool = False, **result: object) -> dict[str, object]:
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    found = filter_listing(raw, but_delete, stateless=stateless)
    assert isinstance(found, Listing)
    response = json.loads(found.raw)
    assert response["id"] == 1
    shown: dict[str, object] = response["result"]
    return shown


TOOLS = [{"name": "vm_list", "x-new": {"a": 1}}, {"name": "vm_delete"}]


def test_hidden_tools_are_missing_and_unknown_members_stay() -> None:
    shown = listed(tools=TOOLS, nextCursor="c", _meta={"k": 1}, novelty=[1])
    assert shown == {"tools": TOOLS[:1], "nextCursor": "c", "_meta": {"k": 1}, "novelty": [1]}


def test_a_cache_may_keep_one_callers_list_for_that_caller_only_and_not_for_long() -> None:
    shown = listed(stateless=True, tools=TOOLS, ttlMs=10**12, cacheScope="public")
    assert (shown["ttlMs"], shown["cacheScope"]) == (TTL_MS_MAX, "private")
    assert listed(stateless=True, tools=[])["cacheScope"] == "private"


@pytest.mark.parametrize("ttl", [-5, "long", None, True])
def test_a_time_to_live_that_makes_no_sense_is_none(ttl: object) -> None:
    assert listed(tools=TOOLS, ttlMs=ttl)["ttlMs"] == 0


def test_only_what_is_shown_is_told_to_whoever_learns_from_lists() -> None:
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS}}).encode()
    found = filter_listing(raw, but_delete, stateless=False)
    assert isinstance(found, Listing)
    assert found.shown == TOOLS[:1]


def test_an_error_is_passed_as_it_is() -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}'
    found = filter_listing(raw, but_delete, stateless=False)
    assert isinstance(found, Listing)
    assert found.raw == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"result":null}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":{"vm_delete":1}}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":7}]}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":["vm_delete"]}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"vm_delete"}]}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","name":"vm_delete"}]}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","x":NaN}]}}',
    ],
)
def test_a_list_that_cannot_be_read_is_not_shown(raw: bytes) -> None:
    assert isinstance(filter_listing(raw, but_delete, stateless=False), Refused)
