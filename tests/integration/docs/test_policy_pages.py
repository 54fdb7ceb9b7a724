"""What the pages of the policy's keys say in tables comes true with the policies they show."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from toolreeve.decision import (
    Call,
    CompiledPolicy,
    Counters,
    EffectiveTool,
    Holds,
    Instant,
    Verdict,
    compile_policy,
    decide,
    effective_tool,
)
from toolreeve.policy import parse

PAGES = Path(__file__).resolve().parents[3] / "docs" / "reference" / "policy"
POLICY = re.compile(r"^```json policy\n(.*?)^```", re.MULTILINE | re.DOTALL)


def page(key: str) -> str:
    return (PAGES / f"{key}.md").read_text(encoding="utf-8")


def shown(key: str) -> CompiledPolicy:
    """The first policy of a page."""
    found = POLICY.search(page(key))
    assert found is not None
    return compile_policy(parse(found[1], source=key))


def rows(key: str, head: str) -> list[list[str]]:
    """The cells of the table under a head, without the marks of code."""
    _, _, rest = page(key).partition(f"{head}\n|---")
    lines = rest.partition("\n")[2].partition("\n\n")[0].splitlines()
    assert lines, f"{key} has no table under {head}"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def verdict(policy: CompiledPolicy, tool: str, arguments: dict[str, Any] | None = None) -> Verdict:
    call = Call(server="s", grant="g", tool=tool, arguments=arguments or {})
    return decide(policy, Holds(), Counters(), call, Instant(1))


def code_of(cell: str) -> str:
    return "allowed" if cell.startswith("passes") else cell.split("`")[1]


def value(cell: str) -> dict[str, Any]:
    """An argument's value as a table shows it; nothing where it says that none is there."""
    return {} if cell == "not there" else {"": json.loads(cell.strip("`"))}


def test_the_table_of_tools_says_which_rule_holds() -> None:
    policy = shown("tools")
    for tool, rule in rows("tools", "| tool | rule that holds |"):
        name = rule.partition(":")[0] if rule.startswith("none") else rule.split("`")[1]
        found = verdict(policy, tool.strip("`")).rule.partition("/limits")[0]
        assert found == ("/default" if name == "none" else f"/tools/{name}"), tool


def test_the_table_of_dispatch_says_what_a_call_means() -> None:
    policy = shown("dispatch")
    for asked, meant, given in rows("dispatch", "| the call | is a call of | with |"):
        for call in asked.split("`, `"):
            wire_tool, _, arguments = call.strip("`").partition(" ")
            found = effective_tool(policy.dispatch_of(wire_tool), wire_tool, json.loads(arguments))
            if meant.startswith("nothing"):
                assert not isinstance(found, EffectiveTool), call
            else:
                assert isinstance(found, EffectiveTool), call
                assert (found.name, found.arguments) == (
                    meant.split("`")[1],
                    json.loads(given.strip("`")),
                )


def test_the_table_of_require_says_what_becomes_of_a_call() -> None:
    policy = shown("require")
    for number, reason, said in rows("require", "| `id` | `reason` | |"):
        given = {
            name: found[""]
            for name, cell in (("id", number), ("reason", reason))
            if (found := value(cell if cell == "not there" else f"`{cell.strip('`')}`"))
        }
        assert verdict(policy, "vm_restart", given).code.value == code_of(said), given


@pytest.mark.parametrize("choice", ["ignore", "deny"])
def test_the_table_of_on_missing_says_what_becomes_of_a_call(choice: str) -> None:
    found = POLICY.search(page("on_missing"))
    assert found is not None
    text = found[1].replace('"on_missing": "ignore"', f'"on_missing": "{choice}"')
    policy = compile_policy(parse(text, source="on_missing"))
    table = rows("on_missing", "| `force` | with `ignore` | with `deny` |")
    for forces, with_ignore, with_deny in table:
        said = with_ignore if choice == "ignore" else with_deny
        for cell in forces.split(", "):
            found_value = value(cell)
            arguments = {"force": found_value[""]} if found_value else {}
            passes = verdict(policy, "vm_stop", arguments).code.value == "allowed"
            assert passes == said.startswith("passes"), (cell, choice)


def test_the_table_of_op_says_what_each_comparison_makes_of_a_value() -> None:
    for given, compared, said in rows("op", "| value | compared | |"):
        op, _, wanted = compared.strip("`").partition(" ")
        condition = {"path": "args.x", "op": op, "value": json.loads(wanted)}
        document = {
            "version": "1",
            "default": "deny",
            "tools": {"t": {"require": [{"conditions": [condition]}]}},
        }
        policy = compile_policy(parse(json.dumps(document), source="op"))
        code = verdict(policy, "t", {"x": json.loads(given.strip("`"))}).code.value
        words = {"holds": "allowed", "does not hold": "require_failed", "error": "condition_error"}
        wanted_code = next(
            words[word] for word in ("does not hold", "holds", "error") if word in said
        )
        assert code == wanted_code, given
