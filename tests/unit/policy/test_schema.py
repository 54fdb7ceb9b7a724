"""The JSON Schema and the parser judge alike, but for what draft-07 has no words for."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.judged import BEYOND_WORDS, VALIDATOR, classes_beyond, complaints

from toolreeve.policy import descriptions, keys
from toolreeve.policy import schema as schemas

REPOSITORY = Path(__file__).resolve().parents[3]
COMMITTED = REPOSITORY / "enforcer/toolreeve/policy/policy.schema.json"
DOCUMENTS = REPOSITORY / "tests/fixtures/documents"
SCHEMA = schemas.policy_schema()


def cases(name: str) -> list[Any]:
    lines = (DOCUMENTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["case"]) for case in map(json.loads, lines)]


@pytest.mark.parametrize("case", cases("good"))
def test_a_good_document_is_taken_by_both(case: dict[str, Any]) -> None:
    assert not complaints(json.dumps(case["document"]))
    VALIDATOR.validate(case["document"])


@pytest.mark.parametrize("case", cases("bad"))
def test_a_bad_document_is_refused_by_both_or_beyond_the_schema(case: dict[str, Any]) -> None:
    text = case["text"] if "text" in case else json.dumps(case["document"])
    found = complaints(text)
    assert case["pointer"] in [complaint.pointer for complaint in found]
    if "beyond" in case:
        assert case["beyond"] in schemas.BEYOND
    if "document" in case:
        assert VALIDATOR.is_valid(case["document"]) == ("beyond" in case)


def test_every_class_of_disagreement_has_a_case_in_the_corpus() -> None:
    lines = (DOCUMENTS / "bad.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line).get("beyond") for line in lines} - {None} == set(schemas.BEYOND)
    assert set(BEYOND_WORDS) == set(schemas.BEYOND)


def test_the_committed_schema_is_fresh() -> None:
    fresh = json.dumps(SCHEMA, indent=2, ensure_ascii=False) + "\n"
    assert COMMITTED.read_text(encoding="utf-8") == fresh, (
        "write it again: toolreeve policy schema > enforcer/toolreeve/policy/policy.schema.json"
    )


def test_the_schema_is_draft_07() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema_rs.Draft7Validator({"$ref": SCHEMA["$schema"]}).validate(SCHEMA)


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (descriptions.POLICY, keys.POLICY_KEYS),
        (descriptions.RULE, keys.RULE_KEYS),
        (descriptions.ALL_TOOLS, keys.ALL_TOOLS_KEYS),
        (descriptions.CLAUSE, keys.CLAUSE_KEYS),
        (descriptions.CONDITION, keys.CONDITION_KEYS),
        (descriptions.LIMIT, keys.LIMIT_KEYS),
        (descriptions.APPROVAL, keys.APPROVAL_KEYS),
        (descriptions.DISPATCH, keys.DISPATCH_KEYS),
    ],
)
def test_every_key_is_described_and_no_other(said: dict[str, str], known: tuple[str, ...]) -> None:
    assert sorted(said) == sorted(known)


def test_every_key_of_every_object_is_in_the_schema_with_its_description() -> None:
    definitions: Any = SCHEMA["definitions"]
    for where, said in (
        (SCHEMA, descriptions.POLICY),
        (definitions["rule"], descriptions.RULE),
        (definitions["allTools"], descriptions.ALL_TOOLS),
        (definitions["clause"], descriptions.CLAUSE),
        (definitions["condition"], descriptions.CONDITION),
        (definitions["limit"], descriptions.LIMIT),
        (definitions["approval"], descriptions.APPROVAL),
        (definitions["dispatch"], descriptions.DISPATCH),
    ):
        properties: Any = where["properties"]
        shown = {key: value["description"] for key, value in properties.items()}
        assert shown == said


# Documents out of the schema's own words, then damaged at random.

WORDS = sorted(
    {
        *keys.POLICY_KEYS,
        *keys.RULE_KEYS,
        *keys.CLAUSE_KEYS,
        *keys.CONDITION_KEYS,
        *keys.LIMIT_KEYS,
        *keys.APPROVAL_KEYS,
        *keys.DISPATCH_KEYS,
        *keys.MODES,
        *keys.PINNINGS,
        *keys.ACTIONS,
        *keys.SCOPES,
        *keys.ALIGNS,
        *keys.REFUNDS,
        *keys.OPS,
        *keys.WINDOWS,
        "class:read",
        "class:none",
        "args.a",
        "args.a[*].b",
        "/id",
        "/~1",
        "id",
        "10m",
        "99d",
        "1",
        "",
        "a\n",
        "\u00e9",
    }
)
ODD: list[Any] = [None, True, False, 0, 1, -1, 0.5, 60.0, 100_001, 10**13, [], {}, [[]], [1]]
DAMAGE: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(ODD).map(copy.deepcopy),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)
GOOD: list[Any] = [
    json.loads(line)["document"]
    for line in (DOCUMENTS / "good.jsonl").read_text(encoding="utf-8").splitlines()
    if len(line) < 1_000
]


def sites(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything inside a document."""
    yield path
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    elif isinstance(value, list):
        pairs = list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType]
    for key, inner in pairs:
        yield from sites(inner, (*path, key))


@st.composite
def damaged_documents(draw: st.DrawFn) -> Any:
    """A good document, or two merged, with one to three random faults."""
    document: Any = copy.deepcopy(draw(st.sampled_from(GOOD)))
    if draw(st.booleans()):
        document |= copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(sites(document))))
        if not path:
            document[draw(st.sampled_from(WORDS))] = draw(DAMAGE)
            continue
        inside: Any = document
        for key in path[:-1]:
            inside = inside[key]
        match draw(st.sampled_from(["change", "remove", "rename", "wrap", "add"])):
            case "change":
                inside[path[-1]] = draw(DAMAGE)
            case "remove":
                del inside[path[-1]]
            case "wrap":
                inside[path[-1]] = [inside[path[-1]]]
            case "rename" if isinstance(inside, dict):
                moved: Any = inside[path[-1]]  # pyright: ignore[reportUnknownVariableType]
                del inside[path[-1]]
                inside[draw(st.sampled_from(WORDS))] = moved
            case _ if isinstance(inside[path[-1]], dict):
                inside[path[-1]][draw(st.sampled_from(WORDS))] = draw(DAMAGE)
            case _ if isinstance(inside[path[-1]], list):
                inside[path[-1]].append(draw(DAMAGE))
            case _:
                pass
    return document


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged_documents())
def test_a_damaged_document_is_judged_alike(document: Any) -> None:
    found = complaints(json.dumps(document))
    if VALIDATOR.is_valid(document):
        assert "" not in classes_beyond(found), [str(complaint) for complaint in found]
    else:
        assert found, "the schema refuses what the parser takes"
