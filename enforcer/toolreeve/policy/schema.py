"""The JSON Schema (draft-07) of a policy, for editors and for checks in other languages.

Built from the keys and bounds that the reader uses. Whatever the reader takes, the schema takes.
Where the schema takes what the reader refuses, draft-07 has no words for it: BEYOND lists every
such class, and a test finds no other.
"""

from collections.abc import Mapping, Sequence

from toolreeve.policy import descriptions, keys
from toolreeve.policy.model import CLASS_PREFIX, Op

Schema = dict[str, object]

BEYOND = {
    "text": "faults of the text itself: duplicate keys, anchors, encoding, depth and length",
    "counter": "one counter that means two things in two places",
    "pattern": "a `regex` that is no RE2 expression",
    "arguments": "`arguments` that is no JSON Schema, or refers to something outside itself",
    "duration": "an approval's `timeout` longer than 30 days",
    "approvers": "an approval's `count` above the number of its `approvers`",
    "whole": "a whole number written with a fraction: 60.0",
    "finite": "numbers of more than 64 digits, or too large to be finite",
}
"""Why the schema may take a document that the reader refuses. Never the other way round."""


# What editors say instead of "matches a schema that is not allowed". Validators pass it over.
_IDLE = "A denied tool is never asked this; remove it, or the action."
_NOTHING_ASKS = 'Only "require_approval" asks for an approval; write it here, or remove "approval".'
_NO_CLASS = f"Classes are {', '.join(CLASS_PREFIX + name for name in keys.CLASSES)}."


