"""The recommended policy: what each class gets, and that lint has nothing to say of it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolreeve.decision import Call, Counters, Holds, Instant, compile_policy, decide
from toolreeve.policy import Policy, parse
from toolreeve.policy.catalogue import Tool, recommend
from toolreeve.policy.catalogue.listing import ToolsError, read_listing, write_listing
from toolreeve.policy.catalogue.tighten import tighten
from toolreeve.policy.lint import lint
from toolreeve.policy.schema_check import compile_schema

ID: dict[str, Any] = {"type": "object", "properties": {"id": {"type": "string"}}}


def rules(*tools: Tool) -> dict[str, Any]:
    found: Any = recommend(tools).policy["tools"]
    return dict(found)


def proposed(tools: list[Tool]) -> tuple[Policy, str]:
    text = json.dumps(recommend(tools).policy)
    return parse(text, source="recommended"), text


def test_each_class_gets_its_own_rule() -> None:
    amount = {"type": "object", "properties": {"amount": {"type": "number"}}}
    found = rules(
        Tool(name="vm_list"),
        Tool(name="vm_clone"),
        Tool(name="vm_restart"),
        Tool(name="vm_delete"),
        Tool(name="create_payment", input_schema=amount),
        Tool(name="pay_invoice"),
        Tool(name="truenas_api_call"),
    )
    assert found["vm_list"] == {}
    assert found["vm_clone"]["limits"][0]["max"] == 30
    assert found["vm_restart"]["limits"] == [
        {"counter": "vm_restart_rate", "window": "minute", "max": 10, "scope": "grant"}
    ]
    assert found["vm_delete"] == {"action": "require_approval"}
    assert found["create_payment"]["action"] == "require_approval"
    assert found["create_payment"]["limits"][0]["amount"] == "/amount"
    assert found["pay_invoice"]["limits"][0]["window"] == "day"
    assert found["truenas_api_call"] == {
        "action": "deny",
        "reason": "The raw API goes around every other rule.",
    }


def fits(schema: dict[str, Any] | None, arguments: dict[str, Any]) -> bool:
    assert schema is not None
    return bool(compile_schema(schema).is_valid(arguments))


def test_ids_are_held_to_what_cannot_leave_a_path() -> None:
    schema = tighten(Tool(name="vm_get", input_schema=ID))
    assert fits(schema, {"id": "vm-17"})
    for bad in ("1/../../x", "../x", "..", "a/b", "", "a\n", "a?b=c", "%2e%2e"):
        assert not fits(schema, {"id": bad}), bad
    assert not fits(schema, {"id": "1", "other": 1})


def test_an_id_whose_description_shows_slashes_may_hold_them_but_no_steps_up() -> None:
    shown = {"type": "string", "description": "Name of the dataset (e.g. 'tank/data')"}
    schema = tighten(Tool(name="dataset_get", input_schema={"properties": {"id": shown}}))
    assert fits(schema, {"id": "tank/data@snap1"})
    assert not fits(schema, {"id": "tank/../x"})


def test_a_number_that_is_an_id_is_a_whole_one() -> None:
    schema = tighten(Tool(name="vm", input_schema={"properties": {"id": {"type": "number"}}}))
    assert fits(schema, {"id": 3})
    assert not fits(schema, {"id": 3.5})


def test_file_paths_hold_no_steps_up() -> None:
    paths = {"path": {"type": "string"}, "files": {"type": "array", "items": {"type": "string"}}}
    schema = tighten(Tool(name="read", input_schema={"properties": paths}))
    assert fits(schema, {"path": "/mnt/a..b/c", "files": ["x/y"]})
    assert not fits(schema, {"path": "/mnt/../etc"})
    assert not fits(schema, {"files": ["ok", "..\\x"]})


def test_a_servers_schema_that_cannot_be_used_still_leaves_the_guard_of_ids() -> None:
    odd = {"properties": {"id": {"$ref": "https://example.org/id.json"}}}
    schema = tighten(Tool(name="vm", input_schema=odd))
    assert fits(schema, {"id": 3})
    assert not fits(schema, {"id": "1/../../x"})


@pytest.mark.parametrize("depth", [30, 900])
@pytest.mark.parametrize("keyword", ["anyOf", "items", "not", "properties", "$defs"])
def test_a_schema_nested_without_end_leaves_the_guard_of_ids(keyword: str, depth: int) -> None:
    nested: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        inner: Any = {"anyOf": [nested], "properties": {"id": nested}, "$defs": {"id": nested}}
        nested = {keyword: inner.get(keyword, nested)}
    tool = Tool(name="vm_get", input_schema={"properties": {"id": nested, "action": nested}})
    policy, text = proposed([tool])
    assert [str(found) for found in lint(policy, [tool], text=text, source="r")] == []
    assert not fits(rules(tool)["vm_get"]["arguments"], {"id": "1/../../x"})


def test_arguments_of_unknown_operations_are_guarded_by_name() -> None:
    tool = Tool(name="vm_stop", description="stop; params: id", arguments_checked=False)
    schema = tighten(tool)
    assert fits(schema, {"id": 3, "force": True})
    assert not fits(schema, {"vm_id": "1/../../x"})
    assert not fits(schema, {"id": {"$ne": 1}})


def test_a_name_that_a_policy_cannot_hold_stays_denied_and_is_told() -> None:
    found = recommend([Tool(name="vm_*"), Tool(name="class:read"), Tool(name="a\nb")])
    assert found.unnamed == ("vm_*", "class:read", "a\nb")
    assert found.policy["tools"] == {}


def test_the_cap_fires_through_dispatch_and_the_escape_hatch_is_denied() -> None:
    operations = tuple(Tool(name=name) for name in ("vm_list", "vm_restart", "truenas_api_call"))
    text = {"type": "string"}
    properties = {"category": text, "action": text, "params": {"type": "object"}}
    meta = Tool(
        name="truenas",
        description="Without arguments: the categories.",
        input_schema={"type": "object", "properties": properties},
        operations=operations,
    )
    policy, said = proposed([meta])
    assert lint(policy, [meta], text=said, source="recommended") == ()
    compiled = compile_policy(policy)
    assert compiled.dispatch_of("truenas") is not None
    counters = Counters()

    def code(tool: str) -> str:
        call = Call(grant="g", server="t", tool=tool, arguments={"id": 3})
        return decide(compiled, Holds(), counters, call, Instant(10**18)).code.value

    assert [code("vm_restart") for _ in range(11)] == ["allowed"] * 10 + ["limited"]
    assert code("truenas_api_call") == "denied"


WORDS = (
    "vm list get delete start stop create pay order send raw api call run sql reset file user "
    "id path status management restart clone wipe a* class:read x"
)
words = st.sampled_from(WORDS.split())
tool_names = st.one_of(
    st.lists(words, min_size=1, max_size=4).map("_".join), st.text(min_size=1, max_size=20)
)
DEFINITIONS: dict[str, Any] = {
    "id": {"type": "string"},
    "choice": {"enum": ["list", "drop", "set", "get"]},
    "one": {"properties": {"action": {"const": "get_vm"}, "id": {"type": "string"}}},
    "other": {"properties": {"action": {"const": "wipe_disk"}, "disk_id": {"type": "string"}}},
}
leaf = st.sampled_from(
    [
        {"type": "string"},
        {"type": "number"},
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        {"enum": ["list", "delete", "start", "get"]},
        {"type": "string", "enum": ["list", "delete"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/id"},
        {"$ref": "#/$defs/choice"},
        {"anyOf": [{"$ref": "#/$defs/choice"}, {"type": "null"}]},
        {"type": "object", "properties": {"action": {"enum": ["list", "drop", "set", "get"]}}},
        {"oneOf": [{"$ref": "#/$defs/one"}, {"$ref": "#/$defs/other"}]},
        {"$ref": "https://example.org/x"},
        {"type": "nonsense"},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"type": "string", "pattern": "("},
        {"const": "x"},
        {},
        True,
    ]
)
PROPERTIES = (
    "id vm_id vmId ids path file files action operation params category amount sql command code "
    "method url uuid name query"
)
property_names = st.sampled_from(PROPERTIES.split())
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(property_names, leaf, max_size=5)},
    optional={
        "required": st.lists(property_names, max_size=3, unique=True),
        "additionalProperties": st.booleans(),
        "$defs": st.just(DEFINITIONS),
        "oneOf": st.just([{"$ref": "#/$defs/one"}, {"$ref": "#/$defs/other"}]),
        "$schema": st.just("http://json-schema.org/draft-07/schema#"),
        "allOf": st.just([{"properties": {"id": {"type": "string"}}}]),
    },
)
texts = st.sampled_from(
    [
        "",
        "Delete it. This cannot be undone.",
        "List what there is; call without arguments for help.",
        "Actions: list, start, stop",
        "Operations:\n- list_all: shows all; params: id\n- wipe_all: params: id, path",
        "Start it by its ID, params: id",
    ]
)


def build(name: str, text: str, schema: dict[str, object], operations: list[str]) -> Tool:
    listed = tuple(Tool(name=one, description=text) for one in operations)
    return Tool(name=name, description=text, input_schema=schema, operations=listed)


tool = st.builds(build, tool_names, texts, schemas, st.lists(tool_names, max_size=2))


@settings(max_examples=300, deadline=None)
@given(st.lists(tool, max_size=5))
def test_lint_has_nothing_to_say_of_a_recommended_policy(tools: list[Tool]) -> None:
    policy, text = proposed(tools)
    assert [str(found) for found in lint(policy, tools, text=text, source="r")] == []


@given(st.lists(tool, max_size=4))
def test_a_listing_that_was_written_is_read_as_the_same_tools(tools: list[Tool]) -> None:
    assert read_listing(json.loads(json.dumps(write_listing(tools)))) == tuple(tools)


NO_LISTINGS: list[Any] = [None, 3, {}, {"tools": 3}, {"tools": [{}]}, [{"tools": 3}]]


@pytest.mark.parametrize("document", NO_LISTINGS)
def test_what_is_no_listing_is_refused(document: object) -> None:
    with pytest.raises(ToolsError):
        read_listing(document)


def test_pages_and_answers_are_listings_too() -> None:
    page: dict[str, Any] = {"tools": [{"name": "a", "inputSchema": {}}]}
    documents: tuple[Any, ...] = (
        page,
        {"jsonrpc": "2.0", "id": 1, "result": page},
        [page],
        page["tools"],
    )
    for document in documents:
        assert [tool.name for tool in read_listing(document)] == ["a"]
