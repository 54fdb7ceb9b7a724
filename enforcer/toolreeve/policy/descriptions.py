"""What each key of a policy is for: shown by editors, and by the reference.

One table for each kind of object. Tests hold each of them to the keys of `keys.py`, and the
reference page to these words.
"""

POLICY = {
    "$schema": "Where an editor finds this schema. Ignored otherwise, but part of the revision.",
    "version": "Version of the policy language.",
    "name": "A name for people: it stands in listings and in the audit trail.",
    "description": "What this policy is for. Nothing reads it but people.",
    "default": "What a tool gets that no rule under `tools` names.",
    "mode": "Whether decisions are carried out: `enforce`, `warn` (calls pass, and the agent is "
    "told), `shadow` (calls pass silently). What would have been decided is always recorded.",
    "pin": "What becomes of tools whose definition is not the approved one: `observe` records and "
    "alerts, `enforce` refuses them and takes them out of `tools/list` too, `off` does not look.",
    "max_staleness": "After how long without its control plane an enforcer takes the policy for "
    "stale: `minute`, `hour`, `day`, or seconds. Without it, never.",
    "on_stale": "What becomes of calls while the policy is stale: `keep` decides as before, "
    "`deny_writes` refuses all tools but those that only read, `deny_all` refuses every call.",
    "methods": "What requests other than tool calls get, by their method; `default` decides the "
    "rest.",
    "dispatch": "How a meta-tool names the operation that it means, by the tool's wire name.",
    "hide": "Names or globs of tools that are taken out of `tools/list`, and answered like tools "
    "that do not exist.",
    "all_tools": "Conditions and limits that every call meets, besides those of its own rule.",
    "tools": "One rule for each effective tool, glob or risk class (`class:destructive`). "
    "The most specific one holds; one that denies beats those that allow.",
}
RULE = {
    "description": "What this rule is for. Nothing reads it but people.",
    "action": "What happens to a call: `allow`, `deny`, or `require_approval` by a person.",
    "mode": "Like the policy's `mode`, for this tool alone.",
    "reason": "What the agent reads when this rule refuses a call.",
    "approval": "Who approves and how long they may take. Only with `require_approval`.",
    "arguments": "JSON Schema (2020-12) that the effective arguments must meet. It may not refer "
    "to anything outside itself.",
    "require": "All of these must hold, or the call is refused.",
    "deny_if": "If any of these holds, the call is refused.",
    "limits": "How often, or how much. All limits are reserved together or not at all.",
}
ALL_TOOLS = {
    "description": "What these are for. Nothing reads it but people.",
    "require": "All of these must hold, or the call is refused.",
    "deny_if": "If any of these holds, the call is refused.",
    "limits": "How often, or how much, over all tools.",
}
CLAUSE = {
    "conditions": "The clause holds when all of these hold. They are looked at in their order, up "
    "to the first that does not.",
    "on_deny": "What the agent reads when this clause refuses a call.",
}
CONDITION = {
    "path": "Where in the effective arguments: `args.name`, `args.list[0]`, `args.list[*].price` "
    "(every element), or a JSON Pointer such as `/name`.",
    "op": 'How to compare. Types are strict: `true` is not 1, and `"1"` is not 1.',
    "value": "What to compare with. A number for `lt`, `lte`, `gt`, `gte`; a list for `in`, "
    "`not_in`; an RE2 pattern for the whole text for `regex`; true or false for `exists`.",
    "on_missing": "What a comparison in `deny_if` does where nothing stands at `path`: `deny` "
    "refuses the call, `ignore` lets the comparison not hold.",
}
LIMIT = {
    "counter": "A name for what is counted. The same name is the same count, so window, max, "
    "scope, align and by must agree.",
    "window": "Over what span: `minute`, `hour`, `day`, or seconds.",
    "max": "How many calls one window holds, or how much of `amount`. 0 refuses every call.",
    "scope": "Whose calls share the count: one `grant`, one `session`, all calls to one `server`, "
    "all calls through the `enforcer`, or all calls to one server through the whole `fleet`.",
    "align": "`sliding`: no span of this length ever holds more. `calendar`: each minute, hour or "
    "day (UTC) begins anew.",
    "by": "JSON Pointers into the effective arguments: one count for each combination of values.",
    "amount": "JSON Pointer to the number that counts, instead of 1 a call. Anything but a number "
    "of 0 or more refuses the call.",
    "refund_on": "Endings that give back what the call counted.",
    "on_partition": "What an enforcer does that cannot reach the count it shares with its fleet: "
    "`deny`, or go on with a `safe_share` that nobody else has.",
    "shares": "Into how many equal shares `max` may be split for `safe_share`.",
}
APPROVAL = {
    "timeout": "How long an approval may take: `90s`, `10m`, `2h`, `1d`.",
    "approvers": "Who may approve. Without it, any operator may.",
    "count": "How many of them must approve.",
}
DISPATCH = {
    "name": "JSON Pointer to the operation's name in the meta-tool's arguments.",
    "arguments": "JSON Pointer to the operation's arguments. Without it they are the meta-tool's "
    "own.",
    "group": "JSON Pointer to a category for the record, such as `vm`.",
    "prefix": "Goes before the name found.",
}
CLASS = "A rule for every tool of class `{}` that no name and no glob speaks of."
