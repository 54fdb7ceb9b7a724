"""Conditions on arguments, compiled once per revision: they hold, do not hold, or are an error.

Types are strict: `true` is not 1 and `"1"` is not 1. What cannot be compared is an error, and an
error denies in `require` and in `deny_if` alike; else `deny_if amount gt 100` would let `"500"`
pass. A path that leads nowhere does not hold in `require` and is an error in `deny_if`, unless the
condition says `on_missing: ignore`.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import ge, gt, le, lt
from typing import Any

from msgspec import Struct

from toolreeve.policy import Clause, Condition, Each, Op, Step
from toolreeve.policy.pattern import Pattern


class Truth(Enum):
    """What became of a condition or a clause."""

    HOLDS = "holds"
    FAILS = "does not hold"
    ERROR = "error"


class Kind(Enum):
    """Which list a clause stands in: it decides what a missing path and `[*]` mean."""

    REQUIRE = "require"
    DENY_IF = "deny_if"


Test = Callable[[Mapping[str, object]], Truth]

_Compare = Callable[[Any], bool | None]
"""Whether a value compares as wanted; None where it cannot be compared."""

_ORDERED: dict[Op, Callable[[Any, Any], bool]] = {Op.LT: lt, Op.LTE: le, Op.GT: gt, Op.GTE: ge}
_MISSING: Any = object()


class CompiledCondition(Struct, frozen=True):
    """A condition with its test."""

    condition: Condition
    test: Test


class CompiledClause(Struct, frozen=True):
    """A clause with the tests of its conditions, in their order."""

    clause: Clause
    conditions: tuple[CompiledCondition, ...]

    def truth(self, arguments: Mapping[str, object]) -> tuple[Truth, Condition | None]:
        """What becomes of the clause, and the condition that settled it; None where all hold.

        Conditions are looked at in their order; the first that does not hold ends the clause.
        """
        holds = Truth.HOLDS
        for compiled in self.conditions:
            truth = compiled.test(arguments)
            if truth is not holds:
                return truth, compiled.condition
        return holds, None


def compile_clauses(clauses: Sequence[Clause], kind: Kind) -> tuple[CompiledClause, ...]:
    """Make the clauses of one list ready."""
    return tuple(
        CompiledClause(
            clause,
            tuple(
                CompiledCondition(condition, compile_condition(condition, kind))
                for condition in clause.conditions
            ),
        )
        for clause in clauses
    )


def compile_condition(condition: Condition, kind: Kind) -> Test:
    """Make one condition ready: a function of the effective arguments."""
    steps = condition.steps
    if condition.op is Op.EXISTS:
        return _existence(steps, wanted=bool(condition.value))
    compare = _comparison(condition.op, condition.value)
    lenient = condition.ignore_missing or kind is Kind.REQUIRE
    missing = Truth.FAILS if lenient else Truth.ERROR
    if Each.ELEMENT in steps:
        return _of_elements(steps, compare, missing, every=kind is Kind.REQUIRE)
    if len(steps) == 1 and isinstance(steps[0], str):
        member = _of_member(steps[0], compare, missing)
        quick = condition.op is Op.EQ and type(condition.value) in {str, int, bool}
        return _quickly(steps[0], condition.value, member) if quick else member

    def test(arguments: Mapping[str, object]) -> Truth:
        value = _walk(arguments, steps)
        return missing if value is _MISSING else _truth(compare(value))

    return test


def found_values(arguments: Mapping[str, object], steps: Sequence[Step]) -> list[object]:
    """What stands at a path: nothing, one value, or each element where it says `[*]`."""
    values = _values(arguments, steps)
    return [] if values is None else values


def _truth(answer: bool | None) -> Truth:
    if answer is None:
        return Truth.ERROR
    return Truth.HOLDS if answer else Truth.FAILS


def _of_member(key: str, compare: _Compare, missing: Truth) -> Test:
    def test(arguments: Mapping[str, object]) -> Truth:
        value = arguments.get(key, _MISSING)
        return missing if value is _MISSING else _truth(compare(value))

    return test


def _quickly(key: str, wanted: object, test: Test) -> Test:
    """`test`, with its most frequent end first: the very value that is wanted."""
    kind = type(wanted)
    holds = Truth.HOLDS

    def quick(arguments: Mapping[str, object]) -> Truth:
        value = arguments.get(key)
        if type(value) is kind and value == wanted:
            return holds
        return test(arguments)

    return quick


def _of_elements(steps: Sequence[Step], compare: _Compare, missing: Truth, *, every: bool) -> Test:
    """`[*]`: in `require` each element must compare, in `deny_if` one is enough.

    An element that cannot be compared is an error, wherever it stands.
    """

    def test(arguments: Mapping[str, object]) -> Truth:
        values = _values(arguments, steps)
        if values is None:
            return missing
        answers = [compare(value) for value in values]
        if None in answers:
            return Truth.ERROR
        return _truth(all(answers) if every else any(answers))

    return test


def _existence(steps: Sequence[Step], *, wanted: bool) -> Test:
    def test(arguments: Mapping[str, object]) -> Truth:
        return _truth(bool(_values(arguments, steps)) == wanted)

    return test


def _walk(value: Any, steps: Sequence[Step]) -> Any:
    """Follow keys and places; `_MISSING` where they lead nowhere."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(str(step), _MISSING)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        elif isinstance(value, list):
            place = _place(step)
            if place is None or place >= len(value):  # pyright: ignore[reportUnknownArgumentType]
                return _MISSING
            value = value[place]  # pyright: ignore[reportUnknownVariableType]
        else:
            return _MISSING
        if value is _MISSING:
            return _MISSING
    return value  # pyright: ignore[reportUnknownVariableType]


