"""`toolreeve policy fmt`: the layout changes, the meaning never does."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolreeve.policy import PolicyTextError, keys, parse
from toolreeve.policy.layout import LayoutError, tidy, write_json
from toolreeve.policy.layout.order import ORDER, Kind

DOCUMENTS = Path(__file__).resolve().parents[2] / "fixtures" / "documents" / "good.jsonl"
GOOD: list[Any] = [
    json.loads(line)["document"] for line in DOCUMENTS.read_text(encoding="utf-8").splitlines()
]

SPREAD = """\
{
  "version": "1",
  "name": "truenas-prod",
  "default": "deny",
  "mode": "enforce",
  "dispatch": {"truenas": {"name": "/action", "arguments": "/params", "group": "/category"}},
  "hide": ["vm_delete"],
  "all_tools": {"limits": [{"counter": "all", "window": "minute", "max": 120, "scope": "grant"}]},
  "tools": {
    "vm_status": {},
    "vm_restart": {
      "arguments": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}}},
      "limits": [
        {"counter": "vm_restart_rate", "window": "minute", "max": 10, "scope": "grant"},
        {"counter": "one_vm", "window": 3600, "max": 3, "scope": "server", "by": ["/id", "/host"]}
      ]
    },
    "vm_clone": {
      "action": "require_approval",
      "approval": {"timeout": "10m", "approvers": ["ops", "platform", "the people on call"]}
    }
  }
}
"""

COMMENTED = """\
# Who may do what on truenas-prod.

# closed by default
default: deny   # and stays so
version: "1"

tools:
  # a restart is felt
  vm_restart:
    # the cap
    limits:
    - max: 10     # ten
      # a minute each
      window: minute
      counter: a
    # for a day
    - {max: 100, window: day, counter: 'b'}
    reason: Too often.

  vm_stop: {reason: 'Not by agents, see #5', action: deny}
  # no more tools
# for listings
name: truenas-prod

# The end.
"""

ORDERED = """\
# Who may do what on truenas-prod.

version: "1"
# for listings
name: truenas-prod

# closed by default
default: deny   # and stays so
tools:
  # a restart is felt
  vm_restart:
    reason: Too often.
    # the cap
    limits:
    - counter: a
      # a minute each
      window: minute
      max: 10     # ten
    # for a day
    - {counter: 'b', window: day, max: 100}

  vm_stop: {action: deny, reason: 'Not by agents, see #5'}
  # no more tools

