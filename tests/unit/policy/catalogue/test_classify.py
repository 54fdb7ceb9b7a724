"""Risk classes: the seeds' labels, the labelled fixture, and what may never happen."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.policy.catalogue import RiskClass, Tool, class_of_name, classify, escape_hatch

ROOT = Path(__file__).parents[4]
LABELLED = ROOT / "tests" / "fixtures" / "tools" / "labelled.jsonl"
PAGE = ROOT / "docs" / "reference" / "risk-classes.md"
CLASSES = ("read", "write", "execute", "financial", "destructive")


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]


def as_tool(row: dict[str, Any]) -> Tool:
    return Tool(name=row["name"], description=row["description"], input_schema=row["inputSchema"])


@pytest.mark.parametrize(
    ("name", "class_", "level"),
    [
        ("vm_restart", "execute", "high"),
        ("vm_start", "execute", "high"),
        ("vm_stop", "execute", "high"),
        ("start_vm", "execute", "high"),
        ("vm_clone", "write", "medium"),
    ],
)
def test_the_five_seeds_come_out_as_their_pages_say(name: str, class_: str, level: str) -> None:
    found = classify(Tool(name=name))
    assert (class_of_name(name), found.class_.value, found.level.value) == (class_, class_, level)


def test_no_labelled_tool_that_destroys_is_called_a_read_nor_by_its_name_alone() -> None:
    for row in rows():
        if row["class"] == "destructive":
            assert classify(as_tool(row)).class_ is not RiskClass.READ, row["name"]
            assert class_of_name(row["name"]) != "read", row["name"]


def test_nothing_that_is_labelled_otherwise_is_called_a_read() -> None:
    called = {row["name"] for row in rows() if classify(as_tool(row)).class_ is RiskClass.READ}
    assert called <= {row["name"] for row in rows() if row["class"] == "read"}


def test_the_fixture_holds_at_least_three_hundred_tools_of_every_class_and_many_kinds() -> None:
    found = rows()
    assert len({row["name"] for row in found}) == len(found) >= 300
    assert min(Counter(row["class"] for row in found).values()) >= 30
    assert len({row["kind"] for row in found}) >= 15


def test_the_page_about_risk_classes_holds_the_figures_and_every_mistake() -> None:
    page = PAGE.read_text(encoding="utf-8")
    judged = [(row, classify(as_tool(row)).class_.value) for row in rows()]
    right = sum(row["class"] == found for row, found in judged)
    assert f"{right} of {len(judged)}" in page
    for class_ in CLASSES:
        hit = sum(row["class"] == found == class_ for row, found in judged)
        called = sum(found == class_ for _, found in judged)
        labelled = sum(row["class"] == class_ for row, _ in judged)
        line = f"| {class_} | {labelled} | {called} | {hit / called:.3f} | {hit / labelled:.3f} |"
        assert line in page
    section = page.split("## Mistakes")[1].split("\n## ")[0]
    listed = {tuple(line.split(" | ")) for line in section.splitlines() if line.startswith("| `")}
    assert listed == {
        (f"| `{row['name']}`", row["class"], f"{found} |")
        for row, found in judged
        if row["class"] != found
    }


@pytest.mark.parametrize(
    "name",
    ["deletefile", "fileDelete", "list_and_delete", "get_delete_all", "vm.destroy", "DROP-TABLE"],
)
def test_a_name_with_a_word_that_destroys_is_destructive_wherever_it_stands(name: str) -> None:
    assert class_of_name(name) == "destructive"


@pytest.mark.parametrize(
    ("name", "class_"),
    [
        ("get_payment", "read"),
        ("order_list", "read"),
        ("list_deleted_items", "read"),
        ("get_or_create_user", "write"),
        ("create_payment", "financial"),
        ("snapshot_task_run", "execute"),
        ("smb_share_list", "read"),
        ("d\u0435lete_vm", "execute"),
        ("", "execute"),
        ("frobnicate", "execute"),
    ],
)
def test_a_name_is_read_by_its_verbs_and_one_that_says_nothing_executes(
    name: str, class_: str
) -> None:
    assert class_of_name(name) == class_


def test_annotations_are_shown_and_lower_nothing() -> None:
    tool = Tool(name="vm_delete", annotations={"readOnlyHint": True, "destructiveHint": False})
    found = classify(tool)
    assert found.class_ is RiskClass.DESTRUCTIVE
    assert "the server claims destructiveHint=false, readOnlyHint=true" in found.why


def test_a_description_that_warns_makes_a_tool_destructive_unless_it_denies_it() -> None:
    warns = Tool(name="pool_export", description="Export a pool (destructive, needs confirm).")
    denies = Tool(name="pool_export", description="Export a pool. This is not destructive.")
    assert classify(warns).class_ is RiskClass.DESTRUCTIVE
    assert classify(denies).class_ is RiskClass.WRITE


def test_a_read_by_name_whose_description_deletes_is_destructive() -> None:
    tool = Tool(name="get_space", description="Deletes old files to get space.")
    assert classify(tool).class_ is RiskClass.DESTRUCTIVE


@pytest.mark.parametrize(
    ("tool", "hatch"),
    [
        (Tool(name="truenas_api_call"), True),
        (Tool(name="bash"), True),
        (Tool(name="run_python"), True),
        (
            Tool(
                name="fetch",
                input_schema={
                    "properties": {"method": {"type": "string"}, "url": {"type": "string"}}
                },
            ),
            True,
        ),
        (Tool(name="db", input_schema={"properties": {"sql": {"type": "string"}}}), True),
        (Tool(name="query_database", input_schema={"properties": {"query": {}}}), True),
        (Tool(name="search_code", input_schema={"properties": {"query": {}}}), False),
        (Tool(name="vm_restart", input_schema={"properties": {"id": {}}}), False),
        (Tool(name="api_key_list"), False),
    ],
)
def test_escape_hatches_are_found(tool: Tool, hatch: bool) -> None:
    assert (escape_hatch(tool) is not None) == hatch
    if hatch:
        assert classify(tool).class_ is not RiskClass.READ


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_classified_in_the_same_way_twice(name: str, description: str) -> None:
    tool = Tool(name=name, description=description)
    assert classify(tool) == classify(tool)
    assert class_of_name(name) in CLASSES


@given(st.text(max_size=100), st.dictionaries(st.text(max_size=30), st.booleans(), max_size=4))
def test_no_annotation_changes_a_class_or_a_level(name: str, claims: dict[str, bool]) -> None:
    plain, claimed = classify(Tool(name=name)), classify(Tool(name=name, annotations=claims))
    assert (plain.class_, plain.level) == (claimed.class_, claimed.level)
