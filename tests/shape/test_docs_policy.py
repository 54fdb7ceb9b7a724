"""The policy reference is the schema's: every key has its row and its page, and no other has."""

import re
from pathlib import Path
from typing import Any

import pytest

from toolreeve.policy.schema import policy_schema

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "reference" / "policy.md"
PAGES = PAGE.with_suffix("")
SCHEMA: Any = policy_schema()

# Heading on the page -> the object of the schema whose table stands under it.
TABLES = {
    "Keys of the document": SCHEMA,
    "dispatch": SCHEMA["definitions"]["dispatch"],
    "all_tools": SCHEMA["definitions"]["allTools"],
    "tools": SCHEMA["definitions"]["rule"],
    "approval": SCHEMA["definitions"]["approval"],
    "require and deny_if": SCHEMA["definitions"]["clause"],
    "conditions": SCHEMA["definitions"]["condition"],
    "limits": SCHEMA["definitions"]["limit"],
}
# Where a key may stand, as its page says it -> the object of the schema.
OBJECTS = {
    "the [document](../policy.md#keys-of-the-document)": SCHEMA,
    "a [rule](tools.md)": SCHEMA["definitions"]["rule"],
    "[`all_tools`](all_tools.md)": SCHEMA["definitions"]["allTools"],
    "a [clause](require.md)": SCHEMA["definitions"]["clause"],
    "a [condition](conditions.md)": SCHEMA["definitions"]["condition"],
    "a [limit](limits.md)": SCHEMA["definitions"]["limit"],
    "an [approval](approval.md)": SCHEMA["definitions"]["approval"],
    "a [dispatch](dispatch.md)": SCHEMA["definitions"]["dispatch"],
}
FORMS = {
    "name": "name",
    "line": "text",
    "pointer": "pointer",
    "clauses": "list of clauses",
    "limits": "list of limits",
    "condition": "conditions",
    "approval": "object",
    "allTools": "object",
}


def form(member: Any) -> str:
    """What a key takes, in words of the page."""
    found = [one["$ref"].rpartition("/")[2] for one in member.get("allOf", []) if "$ref" in one]
    if found:
        return FORMS[found[0]]
    if "$ref" in member:
        return FORMS[member["$ref"].rpartition("/")[2]]
    if "enum" in member:
        return ", ".join(f"`{choice}`" for choice in member["enum"])
    if "anyOf" in member:
        return " or ".join(map(form, member["anyOf"]))
    if member.get("type") == "array":
        return f"list of {form(member['items'])}".replace("list of name", "list of names").replace(
            "list of pointer", "list of pointers"
        )
    if member.get("type") in {"integer", "number"}:
        return f"number from {member['minimum']} to {member['maximum']}"
    if "allOf" in member:
        return "path"
    return str(member.get("type", "anything")).replace("string", "text")


def rows(thing: Any) -> list[str]:
    """The rows of an object's table."""
    return [
        f"| [`{key}`](policy/{page_of(key)}) | {taken(thing, key)} | {member['description']} |"
        for key, member in thing["properties"].items()
    ]


def taken(thing: Any, key: str) -> str:
    """What a key of an object takes, whether it must be there, and what it is without it."""
    member = thing["properties"][key]
    needed = "; required" if key in thing.get("required", ()) else ""
    return f"{form(member)}{needed}{default(member)}"


def default(member: Any) -> str:
    return f"; by default `{member['default']}`" if "default" in member else ""


def sections() -> dict[str, str]:
    page = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^#{2,3} ([^\n]+)$(.*?)(?=^#{2,3} |\Z)", page, re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.mark.parametrize("title", TABLES)
def test_each_table_of_the_policy_page_is_the_schemas(title: str) -> None:
    table = re.findall(r"^\| \[`.*$", sections()[title], re.MULTILINE)
    wanted = rows(TABLES[title])
    assert table == wanted, "the table should be:\n" + "\n".join(wanted)


def all_keys() -> list[str]:
    """Every key of a policy, once, in the order of the document."""
    return list(dict.fromkeys(key for thing in OBJECTS.values() for key in thing["properties"]))


def page_of(key: str) -> str:
    """The file of a key's own page."""
    return f"{key.lstrip('$')}.md"


def head_rows(key: str) -> list[str]:
    """What stands at the top of a key's page: where the key may stand, and what it takes there."""
    return [
        f"| {where} | {taken(thing, key)} | {thing['properties'][key]['description']} |"
        for where, thing in OBJECTS.items()
        if key in thing["properties"]
    ]


@pytest.mark.parametrize("key", all_keys())
def test_every_key_has_a_page_that_begins_with_what_the_schema_says(key: str) -> None:
    page = (PAGES / page_of(key)).read_text(encoding="utf-8")
    head, table, prose = page.split("\n\n", 2)
    assert head == f"# `{key}`"
    wanted = ["| in | form | |", "|---|---|---|", *head_rows(key)]
    assert table.splitlines() == wanted, "the table should be:\n" + "\n".join(wanted)
    shown = re.findall(r"^```json policy\n(.*?)^```", prose, re.MULTILINE | re.DOTALL)
    assert any(f'"{key}"' in policy for policy in shown), "a page shows a policy that has its key"


def test_there_is_no_page_of_a_key_that_does_not_exist() -> None:
    assert {page.name for page in PAGES.glob("*.md")} == {page_of(key) for key in all_keys()}
