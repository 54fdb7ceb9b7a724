"""Lint: one test a finding, each with the case beside it that is fine."""

import json
from pathlib import Path
from typing import Any

import pytest

from toolreeve.decision import compile_policy
from toolreeve.policy import parse
from toolreeve.policy.catalogue import Tool
from toolreeve.policy.lint import Code, Finding, lint, rule_of

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "lint.md"
DATA = ROOT.parent / "shared" / "data"


def schema(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties}


STRING = {"type": "string"}
VM_LIST = Tool(name="vm_list")
VM_GET = Tool(name="vm_get", input_schema=schema(id=STRING))
VM_RESTART = Tool(name="vm_restart", input_schema=schema(id={"type": "integer"}))
VM_DELETE = Tool(name="vm_delete", input_schema=schema(id={"type": "integer"}))
RAW = Tool(name="truenas_api_call")
META = Tool(
    name="vm_management",
    input_schema={
        **schema(action={"type": "string", "enum": ["list", "start", "delete"]}),
        "required": ["action"],
    },
)


def findings(document: dict[str, Any], *tools: Tool) -> list[Finding]:
    text = json.dumps({"version": "1", "default": "deny", **document})
    return list(lint(parse(text, source="p.json"), tools, text=text, source="p.json"))


def codes(document: dict[str, Any], *tools: Tool) -> list[tuple[Code, str]]:
    return [(found.code, found.complaint.pointer) for found in findings(document, *tools)]


def test_a_good_policy_leaves_nothing_to_say() -> None:
    tools: dict[str, Any] = {"vm_list": {}, "vm_delete": {"action": "require_approval"}}
    assert codes({"tools": tools}, VM_LIST, VM_DELETE) == []


def test_a_rule_for_a_tool_that_is_not_offered_is_found_with_a_near_name() -> None:
    (found,) = findings({"tools": {"vm_list": {}, "vm_lst": {}}}, VM_LIST)
    assert found.code is Code.RULE_MATCHES_NOTHING
    assert found.complaint.pointer == "/tools/vm_lst"
    assert found.complaint.remedy == 'did you mean "vm_list"?'


def test_a_hidden_name_and_a_glob_that_match_nothing_are_found() -> None:
    document: dict[str, Any] = {"hide": ["pool_*"], "tools": {"vm_list": {}, "app_*": {}}}
    assert codes(document, VM_LIST) == [
        (Code.RULE_MATCHES_NOTHING, "/hide/0"),
        (Code.RULE_MATCHES_NOTHING, "/tools/app_*"),
    ]


def test_a_rule_for_a_meta_tools_own_name_that_no_call_keeps_matches_nothing() -> None:
    dispatch = {"vm_management": {"name": "/action", "prefix": "vm_"}}
    document: dict[str, Any] = {"dispatch": dispatch, "tools": {"vm_list": {}}}
    assert codes(document, META) == []


def test_tools_that_no_rule_names_under_default_allow_are_found() -> None:
    document: dict[str, Any] = {"default": "allow", "tools": {"vm_list": {}}}
    assert codes(document, VM_LIST, VM_RESTART) == [(Code.TOOL_WITHOUT_RULE, "/default")]
    assert codes({"tools": {"vm_list": {}}}, VM_LIST, VM_RESTART) == []


def test_a_meta_tool_without_dispatch_is_found_where_it_may_be_called() -> None:
    allowed = codes({"tools": {"vm_management": {}}}, META)
    assert allowed == [(Code.META_WITHOUT_DISPATCH, "/tools/vm_management")]
    assert codes({"tools": {"vm_management": {"action": "deny"}}}, META) == []