def policy_schema() -> Schema:
    """The schema as a JSON value. `policy.schema.json` holds the same."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "toolreeve policy",
        "description": "Which tools agents may call on one MCP server, with what and how often.",
        **_object(
            descriptions.POLICY,
            {
                "$schema": _ref("line"),
                "version": {"enum": list(keys.VERSIONS)},
                "name": _ref("name"),
                "description": _ref("line"),
                "default": {"enum": list(keys.DEFAULTS)},
                "mode": {"enum": list(keys.MODES), "default": "enforce"},
                "pin": {"enum": list(keys.PINNINGS), "default": "observe"},
                "max_staleness": {
                    "anyOf": [
                        {"enum": list(keys.WINDOWS)},
                        {"type": "integer", "minimum": 1, "maximum": keys.WINDOW_SECONDS_MAX},
                    ]
                },
                "on_stale": {"enum": list(keys.ON_STALE), "default": "keep"},
                "methods": {
                    "type": "object",
                    "propertyNames": {
                        "allOf": [
                            _ref("name"),
                            {
                                "not": {"enum": ["tools/call"]},
                                "errorMessage": "Tool calls are decided by the rules under tools.",
                            },
                        ]
                    },
                    "properties": {name: _choice() for name in keys.METHODS_OFTEN_NAMED},
                    "additionalProperties": _choice(),
                },
                "dispatch": {
                    "type": "object",
                    "propertyNames": _ref("name"),
                    "additionalProperties": _ref("dispatch"),
                },
                "hide": _list(_ref("name"), most=keys.ENTRIES_MAX),
                "all_tools": _ref("allTools"),
                "tools": {
                    "type": "object",
                    "maxProperties": keys.ENTRIES_MAX,
                    "propertyNames": _ref("toolPattern"),
                    "properties": {
                        CLASS_PREFIX + name: _described(
                            descriptions.CLASS.format(name), _ref("rule")
                        )
                        for name in keys.CLASSES
                    },
                    "additionalProperties": _ref("rule"),
                },
            },
            required=("version", "default"),
        ),
        "dependencies": {"on_stale": ["max_staleness"]},
        "definitions": {
            "name": _string(keys.NAME_CHARACTERS_MAX),
            "line": _string(keys.TEXT_CHARACTERS_MAX),
            "pointer": {
                "allOf": [_string(keys.POINTER_CHARACTERS_MAX), {"pattern": keys.POINTER_PATTERN}]
            },
            "toolPattern": {
                "allOf": [
                    _ref("name"),
                    {
                        "anyOf": [
                            {"not": {"pattern": f"^{CLASS_PREFIX}"}, "errorMessage": _NO_CLASS},
                            {"enum": [CLASS_PREFIX + name for name in keys.CLASSES]},
                        ]
                    },
                ]
            },
            "rule": _rule(),
            "allTools": _object(
                descriptions.ALL_TOOLS,
                {
                    "description": _ref("line"),
                    "require": _ref("clauses"),
                    "deny_if": _ref("clauses"),
                    "limits": _ref("limits"),
                },
            ),
            "clauses": _list(_ref("clause"), most=keys.CONDITIONS_MAX),
            "clause": _object(
                descriptions.CLAUSE,
                {
                    "conditions": _list(_ref("condition"), most=keys.CONDITIONS_MAX, least=1),
                    "on_deny": _ref("line"),
                },
                required=("conditions",),
            ),
            "condition": _condition(),
            "limits": _list(_ref("limit"), most=keys.CONDITIONS_MAX),
            "limit": _limit(),
            "approval": _object(
                descriptions.APPROVAL,
                {
                    "timeout": {
                        "type": "string",
                        "pattern": keys.DURATION_PATTERN,
                        "default": "10m",
                    },
                    "approvers": _list(_ref("name"), most=keys.CONDITIONS_MAX),
                    "count": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": keys.APPROVALS_MAX,
                        "default": 1,
                    },
                },
            ),
            "dispatch": _object(
                descriptions.DISPATCH,
                {
                    "name": _ref("pointer"),
                    "arguments": _ref("pointer"),
                    "group": _ref("pointer"),
                    "prefix": _string(keys.PREFIX_CHARACTERS_MAX),
                },
                required=("name",),
            ),
        },
    }


def _rule() -> Schema:
    rule = _object(
        descriptions.RULE,
        {
            "description": _ref("line"),
            "action": {"enum": list(keys.ACTIONS), "default": "allow"},
            "mode": {"enum": list(keys.MODES)},
            "reason": _ref("line"),
            "approval": _ref("approval"),
            "arguments": {"type": "object"},
            "require": _ref("clauses"),
            "deny_if": _ref("clauses"),
            "limits": _ref("limits"),
        },
    )
    denies: Schema = {"required": ["action"], "properties": {"action": {"enum": ["deny"]}}}
    idle = {key: _never("minItems") for key in ("require", "deny_if", "limits")}
    wanted: Schema = {"enum": ["require_approval"], "errorMessage": _NOTHING_ASKS}
    asks: Schema = {"properties": {"action": wanted}}
    return {
        **rule,
        "dependencies": {"approval": {"required": ["action"], **asks}},
        "if": denies,
        "then": {"properties": {**idle, "arguments": _never("minProperties")}},
    }


def _never(bound: str) -> Schema:
    """Nothing inside, and what an editor says where something is."""
    return {"not": {bound: 1}, "errorMessage": _IDLE}


def _condition() -> Schema:
    values: tuple[tuple[tuple[Op, ...], Schema], ...] = (
        ((Op.LT, Op.LTE, Op.GT, Op.GTE), {"type": "number"}),
        ((Op.IN, Op.NOT_IN), {"type": "array", "minItems": 1, "maxItems": keys.CHOICES_MAX}),
        ((Op.EXISTS,), {"type": "boolean"}),
        ((Op.REGEX,), {"type": "string", "maxLength": keys.PATTERN_CHARACTERS_MAX}),
    )
    condition = _object(
        descriptions.CONDITION,
        {
            "path": {
                "allOf": [_string(keys.POINTER_CHARACTERS_MAX), {"pattern": keys.PATH_PATTERN}]
            },
            "op": {"enum": list(keys.OPS)},
            "value": {},
            "on_missing": {"enum": list(keys.ON_MISSING), "default": "deny"},
        },
        required=("path", "op", "value"),
    )
    fits = [
        {
            "if": {"required": ["op"], "properties": {"op": {"enum": [op.value for op in ops]}}},
            "then": {"properties": {"value": value}},
        }
        for ops, value in values
    ]
    return {**condition, "allOf": fits}


def _limit() -> Schema:
    seconds: Schema = {"type": "integer", "minimum": 1, "maximum": keys.WINDOW_SECONDS_MAX}
    limit = _object(
        descriptions.LIMIT,
        {
            "counter": _ref("name"),
            "window": {"anyOf": [{"enum": list(keys.WINDOWS)}, seconds]},
            "max": {"type": "number", "minimum": 0, "maximum": keys.MAXIMUM_MAX},
            "scope": {"enum": list(keys.SCOPES), "default": "grant"},
            "align": {"enum": list(keys.ALIGNS), "default": "sliding"},
            "by": {**_list(_ref("pointer"), most=keys.BY_MAX), "uniqueItems": True},
            "amount": _ref("pointer"),
            "refund_on": _list({"enum": list(keys.REFUNDS)}, most=len(keys.REFUNDS)),
            "on_partition": {"enum": list(keys.ON_PARTITION), "default": "deny"},
            "shares": {"type": "integer", "minimum": 1, "maximum": keys.SHARES_MAX},
        },
        required=("counter", "window", "max"),
    )
    calls: Schema = {"max": {"type": "integer", "maximum": keys.CALLS_MAX}}
    return {**limit, "if": {"required": ["amount"]}, "else": {"properties": calls}}


def _object(
    said: Mapping[str, str], members: Mapping[str, Schema], *, required: Sequence[str] = ()
) -> Schema:
    """An object with exactly these members, each with its description."""
    properties = {key: _described(said[key], member) for key, member in members.items()}
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


def _described(said: str, member: Schema) -> Schema:
    # In draft-07 what stands beside a $ref is ignored, by validators and by editors.
    if "$ref" in member:
        return {"description": said, "allOf": [member]}
    return {"description": said, **member}


def _choice() -> Schema:
    return {"enum": list(keys.DEFAULTS)}


def _list(item: Schema, *, most: int, least: int = 0) -> Schema:
    found: Schema = {"type": "array", "items": item, "maxItems": most}
    return {**found, "minItems": least} if least else found


def _string(characters_max: int) -> Schema:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": characters_max,
        "pattern": keys.NAME_PATTERN,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}
