"""One thing that is looked at while a call is decided, and what it found, in words."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum

from msgspec import Struct

from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.conditions import CompiledCondition, Kind, Truth, found_values
from toolreeve.decision.counters import BadAmount, Exceeded
from toolreeve.decision.hold import Hold
from toolreeve.decision.instant import Instant, milliseconds_until
from toolreeve.decision.misfits import Misfit
from toolreeve.decision.rule import CompiledRule
from toolreeve.decision.verdict import Code, Reservation, Verdict
from toolreeve.policy import Action, Condition, Limit, Mode, Op, canonical_json
from toolreeve.policy.glob import matches
from toolreeve.policy.model import is_class, is_glob

VALUE_CHARACTERS_MAX = 200
VALUES_MAX = 20
_WINDOWS = {60: "minute", 3_600: "hour", 86_400: "day"}


class Stage(Enum):
    """What is looked at, in this order."""

    METHOD = "method"
    DISPATCH = "dispatch"
    HOLD = "hold"
    HIDE = "hide"
    RULE = "rule"
    PIN = "pin"
    ARGUMENTS = "arguments"
    REQUIRE = "require"
    DENY_IF = "deny_if"
    APPROVAL = "approval"
    LIMIT = "limit"
    MODE = "mode"


class Look(Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    `finding` holds no value of an argument; those stand in `values`, as JSON. `holds` is set on
    the rule that holds for the call; `speaks_against` where something speaks against the call by
    itself, and `code` where that also settled the verdict. `known` is unset only where a recorded
    decision does not say enough to look again.
    """

    stage: Stage
    pointer: str = ""
    finding: str
    values: tuple[str, ...] = ()
    holds: bool = False
    speaks_against: bool = False
    code: Code | None = None
    known: bool = True


def hold_look(hold: Hold, *, stops: bool) -> Look:
    """What a hold makes of a call."""
    if not stops:
        return Look(stage=Stage.HOLD, finding=f"{hold.hold_id} is about other calls, or over")
    finding = f"{hold.hold_id}, placed by {hold.actor}, stops this call"
    return Look(stage=Stage.HOLD, finding=finding, speaks_against=True, code=Code.HELD)


def hide_looks(policy: CompiledPolicy, tool: str) -> Iterator[Look]:
    """The name under `hide` that hides a tool, or that none does."""
    for place, pattern in enumerate(policy.policy.hide):
        hits = matches(pattern, tool) if is_glob(pattern) else pattern == tool
        if hits:
            yield Look(
                stage=Stage.HIDE,
                pointer=f"/hide/{place}",
                finding=f'"{pattern}" hides {tool}',
                speaks_against=True,
                code=Code.HIDDEN,
            )
            return
    if policy.policy.hide:
        yield Look(stage=Stage.HIDE, pointer="/hide", finding=f"does not name {tool}")


def rule_looks(policy: CompiledPolicy, tool: str, winner: CompiledRule | None) -> Iterator[Look]:
    """Every rule that speaks of the tool, the most specific first, and which one holds."""
    for rule in policy.matching(tool):
        pattern = "" if rule.rule is None else rule.rule.pattern
        if is_class(pattern):
            how = f"is for tools like {tool} that nothing else names"
        else:
            how = f"matches {tool}" if is_glob(pattern) else f"names {tool}"
        if rule is winner:
            yield Look(
                stage=Stage.RULE,
                pointer=rule.pointer,
                finding=f"{how} and holds: {rule.action.value}",
                holds=True,
                speaks_against=rule.action is Action.DENY,
                code=Code.DENIED if rule.action is Action.DENY else None,
            )
            if rule.action is Action.DENY:
                return
        elif winner is not None and winner.action is Action.DENY:
            yield Look(stage=Stage.RULE, pointer=rule.pointer, finding=f"{how}; a denial beats it")
        else:
            finding = f"{how}; a more specific one holds"
            yield Look(stage=Stage.RULE, pointer=rule.pointer, finding=finding)
    if winner is None or winner.rule is None:
        refuses = winner is None
        yield Look(
            stage=Stage.RULE,
            pointer="/default",
            finding=f"no rule speaks of {tool}: {policy.default.value}",
            holds=True,
            speaks_against=refuses,
            code=Code.DEFAULT_DENIED if refuses else None,
        )


def pin_look(*, approved: bool, why: str) -> Look:
    """Whether the definition of the tool on the wire is approved, under `pin: enforce`."""
    code = None if approved else Code.UNAPPROVED_DEFINITION
    finding = f"enforce: {why}"
    return Look(
        stage=Stage.PIN, pointer="/pin", finding=finding, speaks_against=not approved, code=code
    )


