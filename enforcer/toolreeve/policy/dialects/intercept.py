"""The YAML of Intercept, PolicyLayer's open-source proxy.

There every rule of a tool must pass, those under `"*"` as well. A rule's conditions must all hold,
so a rule becomes one clause of `require`. A counter with its bound becomes a limit: windows are
calendar windows in UTC, and a call that fails upstream gives back what it counted.
"""

from toolreeve.policy import keys
from toolreeve.policy.dialects.intercept_rules import EVERY, Rules, read_rules
from toolreeve.policy.dialects.outcome import Draft
from toolreeve.policy.text import Path

TOP_KEYS = ("version", "description", "default", "hide", "approvals", "tools")

OTHER_REQUESTS = (
    "resources/read, prompts/get and other requests that are no tool calls are refused too",
    "default: deny spoke of tools alone there; allow them one by one under methods",
)
APPROVALS = (
    "the block is left out",
    "whom to tell of approvals is a setting of the control plane here, not of a policy",
)
LIMIT_TEXT = (
    "the limit's own text is left out; the refusal says which limit is full and when to try again",
    "one text is kept for each tool, and it stands for all its refusals without a text",
)
SWALLOWED = (
    "the tool's other rules are left out",
    "a rule of the tool denies every call, whatever they say",
)


def read_intercept(draft: Draft, document: object) -> dict[str, object]:
    """Translate a document. What is wrong is in the draft's complaints."""
    reader = draft.reader
    members = reader.mapping(document, (), TOP_KEYS)
    if "version" not in members:
        reader.missing((), "version", 'add version: "1"')
    elif members["version"] != 1 or isinstance(members["version"], bool):
        reader.choice(members["version"], ("version",), keys.VERSIONS)
    policy: dict[str, object] = {"version": "1"}
    if members.get("description") is not None:
        policy["description"] = draft.line(members["description"], ("description",))
    said = members.get("default")
    default = reader.choice("allow" if said in (None, "") else said, ("default",), keys.DEFAULTS)
    policy["default"] = default
    if default == "deny":
        draft.note(("default",), OTHER_REQUESTS)
    policy["hide"] = _hidden(draft, members.get("hide")) or None
    if members.get("approvals") is not None:
        draft.note(("approvals",), APPROVALS)
    tools = members.get("tools")
    entries = reader.any_mapping({} if tools is None else tools, ("tools",))
    everything = read_rules(draft, entries.pop(EVERY, None), EVERY)
    written = {
        name: _tool(draft, read_rules(draft, entry, name), everything, ("tools", name))
        for name, entry in entries.items()
        if draft.name(name, ("tools", name), at_key=True) is not None
    }
    if everything.denied is not None:
        written[EVERY] = {"action": "deny", "reason": everything.denied}
    elif everything.approval is not None and default == "allow":
        written[EVERY] = {"action": "require_approval", **everything.approval}
    if everything.texts:
        draft.note(("tools", EVERY), LIMIT_TEXT)
    shared = {"require": everything.require, "limits": everything.limits}
    policy["all_tools"] = {key: value for key, value in shared.items() if value} or None
    policy["tools"] = written
    return {key: value for key, value in policy.items() if value is not None}


def _hidden(draft: Draft, value: object) -> list[str]:
    """`hide`: exact names, and `"*"` for every tool."""
    names: list[str] = []
    listed: object = [] if value is None else value
    for item, path in draft.reader.items(listed, ("hide",), most=keys.ENTRIES_MAX):
        name = EVERY if item == EVERY else draft.name(item, path)
        if name is not None and name not in names:
            names.append(name)
    return names


def _tool(draft: Draft, rules: Rules, everything: Rules, path: Path) -> dict[str, object]:
    """One tool's rule. What `"*"` says of conditions and limits stands in `all_tools`."""
    if rules.denied is not None:
        if rules.require or rules.limits or rules.approval is not None:
            draft.note(path, SWALLOWED)
        return {"action": "deny", "reason": rules.denied}
    found: dict[str, object] = {}
    approval = everything.approval if rules.approval is None else rules.approval
    if approval is not None:
        found |= {"action": "require_approval", **approval}
    if len(set(rules.texts)) == 1:
        found.setdefault("reason", rules.texts[0])
    elif rules.texts:
        draft.note(path, LIMIT_TEXT)
    found |= {"require": rules.require} if rules.require else {}
    found |= {"limits": rules.limits} if rules.limits else {}
    return found
