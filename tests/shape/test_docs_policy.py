"""The tables of the policy reference are the schema's: every key, its form and what it is for."""

import re
from pathlib import Path
from typing import Any

import pytest

from toolreeve.policy.schema import policy_schema

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "reference" / "policy.md"
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
        f"| `{key}` | {form(member)}{'; required' if key in thing.get('required', ()) else ''}"
        f"{default(member)} | {member['description']} |"
        for key, member in thing["properties"].items()
    ]


def default(member: Any) -> str:
    return f"; by default `{member['default']}`" if "default" in member else ""


def sections() -> dict[str, str]:
    page = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^#{2,3} ([^\n]+)$(.*?)(?=^#{2,3} |\Z)", page, re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.mark.parametrize("title", TABLES)
def test_each_table_of_the_policy_page_is_the_schemas(title: str) -> None:
    table = re.findall(r"^\| `.*$", sections()[title], re.MULTILINE)
    wanted = rows(TABLES[title])
    assert table == wanted, "the table should be:\n" + "\n".join(wanted)


def test_every_key_of_a_rule_and_of_a_limit_has_a_section_of_its_own() -> None:
    titles = set(sections())
    wanted = {"mode", "hide", "methods", "dispatch", "all_tools", "tools"}
    wanted |= {"action", "reason", "approval", "arguments", "require and deny_if", "limits"}
    wanted |= {"counter", "window", "max", "scope", "align", "by", "amount", "refund_on"}
    wanted |= {"conditions", "path", "op", "value", "on_missing", "on_deny"}
    assert wanted <= titles, f"no section for {sorted(wanted - titles)}"