def test_a_dispatch_for_a_tool_that_is_not_offered_is_found() -> None:
    document: dict[str, Any] = {"dispatch": {"truenas": {"name": "/action"}}, "tools": {"vm_*": {}}}
    assert codes(document, VM_LIST) == [(Code.DISPATCH_MATCHES_NOTHING, "/dispatch/truenas")]
    flat: dict[str, Any] = {"dispatch": {"truenas": {"name": "/action"}}, "tools": {"vm_list": {}}}
    assert codes(flat, VM_LIST) == []  # the same operations, offered as tools of their own


@pytest.mark.parametrize(
    "document", [{"tools": {"*": {}}}, {"default": "allow", "tools": {"truenas_api_call": {}}}]
)
def test_an_escape_hatch_that_may_be_called_is_found(document: dict[str, Any]) -> None:
    assert Code.ESCAPE_HATCH_ALLOWED in [code for code, _ in codes(document, RAW)]


def test_an_escape_hatch_that_is_denied_or_hidden_is_fine() -> None:
    assert (
        codes({"tools": {"vm_list": {}, "truenas_api_call": {"action": "deny"}}}, RAW, VM_LIST)
        == []
    )
    assert codes({"hide": ["truenas_api_call"], "tools": {"vm_list": {}}}, RAW, VM_LIST) == []


def test_nothing_allowed_is_found_unless_each_tool_was_denied_by_name() -> None:
    assert codes({}, VM_LIST) == [(Code.NOTHING_ALLOWED, "/default")]
    assert codes({"tools": {"vm_list": {"action": "deny"}}}, VM_LIST) == []


def test_a_destructive_tool_needs_an_approval_or_a_limit() -> None:
    limit = {"counter": "d", "window": "hour", "max": 3}
    assert codes({"tools": {"vm_*": {}}}, VM_DELETE) == [
        (Code.DESTRUCTIVE_UNGUARDED, "/tools/vm_*")
    ]
    for good in ({"action": "require_approval"}, {"limits": [limit]}, {"action": "deny"}):
        assert codes({"tools": {"vm_delete": good}}, VM_DELETE) == []


def test_a_tool_that_moves_money_needs_one_too() -> None:
    tool = Tool(name="create_payment")
    found = codes({"tools": {"create_payment": {}}}, tool)
    assert found == [(Code.FINANCIAL_UNGUARDED, "/tools/create_payment")]


def test_an_id_that_takes_a_path_out_of_its_place_is_found() -> None:
    found = findings({"tools": {"vm_get": {}}}, VM_GET)
    assert [one.code for one in found] == [Code.ARGUMENT_UNVALIDATED]
    assert '"1/../../x"' in found[0].complaint.problem


@pytest.mark.parametrize(
    "rule",
    [
        {"arguments": schema(id={"type": "integer"})},
        {"arguments": schema(id={"type": "string", "pattern": "^[a-z0-9]+$"})},
        {"arguments": {"type": "object", "patternProperties": {"id$": {"type": "integer"}}}},
        {"arguments": schema(id={"$ref": "#/$defs/id"}) | {"$defs": {"id": {"type": "integer"}}}},
        {"require": [{"conditions": [{"path": "args.id", "op": "regex", "value": "[0-9]+"}]}]},
        {"require": [{"conditions": [{"path": "/id", "op": "in", "value": ["1", "2"]}]}]},
    ],
)
def test_an_id_that_the_policy_holds_back_is_fine(rule: dict[str, Any]) -> None:
    assert codes({"tools": {"vm_get": rule}}, VM_GET) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"arguments": schema(id={"type": "string", "maxLength": 20})},
        {"arguments": schema(name=STRING)},
        {"require": [{"conditions": [{"path": "args.id", "op": "regex", "value": ".*"}]}]},
        {"require": [{"conditions": [{"path": "args.id", "op": "exists", "value": True}]}]},
    ],
)
def test_an_id_that_the_policy_only_seems_to_hold_back_is_found(rule: dict[str, Any]) -> None:
    assert codes({"tools": {"vm_get": rule}}, VM_GET) == [
        (Code.ARGUMENT_UNVALIDATED, "/tools/vm_get")
    ]