def _place(step: Step) -> int | None:
    """A place in a list, from `[0]` or from the key of a JSON Pointer."""
    if isinstance(step, int):
        return step
    if isinstance(step, str) and step.isascii() and step.isdigit():
        return int(step) if step == "0" or step[0] != "0" else None
    return None


def _values(arguments: Mapping[str, object], steps: Sequence[Step]) -> list[object] | None:
    """Every value at a path; None where it leads nowhere, also for one element of many."""
    found: list[Any] = [arguments]
    begun = 0
    for index, step in enumerate(steps):
        if step is not Each.ELEMENT:
            continue
        lists = [_walk(value, steps[begun:index]) for value in found]
        if not all(isinstance(value, list) for value in lists):
            return None
        found = [element for value in lists for element in value]
        begun = index + 1
    found = [_walk(value, steps[begun:]) for value in found]
    return None if any(value is _MISSING for value in found) else found


def _comparison(op: Op, wanted: Any) -> _Compare:
    match op:
        case Op.EQ:
            return lambda value: same(value, wanted)
        case Op.NEQ:
            return lambda value: not same(value, wanted)
        case Op.IN:
            return lambda value: any(same(value, choice) for choice in wanted)
        case Op.NOT_IN:
            return lambda value: not any(same(value, choice) for choice in wanted)
        case Op.LT | Op.LTE | Op.GT | Op.GTE:
            ordered = _ORDERED[op]
            return lambda value: ordered(value, wanted) if is_number(value) else None
        case Op.REGEX:
            pattern = Pattern(wanted)
            return lambda value: pattern.matches(value) if isinstance(value, str) else None
        case Op.CONTAINS:
            return lambda value: _contains(value, wanted)
        case Op.EXISTS:
            raise AssertionError("existence compares nothing")


def _contains(value: Any, wanted: object) -> bool | None:
    if isinstance(value, str):
        return wanted in value if isinstance(wanted, str) else None
    if isinstance(value, list):
        return any(same(element, wanted) for element in value)  # pyright: ignore[reportUnknownVariableType]
    return None


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; `true` is none. NaN has no JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, exactly; nothing across types."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if is_number(one) and is_number(other):
        return bool(one == other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return type(one) is type(other) and bool(one == other)  # pyright: ignore[reportUnknownArgumentType]
