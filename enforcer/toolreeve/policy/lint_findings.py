"""What a finding is: its code, its severity, and where it stands."""

from enum import Enum

from msgspec import Struct

from toolreeve.policy.complaint import Complaint


class Code(Enum):
    """What a finding is about. docs/reference/lint.md explains each."""

    NOTHING_ALLOWED = "nothing-allowed"
    RULE_MATCHES_NOTHING = "rule-matches-nothing"
    RULE_UNREACHABLE = "rule-unreachable"
    TOOL_WITHOUT_RULE = "tool-without-rule"
    META_WITHOUT_DISPATCH = "meta-tool-without-dispatch"
    DISPATCH_MATCHES_NOTHING = "dispatch-matches-nothing"
    ESCAPE_HATCH_ALLOWED = "escape-hatch-allowed"
    DESTRUCTIVE_UNGUARDED = "destructive-unguarded"
    FINANCIAL_UNGUARDED = "financial-unguarded"
    ARGUMENT_UNVALIDATED = "argument-unvalidated"
    LIMIT_NEVER_FIRES = "limit-never-fires"
    NOT_ENFORCED = "not-enforced"
    MODE_WITHOUT_EFFECT = "mode-without-effect"
    METHOD_ALWAYS_PASSES = "method-always-passes"
    NAMES_LOOK_ALIKE = "names-look-alike"


class Severity(Enum):
    """`error`: calls can pass that nobody meant to allow, or none can. `warning`: dead text."""

    ERROR = "error"
    WARNING = "warning"


WARNINGS = frozenset(
    (
        Code.RULE_MATCHES_NOTHING,
        Code.RULE_UNREACHABLE,
        Code.TOOL_WITHOUT_RULE,
        Code.DISPATCH_MATCHES_NOTHING,
        Code.LIMIT_NEVER_FIRES,
        Code.NOT_ENFORCED,
        Code.MODE_WITHOUT_EFFECT,
        Code.METHOD_ALWAYS_PASSES,
    )
)


class Finding(Struct, frozen=True, kw_only=True):
    """Something that a policy forgets. `tool` is the effective tool it is about, if one is."""

    code: Code
    severity: Severity
    tool: str
    complaint: Complaint

    def __str__(self) -> str:
        return f"{self.complaint} [{self.code.value}]"


class Seen(Struct, frozen=True):
    """A finding before its place in the text is known."""

    code: Code
    pointer: str
    problem: str
    remedy: str
    tool: str = ""
