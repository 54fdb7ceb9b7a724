"""The help of meta-tools, in the shapes that servers write it: text and JSON."""

import json
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.policy.catalogue import Tool
from toolreeve.policy.catalogue.help import first_questions, questions_by_group, read_help
from toolreeve.policy.catalogue.help_parameters import with_parameters
from toolreeve.policy.catalogue.help_text import listed_operations
from toolreeve.policy.catalogue.tool import Help

WORDS = [
    *("actions", "available_operations", "categories", "tools", "name", "action", "description"),
    *("params", "required", "type", "data", "help", "vm_list", "vm_stop - Stop", "id: string"),
]
STRING: dict[str, Any] = {"type": "string"}


def told(help_: Help) -> dict[str, str]:
    return {one.name: one.description for one in help_.operations}


TEXTS: dict[str, tuple[str, dict[str, str]]] = {
    "names with a colon": (
        "vm_list: every VM\nvm_stop: stop a VM; params: id, force\n\nSee the manual.",
        {"vm_list": "every VM", "vm_stop": "stop a VM; params: id, force"},
    ),
    "dashes, with arguments on lines of their own": (
        (
            "Category: vm \u2014 Machines, disks and groups\n\n2 available actions:\n\n"
            "  vm_get \u2014 One VM.\n    Required: id (which: a number)\n"
            "  vm_set \u2014 Change a VM\n    Required: id\n    Optional: memory (MiB), name\n"
        ),
        {
            "vm_get": "One VM.\nRequired: id (which: a number)",
            "vm_set": "Change a VM\nRequired: id\nOptional: memory (MiB), name",
        },
    ),
    "as functions": (
        (
            "2 operations available:\n  ListDisks(query, limit: int = 10) \u2014 Find disks\n"
            "  WipeDisk(disk_id) \u2014 Wipe one\n    - disk_id: which"
        ),
        {
            "ListDisks": "Find disks; params: query, limit: int = 10",
            "WipeDisk": "Wipe one; params: disk_id\n- disk_id: which",
        },
    ),
    "bullets, bold and quoted, with an example that is none": (
        (
            "## Actions\n\n- **start_vm** - Start a VM\n- `stop_vm`: Stop it\n    - id: the VM\n\n"
            '### Example\ncompute(action="start_vm")  # start\n'
        ),
        {"start_vm": "Start a VM", "stop_vm": "Stop it\n- id: the VM"},
    ),
    "a table": (
        "| Action | What it does |\n|---|---|\n| vm_list | Every VM |\n| vm_stop | Stop one |\n",
        {"vm_list": "Every VM", "vm_stop": "Stop one"},
    ),
    "headings": (
        "### vm_list\nEvery VM.\n\n### vm_stop\nStop one.\n",
        {"vm_list": "Every VM.", "vm_stop": "Stop one."},
    ),
    "below their categories": (
        "vm:\n  vm_list: every VM\n  vm_stop: stop one\nsystem:\n  host_info: this host\n",
        {"vm_list": "every VM", "vm_stop": "stop one", "host_info": "this host"},
    ),
    "in passing": (
        "No action given. Available actions: list, start, stop",
        {"list": "", "start": "", "stop": ""},
    ),
}


@pytest.mark.parametrize("shape", TEXTS)
def test_operations_are_found_in_a_text(shape: str) -> None:
    text, wanted = TEXTS[shape]
    assert told(read_help([text])) == {name: said.strip() for name, said in wanted.items()}


@pytest.mark.parametrize(
    "text",
    [
        "categories: vm, system",
        (
            "Two categories.\n\nCategories:\n  vm (9 actions) \u2014 Machines (disks, NICs)\n"
            "  system (2 actions) \u2014 The host\n"
        ),
        "## Categories\n\n- vm: machines\n- system: the host\n",
    ],
)
def test_categories_in_a_text_are_no_operations(text: str) -> None:
    found = read_help([text])
    assert (found.groups, found.operations) == (("vm", "system"), ())


JSONS: dict[str, object] = {
    "names": {"actions": ["vm_list", "vm_stop"]},
    "names with texts": {"available_operations": ["vm_list - Every VM", "vm_stop(id): Stop one"]},
    "objects": {"tools": [{"name": "vm_list"}, {"name": "vm_stop", "description": "Stop one"}]},
    "objects by another name": {"commands": [{"action": "vm_list"}, {"operation": "vm_stop"}]},
    "by name": {"validActions": {"vm_list": "Every VM", "vm_stop": {"summary": "Stop one"}}},
    "by name, with the arguments": {"operations": {"vm_list": [], "vm_stop": ["id", "force?"]}},
    "wrapped": {"success": True, "data": {"result": {"actions": ["vm_list", "vm_stop"]}}},
    "in categories": {"categories": {"vm": {"actions": ["vm_list"]}, "power": ["vm_stop"]}},
    "in a list of categories": {
        "categories": [
            {"name": "vm", "description": "Machines", "operations": ["vm_list"]},
            {"name": "power", "operations": [{"name": "vm_stop"}]},
        ]
    },
    "at the top": [{"name": "vm_list", "params": {}}, {"name": "vm_stop", "help": "Stop one"}],
    "as a text inside": {"help": "Actions:\n- vm_list: every VM\n- vm_stop: stop one"},
    "in an error": {"error": "no action", "availableActions": ["vm_list", "vm_stop"]},
}