def test_an_id_that_the_servers_own_schema_holds_back_is_fine() -> None:
    assert codes({"tools": {"vm_restart": {}}}, VM_RESTART) == []


def test_a_rule_under_a_denying_glob_and_one_for_a_hidden_tool_never_hold() -> None:
    document: dict[str, Any] = {
        "hide": ["pool_*"],
        "tools": {"vm_*": {"action": "deny"}, "vm_list": {}, "vm_get_*": {}, "pool_list": {}},
    }
    text = json.dumps({"version": "1", "default": "deny", **document})
    found = lint(parse(text, source="p"), None, text=text, source="p")
    assert [(one.code, one.complaint.pointer) for one in found] == [
        (Code.RULE_UNREACHABLE, "/tools/vm_list"),
        (Code.RULE_UNREACHABLE, "/tools/vm_get_*"),
        (Code.RULE_UNREACHABLE, "/tools/pool_list"),
    ]


def limits(*entries: dict[str, Any]) -> list[tuple[Code, str]]:
    return codes({"tools": {"vm_list": {"limits": list(entries)}}}, VM_LIST)


def test_a_limit_that_another_always_forestalls_never_fires() -> None:
    minute = {"counter": "a", "window": "minute", "max": 10}
    never = [(Code.LIMIT_NEVER_FIRES, "/tools/vm_list/limits/1")]
    assert limits(minute, {"counter": "b", "window": "day", "max": 20_000}) == never
    assert limits(minute, {"counter": "b", "window": "day", "max": 14_399}) == []
    assert limits(minute, {"counter": "b", "window": "minute", "max": 10}) == never
    assert limits(minute, {"counter": "b", "window": "day", "max": 20_000, "scope": "server"}) == []
    assert limits({**minute, "by": ["/id"]}, {"counter": "b", "window": "day", "max": 20_000}) == []


def test_a_limit_of_more_calls_a_second_than_any_agent_makes_never_fires() -> None:
    assert limits({"counter": "a", "window": 1, "max": 101}) == [
        (Code.LIMIT_NEVER_FIRES, "/tools/vm_list/limits/0")
    ]
    assert limits({"counter": "a", "window": 1, "max": 100}) == []


@pytest.mark.parametrize("mode", ["warn", "shadow"])
def test_a_policy_on_trial_is_one_finding_and_the_rest_is_said_as_if_it_were_enforced(
    mode: str,
) -> None:
    tools: dict[str, Any] = {"vm_list": {}, "vm_delete": {"action": "require_approval"}}
    document: dict[str, Any] = {"mode": mode, "tools": tools}
    assert codes(document, VM_LIST, VM_DELETE) == [(Code.NOT_ENFORCED, "/mode")]
    assert codes({**document, "mode": "enforce"}, VM_LIST, VM_DELETE) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "deny"},
        {"action": "require_approval"},
        {"limits": [{"counter": "a", "window": "minute", "max": 10}]},
        {"arguments": schema(id={"type": "integer"})},
        {"require": [{"conditions": [{"path": "/id", "op": "exists", "value": True}]}]},
        {"deny_if": [{"conditions": [{"path": "/id", "op": "exists", "value": True}]}]},
    ],
)
def test_a_tool_left_on_trial_in_an_enforced_policy_is_found(rule: dict[str, Any]) -> None:
    for mode in ("warn", "shadow"):
        document: dict[str, Any] = {"tools": {"vm_list": {}, "vm_restart": {**rule, "mode": mode}}}
        assert codes(document, VM_LIST, VM_RESTART) == [
            (Code.NOT_ENFORCED, "/tools/vm_restart/mode")
        ]
    document = {"tools": {"vm_list": {}, "vm_restart": {**rule, "mode": "enforce"}}}
    assert codes(document, VM_LIST, VM_RESTART) == []