def arguments_look(pointer: str, found: tuple[Misfit, ...]) -> Look:
    """Whether the arguments fit the schema of the rule at `pointer`."""
    if not found:
        return Look(
            stage=Stage.ARGUMENTS, pointer=f"{pointer}/arguments", finding="the arguments fit"
        )
    return Look(
        stage=Stage.ARGUMENTS,
        pointer=f"{pointer}/arguments",
        finding="; ".join(f"{misfit.place} breaks {misfit.keyword}" for misfit in found),
        values=tuple(_shown(misfit.value) for misfit in found),
        speaks_against=True,
        code=Code.BAD_ARGUMENTS,
    )


def condition_look(
    compiled: CompiledCondition,
    kind: Kind,
    arguments: Mapping[str, object],
    truth: Truth,
    *,
    is_last: bool,
) -> Look:
    """What one condition found, and what follows from it. `is_last`: of its clause."""
    condition = compiled.condition
    code = None
    if truth is Truth.ERROR:
        code = Code.CONDITION_ERROR
    elif kind is Kind.REQUIRE and truth is Truth.FAILS:
        code = Code.REQUIRE_FAILED
    elif kind is Kind.DENY_IF and truth is Truth.HOLDS and is_last:
        code = Code.DENY_IF_HELD
    against = truth is (Truth.FAILS if kind is Kind.REQUIRE else Truth.HOLDS)
    found = found_values(arguments, condition.steps)
    values = tuple(_shown(value) for value in found[:VALUES_MAX])
    return Look(
        stage=Stage.REQUIRE if kind is Kind.REQUIRE else Stage.DENY_IF,
        pointer=condition.pointer,
        finding=f"{_said(condition)}: {_found(len(found))}, {truth.value}",
        values=values,
        speaks_against=against or truth is Truth.ERROR,
        code=code,
    )


def approval_look(rule: CompiledRule) -> Look:
    """That the rule asks for an approval, and of whom."""
    approval = None if rule.rule is None else rule.rule.approval
    who = ", ".join(approval.approvers) if approval is not None and approval.approvers else "anyone"
    if approval is not None and approval.count > 1:
        who = f"{approval.count} of {who}"
    return Look(
        stage=Stage.APPROVAL,
        pointer=rule.pointer,
        finding=f"needs an approval, by {who} who may give one",
        speaks_against=True,
        code=Code.APPROVAL_REQUIRED,
    )


def limit_look(
    limit: Limit, found: Reservation | Exceeded | BadAmount, counted: Decimal, at: Instant
) -> Look:
    """How full a limit is for a call, and what it makes of the call."""
    finding, code = f"{limit.counter}: {_room(limit, counted)}", None
    if isinstance(found, Exceeded):
        finding, code = finding + _until(found.retry_at, at), Code.LIMITED
    elif isinstance(found, BadAmount):
        finding, code = f"{limit.counter}: {limit.amount} is no number from 0 up", Code.BAD_AMOUNT
    return Look(
        stage=Stage.LIMIT,
        pointer=limit.pointer,
        finding=finding,
        speaks_against=code is not None,
        code=code,
    )


def _room(limit: Limit, counted: Decimal) -> str:
    seconds = limit.window_ns // 1_000_000_000
    window = _WINDOWS.get(seconds, f"{seconds} seconds")
    whose = f"this {limit.scope.value}"
    if limit.by:
        whose += f" and this {' and '.join(limit.by)}"
    left = max(limit.maximum - counted, Decimal(0))
    return f"{counted} of {limit.maximum} a {window} for {whose}, room for {left}"


def _until(retry_at: Instant | None, at: Instant) -> str:
    if retry_at is None:
        return "; waiting does not help"
    return f"; room for this call in {milliseconds_until(retry_at, at)} ms"


def mode_look(policy: CompiledPolicy, verdict: Verdict, tool: str) -> Look:
    """Whether the verdict is carried out."""
    rule = None if verdict.code is Code.HIDDEN else policy.rule_for(tool)
    mode = policy.mode if rule is None else rule.mode
    own = rule is not None and rule.rule is not None and rule.rule.mode is not None
    pointer = f"{rule.pointer}/mode" if rule is not None and own else "/mode"
    finding = f"{mode.value}"
    if mode is not Mode.ENFORCE and verdict.refuses:
        told = ", and the agent is told" if mode is Mode.WARN else ""
        finding += f": the call is let through all the same{told}"
    return Look(stage=Stage.MODE, pointer=pointer, finding=finding)


def _said(condition: Condition) -> str:
    wanted = _shown(condition.value)
    if condition.op is Op.EXISTS:
        return f"{condition.path} {'exists' if condition.value else 'does not exist'}"
    return f"{condition.path} {condition.op.value} {wanted}"


def _found(values: int) -> str:
    if not values:
        return "nothing there"
    return "a value there" if values == 1 else f"{values} values there"


def _shown(value: object) -> str:
    """A value as JSON, cut where it is long."""
    text = canonical_json(value).decode()
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "..."
