"""The keys and bounds of a policy document, in one place: the reader and the schema use them."""

from toolreeve.policy.model import (
    Action,
    Align,
    Default,
    Mode,
    OnPartition,
    OnStale,
    Op,
    Pinning,
    Refund,
    Scope,
)

POLICY_KEYS = (
    "$schema",
    "version",
    "name",
    "description",
    "default",
    "mode",
    "pin",
    "max_staleness",
    "on_stale",
    "hide",
    "dispatch",
    "methods",
    "all_tools",
    "tools",
)
RULE_KEYS = (
    "description",
    "action",
    "mode",
    "reason",
    "require",
    "deny_if",
    "arguments",
    "limits",
    "approval",
)
ALL_TOOLS_KEYS = ("description", "require", "deny_if", "limits")
CLAUSE_KEYS = ("conditions", "on_deny")
CONDITION_KEYS = ("path", "op", "value", "on_missing")
LIMIT_KEYS = (
    "counter",
    "window",
    "max",
    "scope",
    "align",
    "by",
    "amount",
    "refund_on",
    "on_partition",
    "shares",
)
APPROVAL_KEYS = ("timeout", "approvers", "count")
DISPATCH_KEYS = ("name", "arguments", "group", "prefix")

# Keys of other dialects, with what to do about them here.
IMPORT_IT = "translate the file with 'toolreeve policy import'"
OF_OTHER_DIALECTS = {
    "rules": IMPORT_IT,
    "approvals": IMPORT_IT,
    "rate_limit": f'write "limits": [...], or {IMPORT_IT}',
    "rate_limits": f'write "limits": [...], or {IMPORT_IT}',
    "conditions": 'write "require": [{"conditions": [...]}], or "deny_if"',
    "state": IMPORT_IT,
}

VERSIONS = ("1",)
DEFAULTS = tuple(choice.value for choice in Default)
MODES = tuple(choice.value for choice in Mode)
PINNINGS = tuple(choice.value for choice in Pinning)
ON_STALE = tuple(choice.value for choice in OnStale)
ACTIONS = tuple(choice.value for choice in Action)
SCOPES = tuple(choice.value for choice in Scope)
ALIGNS = tuple(choice.value for choice in Align)
ON_PARTITION = tuple(choice.value for choice in OnPartition)
REFUNDS = tuple(choice.value for choice in Refund)
OPS = tuple(choice.value for choice in Op)
ON_MISSING = ("deny", "ignore")
METHODS_OFTEN_NAMED = (
    "resources/read", "resources/subscribe", "resources/unsubscribe", "prompts/get",
    "completion/complete",
)  # fmt: skip
CLASSES = ("read", "write", "execute", "destructive", "financial")
WINDOWS = {"minute": 60, "hour": 3_600, "day": 86_400}

NAME_CHARACTERS_MAX = 256
PREFIX_CHARACTERS_MAX = 64
TEXT_CHARACTERS_MAX = 1_000
POINTER_CHARACTERS_MAX = 256
PATTERN_CHARACTERS_MAX = 1_000
MAXIMUM_MAX = 1_000_000_000_000
CALLS_MAX = 100_000
WINDOW_SECONDS_MAX = 366 * 86_400
APPROVAL_SECONDS_MAX = 30 * 86_400
APPROVALS_MAX = 16
CONDITIONS_MAX = 100
CHOICES_MAX = 1_000
BY_MAX = 4
SHARES_MAX = 1_000
ENTRIES_MAX = 10_000

NAME_PATTERN = r"^[^\u0000-\u001f\u007f]+$"
POINTER_PATTERN = r"^(/([^~/]|~0|~1)*)+$"
PATH_PATTERN = r"^(args(\.[A-Za-z0-9_$-]+|\[(\*|0|[1-9][0-9]{0,8})\])+|(/([^~/]|~0|~1)*)+)$"
DURATION_PATTERN = r"^[1-9][0-9]{0,6}(s|m|h|d)$"
DURATION_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