def test_a_tool_that_is_enforced_in_a_policy_on_trial_is_fine() -> None:
    rule = {"action": "require_approval", "mode": "enforce"}
    document: dict[str, Any] = {"mode": "shadow", "tools": {"vm_list": {}, "vm_delete": rule}}
    assert codes(document, VM_LIST, VM_DELETE) == [(Code.NOT_ENFORCED, "/mode")]


@pytest.mark.parametrize(
    ("tool", "rule", "code"),
    [
        (VM_DELETE, {"action": "deny"}, Code.DESTRUCTIVE_UNGUARDED),
        (VM_DELETE, {"action": "require_approval"}, Code.DESTRUCTIVE_UNGUARDED),
        (Tool(name="create_payment"), {"action": "require_approval"}, Code.FINANCIAL_UNGUARDED),
        (RAW, {"action": "deny"}, Code.ESCAPE_HATCH_ALLOWED),
    ],
)
def test_a_dangerous_tool_that_is_only_watched_is_an_error_and_said_once(
    tool: Tool, rule: dict[str, Any], code: Code
) -> None:
    pointer = f"/tools/{tool.name}/mode"
    watched: dict[str, Any] = {"tools": {"vm_list": {}, tool.name: {**rule, "mode": "shadow"}}}
    (found,) = findings(watched, VM_LIST, tool)
    assert (found.code, found.complaint.pointer, found.severity.value) == (code, pointer, "error")
    assert codes({"tools": {"vm_list": {}, tool.name: rule}}, VM_LIST, tool) == []


def test_a_mode_where_nothing_is_refused_has_no_effect() -> None:
    never = [(Code.MODE_WITHOUT_EFFECT, "/tools/vm_list/mode")]
    for mode in ("shadow", "warn", "enforce"):
        assert codes({"tools": {"vm_list": {"mode": mode}}}, VM_LIST) == never
    limited = {"limits": [{"counter": "all", "window": "minute", "max": 10}]}
    document: dict[str, Any] = {"all_tools": limited, "tools": {"vm_list": {"mode": "shadow"}}}
    assert codes(document, VM_LIST) == [(Code.NOT_ENFORCED, "/tools/vm_list/mode")]
    document = {"default": "allow", "mode": "shadow", "tools": {"vm_list": {}}}
    assert codes(document, VM_LIST) == [(Code.MODE_WITHOUT_EFFECT, "/mode")]
    document = {**document, "methods": {"resources/read": "deny"}}
    assert codes(document, VM_LIST) == [(Code.NOT_ENFORCED, "/mode")]


def test_a_denial_of_a_method_that_always_passes_is_found() -> None:
    methods = {"ping": "deny", "prompts/list": "deny", "initialize": "allow"}
    methods |= {"prompts/get": "deny", "vendor/checklist": "deny", "notification/x": "deny"}
    assert codes({"methods": methods, "tools": {"vm_list": {}}}, VM_LIST) == [
        (Code.METHOD_ALWAYS_PASSES, "/methods/ping"),
        (Code.METHOD_ALWAYS_PASSES, "/methods/prompts~1list"),
    ]


def test_a_tie_between_globs_is_settled_as_it_is_in_a_decision() -> None:
    for globs in (("vm_*b", "vm_?b"), ("vm_?b", "vm_*b")):
        tools: dict[str, Any] = {glob: {} for glob in globs}
        policy = parse(json.dumps({"version": "1", "default": "deny", "tools": tools}), source="p")
        decided, looked_up = compile_policy(policy).rule_for("vm_ab"), rule_of(policy, "vm_ab")
        assert decided is not None
        assert looked_up is not None
        assert looked_up.pointer == decided.pointer == "/tools/vm_*b"