# The end.
"""


def tidied(text: str) -> str:
    return tidy(text, source="p")


def test_keys_stand_in_one_order_and_what_fits_stands_on_one_line() -> None:
    document = json.loads(SPREAD)
    mixed = json.dumps(dict(reversed(document.items())), indent=7)
    assert tidied(mixed) == SPREAD
    assert tidied(SPREAD) == SPREAD
    assert max(map(len, SPREAD.splitlines())) <= 100


def test_tools_arguments_and_values_keep_the_order_of_their_author() -> None:
    text = '{"version":"1","default":"deny","tools":{"z":{"arguments":{"z":1,"a":2}},"a":{}}}'
    assert list(json.loads(tidied(text))["tools"]) == ["z", "a"]
    assert list(json.loads(tidied(text))["tools"]["z"]["arguments"]) == ["z", "a"]


def test_yaml_keeps_its_comments_quotes_and_styles() -> None:
    written = tidied(COMMENTED)
    assert written == ORDERED
    assert tidied(written) == written


def test_a_comment_that_would_lose_its_place_is_refused_with_its_line() -> None:
    text = 'version: "1"\ndefault: deny\ntools:\n  a: {reason: x, # why\n    action: deny}\n'
    with pytest.raises(LayoutError, match=r"^p:4: a comment stands between keys in \{\.\.\.\}"):
        tidied(text)


def test_what_is_no_policy_is_refused_with_its_complaints() -> None:
    with pytest.raises(PolicyTextError, match="did you mean"):
        tidied('{"version": "1", "default": "deny", "tols": {}}')


def test_yaml_with_markers_and_line_ends_of_another_system_is_laid_out() -> None:
    text = '---\r\ndefault: deny\r\nversion: "1"\r\n...\r\n'
    assert tidied(text) == '---\nversion: "1"\ndefault: deny\n...\n'


def test_characters_that_are_not_seen_are_written_as_escapes() -> None:
    text = '{"version": "1", "default": "deny", "name": "a\u2028b\ufeff\u00e9"}'
    assert r'"name": "a\u2028b\ufeffé"' in tidied(text)
    assert parse(tidied(text), source="p").name == "a\u2028b\ufeffé"


def test_the_order_names_every_key_once() -> None:
    known = {
        Kind.POLICY: keys.POLICY_KEYS,
        Kind.RULE: keys.RULE_KEYS,
        Kind.CLAUSE: keys.CLAUSE_KEYS,
        Kind.CONDITION: keys.CONDITION_KEYS,
        Kind.LIMIT: keys.LIMIT_KEYS,
        Kind.APPROVAL: keys.APPROVAL_KEYS,
        Kind.DISPATCH: keys.DISPATCH_KEYS,
    }
    assert set(ORDER) == set(known)
    assert set(keys.ALL_TOOLS_KEYS) <= set(keys.RULE_KEYS)
    for kind, names in known.items():
        assert sorted(ORDER[kind]) == sorted(names)


@pytest.mark.parametrize("document", GOOD)
def test_every_good_document_keeps_its_revision_and_is_laid_out_once(document: Any) -> None:
    text = json.dumps(document)
    written = tidied(text)
    assert parse(written, source="p").revision == parse(text, source="p").revision
    assert tidied(written) == written


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=9), inner, max_size=4
        )
    ),
    max_leaves=12,
)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda name: not name.startswith("class:")
)


@st.composite
def policies(draw: st.DrawFn) -> Any:
    """A good document with random names and values, its keys in random order."""
    document = {**draw(st.sampled_from(GOOD))}
    clause = {"conditions": [{"path": "args.a", "op": "eq", "value": draw(ANY)}]}
    tools = {draw(NAMES): {"require": [clause], "reason": "r"}, draw(NAMES): {}}
    document["tools"] = {**document.get("tools", {}), **tools}
    return dict(draw(st.permutations(list(document.items()))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies())
def test_the_revision_of_a_json_policy_never_changes(document: Any) -> None:
    text = json.dumps(document)
    written = tidied(text)
    assert parse(written, source="p").revision == parse(text, source="p").revision
    assert tidied(written) == written


@st.composite
def yaml_texts(draw: st.DrawFn) -> str:
    """Good documents as YAML, block or flow at random, with keys mixed and comments between."""
    document: Any = draw(st.sampled_from([one for one in GOOD if len(json.dumps(one)) < 2_000]))

    def block(value: Any, indent: str) -> list[str]:
        note = [f"{indent}# {draw(st.sampled_from('abc'))}"] if draw(st.booleans()) else []
        gap = [""] if draw(st.integers(0, 9)) == 0 else []
        lines: list[str] = []
        for key, inner in draw(st.permutations(list(value.items()))):
            start = f"{indent}{json.dumps(key)}:"
            if isinstance(inner, dict) and inner and draw(st.booleans()):
                lines += [*gap, *note, start, *block(inner, indent + "  ")]
            elif isinstance(inner, list) and inner and draw(st.booleans()):
                lines += [*note, start]
                items: list[Any] = inner  # pyright: ignore[reportUnknownVariableType]
                for item in items:
                    if isinstance(item, dict) and item:
                        first, *rest = block(item, indent + "    ")
                        dash = f"{indent}  - "
                        lines += [dash + first.strip(), *rest]
                    else:
                        lines.append(f"{indent}  - {json.dumps(item)}")
            else:
                lines += [*note, f"{start} {json.dumps(inner)}"]
        return lines

    return "\n".join(["# top", "", *block(document, "")]) + "\n"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(yaml_texts())
def test_the_revision_of_a_yaml_policy_never_changes_and_no_comment_is_lost(text: str) -> None:
    before = parse(text, source="p")
    written = tidied(text)
    assert parse(written, source="p").revision == before.revision
    assert sorted(line.strip() for line in written.splitlines() if "#" in line) == sorted(
        line.strip() for line in text.splitlines() if "#" in line
    )
    assert tidied(written) == written


def test_a_written_document_ends_in_one_newline() -> None:
    assert write_json({"version": "1", "default": "deny"}).endswith("}\n")
