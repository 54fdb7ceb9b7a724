"""Policies of PolicyLayer: the hosted form is ours, the form of its pages is translated."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolreeve.policy import PolicyTextError, parse
from toolreeve.policy.dialects import DIALECTS, Imported, detect, import_policy

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "policies"


def imported(document: Any, dialect: str = "auto") -> Imported:
    found = import_policy(json.dumps(document), "p.json", dialect)
    policy = parse(found.canonical_text, source="p.json")
    assert policy.revision == parse(json.dumps(found.policy_document), source="p").revision
    return found


def document_of(document: Any) -> Any:
    return imported(document).policy_document


def whats(found: Imported) -> list[tuple[str, str]]:
    return [(one.pointer, one.what) for one in found.differences]


def complaints(document: Any, dialect: str = "auto") -> list[tuple[str, str]]:
    with pytest.raises(PolicyTextError) as refused:
        import_policy(json.dumps(document), "p.json", dialect)
    return [(one.pointer, one.problem) for one in refused.value.complaints]


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.json")), ids=lambda file: file.stem)
def test_the_hosted_form_is_taken_as_it_is(file: Path) -> None:
    found = import_policy(file.read_bytes(), file.name)
    assert found.dialect == "policylayer"
    assert found.policy_document == json.loads(file.read_bytes())
    assert found.differences == ()
    before, after = file.read_bytes(), found.canonical_text
    assert parse(after, source="p").revision == parse(before, source="p").revision


def test_the_hosted_form_with_everything_that_it_has_is_taken() -> None:
    document: Any = {
        "version": "1",
        "default": "deny",
        "hide": ["delete_account"],
        "all_tools": {"limits": []},
        "tools": {"create_charge": {"require": [], "deny_if": [], "limits": []}},
    }
    assert document_of(document) == document


def test_each_dialect_is_known_by_its_own_keys() -> None:
    rate = {"max": 10, "window": 60}
    assert detect({"version": "1", "default": "deny", "tools": {"a": {}}}) == "policylayer"
    assert detect({"rules": []}) == "faq"
    assert detect({"tools": {"a": {"rate_limit": rate}}}) == "faq"
    assert detect({"tools": {"a": {"rules": [{"rate_limit": rate}]}}}) == "faq"
    assert detect({"tools": {"a": {"rules": [{"rate_limit": "5/hour"}]}}}) == "intercept"
    assert detect({"tools": {"a": {"rules": []}}}) == "intercept"
    odd: list[Any] = [None, [], "x", {"tools": []}]
    assert [detect(one) for one in odd] == ["policylayer"] * 4


def test_a_rate_of_the_pages_becomes_a_limit_for_each_grant() -> None:
    found = imported(
        {
            "default": "deny",
            "rules": [
                {
                    "tool": "vm_restart",
                    "action": "allow",
                    "rate_limit": {"max": 10, "window": 60},
                    "reason": "Not so fast.",
                }
            ],
        }
    )
    assert found.policy_document == {
        "version": "1",
        "default": "deny",
        "tools": {
            "vm_restart": {
                "reason": "Not so fast.",
                "limits": [
                    {"counter": "vm_restart_rate", "window": 60, "max": 10, "scope": "grant"}
                ],
            }
        },
    }
    assert whats(found) == [
        ("/rules/0/rate_limit", "calls are counted for each grant, over all its sessions"),
        (
            "/rules/0/rate_limit",
            "the window slides: no span of that length ever holds more than max",
        ),
    ]


def test_a_difference_knows_its_line_and_column() -> None:
    text = "default: deny\nrules:\n  - tool: vm_stop\n    action: deny\n"
    (found,) = import_policy(text, "p.yaml").differences
    assert (found.line, found.column, found.pointer) == (3, 5, "/rules/0")


def test_rules_may_stand_in_a_list_by_tool_or_under_tools() -> None:
    rule = {"action": "deny", "reason": "Not by agents."}
    expected = {"vm_stop": rule}
    documents: list[Any] = [
        {"default": "deny", "rules": [{"tool": "vm_stop", **rule}]},
        {"default": "deny", "rules": {"vm_stop": rule}},
        {"default": "deny", "rules": {"vm_stop": [rule]}},
        {"default": "deny", "rules": [], "tools": {"vm_stop": rule}},
        {"default": "deny", "rules": [], "tools": {"vm_stop": {"rules": [rule]}}},
    ]
    for document in documents:
        assert document_of(document)["tools"] == expected


def test_a_rate_limit_block_on_a_tool_becomes_a_limit() -> None:
    document = {"default": "deny", "tools": {"a": {"rate_limit": {"max": 1, "window": "hour"}}}}
    (limit,) = document_of(document)["tools"]["a"]["limits"]
    assert (limit["window"], limit["max"]) == ("hour", 1)
    short = {"default": "deny", "tools": {"a": {"rate_limit": "1/hour"}}}
    assert document_of(short)["tools"]["a"]["limits"] == [limit]


def test_without_a_default_everything_unnamed_is_refused_and_that_is_said() -> None:
    found = imported({"rules": [{"tool": "a", "action": "allow"}]})
    assert found.policy_document == {"version": "1", "default": "deny", "tools": {"a": {}}}
    assert whats(found) == [("", "tools that no rule names are refused")]


def test_a_rule_for_all_tools_decides_for_those_that_no_other_rule_names() -> None:
    found = imported({"rules": [{"tool": "a", "action": "allow"}, {"action": "deny"}]})
    assert found.policy_document == {"version": "1", "default": "deny", "tools": {"a": {}}}
    assert whats(found) == [
        ("", "the rule for all tools is the default, for tools that no other rule names")
    ]
    asks = document_of({"default": "deny", "rules": [{"action": "require_approval"}]})
    assert asks["tools"] == {"*": {"action": "require_approval"}}


def test_a_rate_for_all_tools_holds_over_all_tools_and_allows_none() -> None:
    document = {"default": "deny", "rules": [{"rate_limit": {"max": 9, "window": "minute"}}]}
    found = document_of(document)
    assert found["all_tools"] == {
        "limits": [{"counter": "all_tools_rate", "window": "minute", "max": 9, "scope": "grant"}]
    }
    assert (found["default"], found["tools"]) == ("deny", {})


def test_several_rules_of_one_tool_hold_together_and_deny_wins() -> None:
    rules = [
        {"tool": "a", "rate_limit": {"max": 9, "window": 60}},
        {"tool": "a", "rate_limit": {"max": 90, "window": 3600}},
        {"tool": "b", "rate_limit": {"max": 9, "window": 60}},
        {"tool": "b", "action": "deny"},
        {"tool": "b", "action": "require_approval"},
    ]
    found = imported({"default": "deny", "rules": rules})
    tools: Any = found.policy_document
    assert [limit["counter"] for limit in tools["tools"]["a"]["limits"]] == ["a_rate", "a_rate_2"]
    assert tools["tools"]["b"] == {"action": "deny"}
    assert ("/rules/1", "all rules of the tool hold together, and deny or approval wins") in whats(
        found
    )
    assert ("", "the tool's limits are left out") in whats(found)


def test_unknown_keys_and_wrong_types_are_complained_of_where_they_stand() -> None:
    document = {
        "default": "deny",
        "defualt": "deny",
        "rules": [
            {"tool": "a", "rate_limit": {"max": 1, "windw": 60}},
            {"tool": "b", "rate_limit": {"max": "1", "window": 0.5}},
            {"tool": "c", "rate_limit": "fast"},
            {"tool": "d", "action": "block"},
            {"tool": 5},
        ],
    }
    assert complaints(document) == [
        ("/defualt", '"defualt" is not known here'),
        ("/rules/0/rate_limit", '"window" is missing'),
        ("/rules/0/rate_limit/windw", '"windw" is not known here'),
        ("/rules/1/rate_limit/max", "expected a whole number, found a string"),
        ("/rules/1/rate_limit/window", "expected seconds, found the number 0.5"),
        ("/rules/2/rate_limit", '"fast" is not a rate'),
        ("/rules/3/action", '"block" is not a choice here'),
        ("/rules/4/tool", "expected a string, found the number 5"),
    ]


def test_what_only_the_translation_makes_wrong_is_said_too() -> None:
    document = {
        "default": "deny",
        "rules": [
            {"tool": "a", "rate_limit": {"max": 1, "window": 60}},
            {"tool": "a", "rate_limit": {"max": 1, "window": 60}},
            {"tool": "a_rate", "action": "allow"},
            {"tool": "class:none", "action": "allow"},
        ],
    }
    ((pointer, problem),) = complaints(document)
    assert pointer == ""
    assert problem.startswith("/tools/class:none of what this becomes: ")


KEYS = [
    *("version", "default", "hide", "rules", "tools", "name", "tool", "action", "rate_limit"),
    *("reason", "max", "window", "conditions", "path", "op", "value", "state", "counter"),
    *("increment", "increment_from", "on_deny", "*", "a"),
]
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["", "a", "*", "5/hour", "deny", "allow", "1", "minute", "args.a", "state.a.c"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(ODD, st.sampled_from(["auto", *DIALECTS]))
def test_no_document_does_anything_but_be_imported_or_refused(document: Any, dialect: str) -> None:
    try:
        found = import_policy(json.dumps(document), "p.json", dialect)
    except PolicyTextError as error:
        assert error.complaints
    else:
        parse(found.canonical_text, source="p.json")
