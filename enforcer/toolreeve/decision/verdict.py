"""What was decided about a call."""

from decimal import Decimal
from enum import Enum

from msgspec import Struct

from toolreeve.decision.instant import Instant
from toolreeve.policy import Mode, Refund


class Effect(Enum):
    """What becomes of the call."""

    ALLOW = "allow"
    DENY = "deny"


class Code(Enum):
    """Why, as a stable word that programs may rely on. Documented in `docs/reference/codes.md`."""

    ALLOWED = "allowed"
    DENIED = "denied"
    DEFAULT_DENIED = "default_denied"
    HIDDEN = "hidden"
    UNAPPROVED_DEFINITION = "unapproved_definition"
    BAD_ARGUMENTS = "bad_arguments"
    REQUIRE_FAILED = "require_failed"
    DENY_IF_HELD = "deny_if_held"
    CONDITION_ERROR = "condition_error"
    APPROVAL_REQUIRED = "approval_required"
    LIMITED = "limited"
    NO_LEASE = "no_lease"
    BAD_AMOUNT = "bad_amount"
    HELD = "held"
    NO_POLICY = "no_policy"
    STALE = "stale"
    BAD_OPERATION = "bad_operation"


class Reservation(Struct, frozen=True, kw_only=True):
    """What an admitted call has counted under one limit.

    `bucket` says whose count it is, without the values it is kept by (see `Counters`);
    `refund_on` are the endings of the call that give it back. `lease` names the block of the
    fleet's quota it was counted in, and `maximum` how much the whole fleet may count in a window;
    empty and None where the enforcer counts by itself.
    """

    counter: str
    bucket: str
    window_ns: int
    calendar: bool
    amount: Decimal
    at: Instant
    refund_on: frozenset[Refund] = frozenset()
    lease: str = ""
    maximum: Decimal | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """An answer with its grounds.

    `code` says what the rules make of the call, `effect` what becomes of it: in a mode that does
    not enforce, a call that the rules refuse is let through. `rule` is a JSON Pointer into the
    policy, empty where no rule decided. `retry_after_ms` is set where waiting helps: then one
    more call is admitted. `counter` names the limit that was full. `waits_for` are the counts for
    which a lease may come soon: it is worth asking once more then.
    """

    effect: Effect
    code: Code
    rule: str = ""
    reason: str = ""
    retry_after_ms: int | None = None
    counter: str = ""
    mode: Mode = Mode.ENFORCE
    reservations: tuple[Reservation, ...] = ()
    waits_for: tuple[int, ...] = ()

    @property
    def refuses(self) -> bool:
        """Whether the rules refuse the call, carried out or not."""
        return self.code is not Code.ALLOWED


# Python takes long to find a member of an enum by its name; these stand on the way of every call.
ALLOW, DENY = Effect.ALLOW, Effect.DENY
ALLOWED, LIMITED = Code.ALLOWED, Code.LIMITED
REQUIRE_FAILED, DENY_IF_HELD = Code.REQUIRE_FAILED, Code.DENY_IF_HELD
CONDITION_ERROR = Code.CONDITION_ERROR
ENFORCE = Mode.ENFORCE


def refusal(
    code: Code,
    mode: Mode = ENFORCE,
    *,
    rule: str = "",
    reason: str = "",
    retry_after_ms: int | None = None,
    counter: str = "",
    waits_for: tuple[int, ...] = (),
) -> Verdict:
    """A refusal on these grounds; let through where `mode` does not enforce them."""
    return Verdict(
        effect=DENY if mode is ENFORCE else ALLOW,
        code=code,
        rule=rule,
        reason=reason,
        retry_after_ms=retry_after_ms,
        counter=counter,
        mode=mode,
        waits_for=waits_for,
    )