@pytest.mark.parametrize("shape", JSONS)
def test_operations_are_found_in_json(shape: str) -> None:
    value = JSONS[shape]
    text = json.dumps(value, indent=2)
    for found in (
        read_help([], value),
        read_help([text]),
        read_help([f"What I can do:\n\n```json\n{text}\n```\n"]),
        read_help([text], failed=True),
    ):
        assert sorted(told(found)) == ["vm_list", "vm_stop"]
        assert found.groups == ()


def test_categories_that_tell_of_no_operation_are_left_to_be_asked() -> None:
    for value in (
        {"categories": ["vm", "system"]},
        {"categories": {"vm": "Machines", "system": {"count": 3}}},
        {"categories": [{"name": "vm", "actions": 9}, {"name": "system"}]},
    ):
        assert read_help([], value) == Help(groups=("vm", "system"))
    mixed = read_help([], {"groups": {"vm": ["vm_list"], "system": "The host"}})
    assert (mixed.groups, list(told(mixed))) == (("system",), ["vm_list"])


@pytest.mark.parametrize(
    "data",
    [
        {"hostname": "storage-1", "version": "25.04", "status": "ok"},
        [{"name": "web", "id": 1, "status": "running"}, {"name": "db", "id": 2}],
        ["web", "db"],
        {"result": [{"name": "web"}]},
        {"data": {"web": {"memory": 512}}},
        3,
        None,
    ],
)
def test_an_answer_that_is_no_help_tells_of_nothing(data: object) -> None:
    assert not read_help([json.dumps(data)], data)
    assert not read_help([json.dumps(data)], data, failed=True)


def test_the_lines_of_an_error_are_no_operations() -> None:
    assert not read_help(["Error: no such category\nhint: try vm"], failed=True)


def meta(description: str = "", required: tuple[str, ...] = (), said: str = "") -> Tool:
    properties = {
        "category": STRING,
        "action": {**STRING, "description": said},
        "params": {"type": "object"},
    }
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return Tool(name="host", description=description, input_schema=schema)


def test_a_tool_that_requires_nothing_is_asked_without_arguments() -> None:
    assert first_questions(meta()) == [{}]
    assert first_questions(Tool(name="vm_list", input_schema={})) == []


@pytest.mark.parametrize(
    "words",
    [
        {"description": 'Manage it. Use action="help" for documentation.'},
        {"description": "Manage it. Use action: 'help' to see all actions."},
        {"said": 'The action, or "help" for a list.'},
    ],
)
def test_a_tool_whose_texts_offer_the_word_help_is_asked_with_it(words: dict[str, str]) -> None:
    description, said = words.get("description", ""), words.get("said", "")
    strict, lenient = meta(description, ("action",), said), meta(description, (), said)
    assert first_questions(strict) == [{"action": "help"}]
    assert first_questions(lenient) == [{}, {"action": "help"}]


def test_a_tool_that_requires_an_operation_and_offers_no_help_is_left_alone() -> None:
    assert first_questions(meta("Manage it, with help of the API.", ("action",))) == []
    assert first_questions(meta('Use action="help".', ("action", "category"))) == []


def test_a_tool_that_does_something_by_default_is_not_called_without_arguments() -> None:
    def by_default(operation: object, description: str = "") -> Tool:
        action = {**STRING, "default": operation}
        properties = {"action": action, "category": STRING, "params": {"type": "object"}}
        return Tool(name="host", description=description, input_schema={"properties": properties})

    assert first_questions(by_default("restart_all")) == []
    assert first_questions(by_default(["odd"])) == []
    assert first_questions(by_default("restart_all", 'Use action="help".')) == [{"action": "help"}]
    told = Help(groups=("vm",))
    assert questions_by_group(by_default("restart_all"), {"category": "help"}, told) == []
    asked = {"action": "help"}
    assert questions_by_group(by_default("restart_all"), asked, told) == [
        {"action": "help", "category": "vm"}
    ]
    for harmless in (None, "", "help"):
        assert first_questions(by_default(harmless)) == [{}]


def test_each_category_is_asked_for_with_nothing_else() -> None:
    tool = meta("Categories: vm, system")
    assert questions_by_group(tool, {}, Help(groups=("a", "b"))) == [
        {"category": "a"},
        {"category": "b"},
    ]
    assert questions_by_group(tool, {}, Help()) == [{"category": "vm"}, {"category": "system"}]
    asked = {"action": "help"}
    assert questions_by_group(tool, asked, Help(groups=("a",))) == [
        {"action": "help", "category": "a"}
    ]
    known = Help(operations=(Tool(name="vm_list"),))
    assert questions_by_group(tool, {}, known) == []


HOSTILE = (
    (" " * 2_000 + "\n") * 100,
    "(" * 100_000,
    "a(" * 50_000,
    "- " * 50_000,
    "# " * 50_000,
    "**" * 50_000,
    "actions: " + "a, " * 50_000,
    "params: " * 10_000,
    "```json\n" * 10_000,
    '{"a":' * 20_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:10].strip())
def test_hostile_help_takes_time_linear_in_its_length(text: str) -> None:
    began = perf_counter()
    with_parameters(read_help([text]).operations)
    listed_operations(text)
    assert perf_counter() - began < 5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(WORDS),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_any_answer_is_read_and_each_operation_once(value: object) -> None:
    for found in (read_help([], value), read_help([json.dumps(value)]), read_help([str(value)])):
        names = [one.name for one in with_parameters(found.operations)]
        assert len(names) == len(set(names))
