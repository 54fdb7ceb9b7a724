"""A policy's text: what is read, and what is complained of where."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.policy import Action, Default, PolicyTextError, Scope, parse

GOOD = """{
  "version": "1",
  "default": "deny",
  "tools": {
    "vm_restart": {
      "limits": [{"counter": "rate", "window": "minute", "max": 10, "scope": "grant"}]
    }
  }
}"""

GOOD_YAML = """\
version: "1"
default: deny
tools:
  vm_restart:
    limits:
      - {counter: rate, window: minute, max: 10, scope: grant}
"""


def complaints(text: str | bytes) -> list[str]:
    with pytest.raises(PolicyTextError) as refused:
        parse(text, source="p.json")
    return [str(complaint) for complaint in refused.value.complaints]


def test_a_limit_is_read_with_its_pointer() -> None:
    policy = parse(GOOD, source="p.json")
    assert policy.default is Default.DENY
    (rule,) = policy.tools
    assert rule.action is Action.ALLOW
    (limit,) = rule.limits
    assert (limit.counter, int(limit.maximum), limit.scope) == ("rate", 10, Scope.GRANT)
    assert limit.window_ns == 60 * 10**9
    assert limit.pointer == "/tools/vm_restart/limits/0"


def test_json_and_yaml_of_one_document_are_one_revision() -> None:
    from_json, from_yaml = parse(GOOD, source="a"), parse(GOOD_YAML, source="b")
    assert from_json == from_yaml
    assert from_json.revision == from_yaml.revision
    assert from_json.revision.startswith("sha256:")


def test_layout_and_key_order_do_not_change_the_revision() -> None:
    document = json.loads(GOOD)
    turned = json.dumps(dict(reversed(document.items())), indent="\t")
    assert parse(turned, source="p.json").revision == parse(GOOD, source="p.json").revision


def test_all_complaints_come_at_once_with_line_and_column() -> None:
    text = GOOD.replace('"minute"', '"minutes"').replace("10", "true").replace("deny", "refuse")
    assert complaints(text) == [
        'p.json:3:14: "refuse" is not a choice here; write one of "deny", "allow"',
        'p.json:6:48: "minutes" is not a choice here; did you mean "minute"?',
        "p.json:6:66: expected a whole number, found true; write a number from 0 to 100000",
    ]


def test_tabs_between_tokens_do_not_shift_columns() -> None:
    text = '{"version": "1",\n\t"default": "deny",\n\t"tolls": {}}'
    assert complaints(text) == ['p.json:3:2: "tolls" is not known here; did you mean "tools"?']


def test_every_duplicate_key_is_named() -> None:
    text = '{"version": "1", "default": "deny",\n"tools": {"a": {}, "\\u0061": {}},\n"tools": {}}'
    assert complaints(text) == [
        'p.json:2:20: "a" stands here twice; keep one of them',
        'p.json:3:1: "tools" stands here twice; keep one of them',
    ]


def test_what_cannot_be_read_and_what_cannot_be_meant_are_said_together() -> None:
    found = complaints('version: "1"\ndefault: deny\ndefault: allow\ntolls: {}\nhide: [0x1]\n')
    assert found == [
        'p.json:3:1: "default" stands here twice; keep one of them',
        'p.json:4:1: "tolls" is not known here; did you mean "tools"?',
        "p.json:5:8: 0x1 is not a plain number; write a plain decimal number, or quote it",
    ]


def test_a_yaml_duplicate_is_named_too() -> None:
    found = complaints('version: "1"\ndefault: deny\ndefault: allow\n')
    assert found == ['p.json:3:1: "default" stands here twice; keep one of them']


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the text is empty"),
        ("[]", "expected an object"),
        ("3", "expected an object"),
        ('{"version": "1",}', "not JSON"),
        ('{"version": "1"', "not JSON"),
        (b'{"version": "\xff"}', "not UTF-8"),
        ("\ufeff{}", "byte-order mark"),
        ('{"version": NaN}', "NaN is not JSON"),
        ('{"version": 1e999}', "not a finite number"),
        ('{"version": "\\ud800"}', "half of a surrogate pair"),
        ('version: "\\ud800"', "half of a surrogate pair"),
        ('"\\ud800": 1', "half of a surrogate pair"),
        ("{" + '"a":{' * 100 + "}" * 101, "nested too deep"),
        ("a: &x 1\nb: *x\n", "anchors and aliases"),
        ("a: &x {b: *x}\n", "anchors and aliases"),
        ("a: !!python/object:os.system {}\n", "not known here"),
        ("a: 0x10\n", "not a plain number"),
        ("a: [1\n", "not YAML"),
        ("- - -", "expected an object"),
        ('{"default": "deny"}', '"version" is missing'),
        ('{"version": "1"}', '"default" is missing'),
        ('{"version": "2", "default": "deny"}', "is not a choice here"),
        ('{"version": "1", "default": "deny", "tools": {"a\\u0000": {}}}', "control character"),
        ('{"version": "1", "default": "deny", "tools": {"": {}}}', "has 0 characters"),
        ('{"version": "1", "default": "deny", "hide": "vm_delete"}', "expected a list"),
        ('{"version": "1", "default": "deny", "dispatch": {"t": {}}}', '"name" is missing'),
        (
            '{"version": "1", "default": "deny", "dispatch": {"t": {"name": "action"}}}',
            "does not start with '/'",
        ),
        (
            '{"version": "1", "default": "deny", "tools": {"a": {"rate_limit": {"max": 1}}}}',
            '"rate_limit" is not known here',
        ),
    ],
)
def test_what_cannot_be_taken_says_why(text: str | bytes, said: str) -> None:
    assert said in "\n".join(complaints(text))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({}, '"counter" is missing'),
        ({"counter": "c", "window": 0, "max": 1}, "0 is out of bounds"),
        ({"counter": "c", "window": 60, "max": -1}, "-1 is out of bounds"),
        ({"counter": "c", "window": 60, "max": 1.0}, "found the number 1.0"),
        ({"counter": "c", "window": True, "max": 1}, "found true"),
        ({"counter": "c", "window": 60, "max": 1, "scope": "planet"}, '"planet" is not a choice'),
        (
            {
                "counter": "c",
                "window": 60,
                "max": 9,
                "scope": "fleet",
                "on_partition": "safe_share",
            },
            '"shares" is missing',
        ),
        (
            {
                "counter": "c",
                "window": 60,
                "max": 9,
                "scope": "fleet",
                "on_partition": "safe_share",
                "shares": 10,
            },
            "less than one call",
        ),
        (
            {"counter": "c", "window": 60, "max": 9, "scope": "fleet", "shares": 3},
            "of use to a safe share only",
        ),
        (
            {
                "counter": "c",
                "window": 60,
                "max": 9,
                "scope": "server",
                "on_partition": "safe_share",
                "shares": 3,
            },
            "shared by nobody",
        ),
        (
            {
                "counter": "c",
                "window": 60,
                "max": 9,
                "align": "calendar",
                "on_partition": "safe_share",
                "shares": 3,
            },
            "calendar windows have no shares",
        ),
    ],
)
def test_a_bad_limit_says_why(limit: dict[str, object], said: str) -> None:
    policy = {"version": "1", "default": "deny", "tools": {"a": {"limits": [limit]}}}
    assert said in "\n".join(complaints(json.dumps(policy)))


def test_one_counter_with_two_meanings_is_an_error() -> None:
    policy = {
        "version": "1",
        "default": "deny",
        "tools": {
            "a": {"limits": [{"counter": "c", "window": 60, "max": 1}]},
            "b": {"limits": [{"counter": "c", "window": "minute", "max": 2}]},
        },
    }
    (found,) = complaints(json.dumps(policy))
    assert 'counter "c" means something else at /tools/a/limits/0' in found


def test_limits_on_a_denied_tool_are_an_error() -> None:
    limit = {"counter": "c", "window": 60, "max": 1}
    tools = {"a": {"action": "deny", "limits": [limit]}}
    (found,) = complaints(json.dumps({"version": "1", "default": "deny", "tools": tools}))
    assert "never looked at" in found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just("1") | json_values,
        "default": st.sampled_from(["deny", "allow"]) | json_values,
        "hide": st.lists(st.text(max_size=3) | json_values, max_size=3),
        "dispatch": st.dictionaries(st.text(max_size=3), json_values, max_size=2) | json_values,
        "tools": st.dictionaries(
            st.text(max_size=3),
            json_values | st.fixed_dictionaries({"limits": st.lists(json_values, max_size=2)}),
            max_size=3,
        )
        | json_values,
    },
)


@given(documents)
def test_any_document_is_read_or_complained_of_with_a_place(document: dict[str, object]) -> None:
    text = json.dumps(document)
    try:
        policy = parse(text, source="p.json")
    except PolicyTextError as error:
        assert error.complaints
        for complaint in error.complaints:
            assert 1 <= complaint.line <= text.count("\n") + 1
            assert complaint.problem
            assert complaint.remedy
    else:
        assert parse(policy.canonical, source="again") == policy


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_read_or_complained_of(text: str | bytes) -> None:
    try:
        parse(text, source="p.yaml")
    except PolicyTextError as error:
        assert error.complaints
