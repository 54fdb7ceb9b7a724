"""What a policy says, once its text has been read and found good.

Each rule knows the JSON Pointer at which it stands, because a refusal names it.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum

from msgspec import Struct

from toolreeve.policy.canonical import revision_of


class Default(Enum):
    """What a tool gets that no rule names."""

    DENY = "deny"
    ALLOW = "allow"


class Mode(Enum):
    """Whether a decision is carried out. The would-be decision is recorded in every mode."""

    ENFORCE = "enforce"
    WARN = "warn"
    SHADOW = "shadow"


class Pinning(Enum):
    """What becomes of a tool whose definition is not the one that was approved."""

    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


class OnStale(Enum):
    """What becomes of calls at an enforcer that has not heard of its control plane for too long."""

    KEEP = "keep"
    DENY_WRITES = "deny_writes"
    DENY_ALL = "deny_all"


class Action(Enum):
    """What a rule does with a call, before its conditions and limits."""

    ALLOW = "allow"
    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"


class Scope(Enum):
    """Whose calls share one counter."""

    GRANT = "grant"
    SESSION = "session"
    SERVER = "server"
    ENFORCER = "enforcer"
    FLEET = "fleet"


class Align(Enum):
    """How windows lie: everywhere at once, or from one whole multiple of their length to the next.

    `calendar` counts in UTC, where days begin at midnight.
    """

    SLIDING = "sliding"
    CALENDAR = "calendar"


class OnPartition(Enum):
    """What an enforcer does that is cut off from the ledger of a limit the fleet shares."""

    DENY = "deny"
    SAFE_SHARE = "safe_share"


class Refund(Enum):
    """Endings of a call that give back what it counted."""

    NOT_SENT = "not_sent"
    RPC_ERROR = "rpc_error"
    TOOL_ERROR = "tool_error"


class Op(Enum):
    """How a condition compares."""

    EQ = "eq"
    NEQ = "neq"
    IN = "in"
    NOT_IN = "not_in"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    REGEX = "regex"
    CONTAINS = "contains"
    EXISTS = "exists"


class Each(Enum):
    """A step of a path that means every element of a list."""

    ELEMENT = "[*]"


Step = str | int | Each
"""One step into arguments: a key of an object, a place in a list, or every element."""


class Condition(Struct, frozen=True, kw_only=True):
    """One comparison of what stands at `steps` with `value`.

    `pattern` is the value where `op` is regex. `ignore_missing` makes a comparison that finds
    nothing hold nowhere, instead of being an error.
    """

    path: str
    steps: tuple[Step, ...]
    op: Op
    value: object
    ignore_missing: bool = False
    pointer: str


class Clause(Struct, frozen=True, kw_only=True):
    """Conditions that must all hold for the clause to hold, and what the agent reads."""

    conditions: tuple[Condition, ...]
    on_deny: str = ""
    pointer: str


class Limit(Struct, frozen=True, kw_only=True):
    """No window ever holds more than `maximum` of what is counted under `counter`.

    Counted is each admitted call, or what stands at the pointer `amount`. `by` are pointers into
    the effective arguments: one count for each combination of their values. Of a limit that the
    fleet shares, an enforcer that is cut off may count one of so many equal `shares`; 0: nothing.
    """

    counter: str
    window_ns: int
    maximum: Decimal
    scope: Scope
    align: Align = Align.SLIDING
    by: tuple[str, ...] = ()
    amount: str | None = None
    refund_on: frozenset[Refund] = frozenset()
    shares: int = 0
    pointer: str


class Approval(Struct, frozen=True, kw_only=True):
    """Who decides about a call, how many must agree, and how long they may take."""

    timeout_ns: int
    approvers: tuple[str, ...] = ()
    count: int = 1


class ToolRule(Struct, frozen=True, kw_only=True):
    """One entry under `tools`, or `all_tools`.

    `pattern` is an effective tool's name, a glob over them, or `class:<name>`. `arguments` is a
    JSON Schema (2020-12). `mode` is None where the policy's own holds.
    """

    pattern: str
    action: Action = Action.ALLOW
    mode: Mode | None = None
    reason: str = ""
    require: tuple[Clause, ...] = ()
    deny_if: tuple[Clause, ...] = ()
    arguments: Mapping[str, object] | None = None
    limits: tuple[Limit, ...] = ()
    approval: Approval | None = None
    pointer: str


class Dispatch(Struct, frozen=True, kw_only=True):
    """Where a meta-tool says which operation is meant. Pointers into its arguments.

    `arguments` is None where the operation's arguments are the meta-tool's own; `prefix` goes
    before the name found.
    """

    wire_tool: str
    name: str
    arguments: str | None = None
    group: str | None = None
    prefix: str = ""


class Policy(Struct, frozen=True, kw_only=True):
    """A whole policy. `canonical` are the bytes that name it.

    `stale_after_ns` is None where it never gets stale.
    """

    version: str
    name: str = ""
    default: Default
    mode: Mode = Mode.ENFORCE
    pin: Pinning = Pinning.OBSERVE
    stale_after_ns: int | None = None
    on_stale: OnStale = OnStale.KEEP
    hide: tuple[str, ...] = ()
    dispatch: tuple[Dispatch, ...] = ()
    methods: tuple[tuple[str, Default], ...] = ()
    all_tools: ToolRule | None = None
    tools: tuple[ToolRule, ...] = ()
    canonical: bytes

    @property
    def revision(self) -> str:
        """`sha256:<hex>` of the canonical bytes: the one name of this policy."""
        return revision_of(self.canonical)


CLASS_PREFIX = "class:"


def is_glob(pattern: str) -> bool:
    """Whether a name under `tools` or `hide` stands for many: `*` any run, `?` one character."""
    return "*" in pattern or "?" in pattern


def is_class(pattern: str) -> bool:
    """Whether a key under `tools` names a risk class: `class:destructive`."""
    return pattern.startswith(CLASS_PREFIX)