def test_findings_stand_at_their_line_and_column_in_json_and_yaml() -> None:
    json_text = '{"version": "1", "default": "deny",\n "tools": {\n  "vm_get": {}}}'
    yaml_text = 'version: "1"\ndefault: deny\ntools:\n  vm_get: {}\n'
    for text, place in ((json_text, (3, 3)), (yaml_text, (4, 3))):
        (found,) = lint(parse(text, source="p"), [VM_GET], text=text, source="p")
        assert (found.complaint.line, found.complaint.column) == place


def test_every_finding_has_an_entry_on_its_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = [line[3:].strip("`") for line in page.splitlines() if line.startswith("## `")]
    assert sorted(headings) == sorted(code.value for code in Code)


def recorded(name: str) -> list[Tool]:
    from toolreeve.policy.catalogue.listing import read_listing

    return list(read_listing(json.loads((DATA / name).read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    ("preset", "listing"),
    [
        ("truenas", "truenas_tools.json"),
        ("truenas", "truenas_flat_tools.json"),
        ("truenas", "truenas_actions.json"),
        ("virtualization", "virtualization_tools.json"),
        ("virtualization", "virtualization_all_tools.json"),
        ("virtualization-all-tools", "virtualization_all_tools.json"),
    ],
)
def test_a_preset_passes_lint_against_the_tools_of_its_server(preset: str, listing: str) -> None:
    if not (DATA / listing).exists():
        pytest.skip(f"NOT CHECKED: the recorded tools {DATA / listing} are not on this machine")
    text = (ROOT / "enforcer/toolreeve/policy/presets" / f"{preset}.json").read_text("utf-8")
    found = lint(parse(text, source=preset), recorded(listing), text=text, source=preset)
    assert [str(one) for one in found] == []


def test_the_truenas_preset_knows_every_operation_behind_its_meta_tool() -> None:
    if not (DATA / "truenas_actions.json").exists():
        pytest.skip(f"NOT CHECKED: the recorded tools in {DATA} are not on this machine")
    import msgspec

    (meta,) = recorded("truenas_tools.json")
    meta = msgspec.structs.replace(meta, operations=tuple(recorded("truenas_actions.json")))
    text = (ROOT / "enforcer/toolreeve/policy/presets/truenas.json").read_text("utf-8")
    assert lint(parse(text, source="truenas"), [meta], text=text, source="truenas") == ()


@pytest.mark.parametrize("preset", ["truenas", "virtualization", "virtualization-all-tools"])
def test_a_preset_caps_what_starts_machines_and_asks_before_it_deletes(preset: str) -> None:
    text = (ROOT / "enforcer/toolreeve/policy/presets" / f"{preset}.json").read_text("utf-8")
    policy = parse(text, source=preset)
    rules = {rule.pattern: rule for rule in policy.tools}
    assert [int(limit.maximum) for limit in rules["vm_start"].limits] == [10]
    assert rules["vm_delete"].action.value == "require_approval"


def test_names_of_tools_that_can_be_taken_for_one_another_are_found() -> None:
    twin = Tool(name="vm_d\u0435lete", input_schema=schema(id={"type": "integer"}))
    asked = {"action": "require_approval"}
    document: dict[str, Any] = {"tools": {"vm_list": {}, "vm_delete": asked, twin.name: asked}}
    assert codes(document, VM_LIST, VM_DELETE, twin) == [
        (Code.NAMES_LOOK_ALIKE, f"/tools/{twin.name}")
    ]
    hidden: dict[str, Any] = {"hide": [twin.name], "tools": {"vm_list": {}, "vm_delete": asked}}
    assert codes(hidden, VM_LIST, VM_DELETE, twin) == []


def test_a_mode_has_an_effect_where_definitions_are_pinned() -> None:
    document: dict[str, Any] = {"mode": "warn", "default": "allow", "tools": {"vm_list": {}}}
    assert codes(document, VM_LIST) == [(Code.MODE_WITHOUT_EFFECT, "/mode")]
    assert codes({**document, "pin": "enforce"}, VM_LIST) == [(Code.NOT_ENFORCED, "/mode")]
