"""Conditions on arguments, compiled once per revision: they hold, do not hold, or are an error.

Types are strict: `true` is not 1 and `"1"` is not 1. What cannot be compared is an error, and an
error denies in `require` and in `deny_if` alike; else `deny_if amount gt 100` would let `"500"`
pass. A path that leads nowhere does not hold in `require` and is an error in `deny_if`, unless the
condition says `on_missing: ignore`.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from itertools import repeat
from operator import ge, gt, le, lt
from typing import Any

from msgspec import Struct

from toolreeve.policy import Clause, Condition, Each, Op, Step
from toolreeve.policy.pattern import Pattern, pattern


class Truth(Enum):
    """What became of a condition or a clause."""

    HOLDS = "holds"
    FAILS = "does not hold"
    ERROR = "error"


# Python takes long to find a member of an enum by its name; these stand on the way of every call.
HOLDS, FAILS, ERROR = Truth.HOLDS, Truth.FAILS, Truth.ERROR


class Kind(Enum):
    """Which list a clause stands in: it decides what a missing path and `[*]` mean."""

    REQUIRE = "require"
    DENY_IF = "deny_if"


_Compare = Callable[[Any, Any], bool | None]
"""Whether a value compares with what is wanted; None where it cannot be compared."""

_NUMBERS = frozenset({int, float})  # and not bool, which Python takes for an int
MISSING: Any = object()
"""What stands at a path that leads nowhere."""


class CompiledCondition(Struct, frozen=True):
    """A condition with what it compares by.

    `wanted` is its value, or the pattern of that; `key` its whole path, where that is one key.
    `each`: it has a `[*]`. `every`: then all elements must compare, as in `require`; in `deny_if`
    one is enough.
    """

    condition: Condition
    compare: _Compare | None
    wanted: Any
    missing: Truth
    key: str | None
    each: bool
    every: bool

    def test(self, arguments: Mapping[str, object]) -> Truth:
        """Whether the condition holds for the effective arguments."""
        compare = self.compare
        if compare is None:
            return _truth(bool(_values(arguments, self.condition.steps)) is self.wanted)
        if self.key is not None:
            value: Any = arguments.get(self.key, MISSING)
        elif self.each:
            return self._test_each(_values(arguments, self.condition.steps), compare)
        else:
            value = _walk(arguments, self.condition.steps)
        return self.missing if value is MISSING else _truth(compare(value, self.wanted))

    def _test_each(self, values: list[object] | None, compare: _Compare) -> Truth:
        """An element that cannot be compared is an error, wherever it stands."""
        if values is None:
            return self.missing
        answers = [compare(value, self.wanted) for value in values]
        if None in answers:
            return ERROR
        return _truth(all(answers) if self.every else any(answers))


class CompiledClause(Struct, frozen=True):
    """A clause with the tests of its conditions, in their order."""

    clause: Clause
    kind: Kind
    conditions: tuple[CompiledCondition, ...]

    @property
    def refuses_when(self) -> Truth:
        """What the clause has to come to for the call to be refused; an error always does."""
        return FAILS if self.kind is Kind.REQUIRE else HOLDS

    def truth(
        self, arguments: Mapping[str, object], begin: int = 0
    ) -> tuple[Truth, Condition | None]:
        """What becomes of the clause, and the condition that settled it; None where all hold.

        Conditions are looked at in their order; the first that does not hold ends the clause.
        Those before `begin` are known to hold.
        """
        for compiled in self.conditions[begin:]:
            truth = compiled.test(arguments)
            if truth is not HOLDS:
                return truth, compiled.condition
        return HOLDS, None


def compile_clauses(clauses: Sequence[Clause], kind: Kind) -> tuple[CompiledClause, ...]:
    """Make the clauses of one list ready."""
    return tuple(
        CompiledClause(
            clause,
            kind,
            tuple(_compile_condition(condition, kind) for condition in clause.conditions),
        )
        for clause in clauses
    )


def _compile_condition(condition: Condition, kind: Kind) -> CompiledCondition:
    lenient = condition.ignore_missing or kind is Kind.REQUIRE
    is_pattern = condition.op is Op.REGEX
    first = condition.steps[0]
    return CompiledCondition(
        condition=condition,
        compare=_COMPARE.get(condition.op),
        wanted=pattern(str(condition.value)) if is_pattern else condition.value,
        missing=FAILS if lenient else ERROR,
        key=first if len(condition.steps) == 1 and isinstance(first, str) else None,
        each=Each.ELEMENT in condition.steps,
        every=kind is Kind.REQUIRE,
    )


def found_values(arguments: Mapping[str, object], steps: Sequence[Step]) -> list[object]:
    """What stands at a path: nothing, one value, or each element where it says `[*]`."""
    values = _values(arguments, steps)
    return [] if values is None else values


def _truth(answer: bool | None) -> Truth:
    if answer is None:
        return ERROR
    return HOLDS if answer else FAILS


def _walk(value: Any, steps: Sequence[Step]) -> Any:
    """Follow keys and places; `MISSING` where they lead nowhere."""
    for step in steps:
        value = follow(value, step)
    return value


def follow(value: Any, step: Step) -> Any:
    """What stands one step further; `MISSING` where that is nothing."""
    if isinstance(value, dict):
        return value.get(str(step), MISSING)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(value, list):
        place = _place(step)
        if place is not None and place < len(value):  # pyright: ignore[reportUnknownArgumentType]
            return value[place]  # pyright: ignore[reportUnknownVariableType]
    return MISSING


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
    return None if any(value is MISSING for value in found) else found


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; `true` is none. NaN has no JSON."""
    return type(value) in _NUMBERS


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, exactly; nothing across types."""
    kind = type(one)  # pyright: ignore[reportUnknownVariableType]
    if kind in _NUMBERS:
        return type(other) in _NUMBERS and bool(one == other)
    if kind is not type(other):
        return False
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is dict:
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def _among(value: Any, choices: Any) -> bool:
    # What is the same is also equal to Python, which is quick to find out.
    return value in choices and any(map(same, repeat(value), choices))


def _ordered(compare: Callable[[Any, Any], bool]) -> _Compare:
    return lambda value, wanted: compare(value, wanted) if is_number(value) else None


def _matches(value: Any, wanted: Pattern) -> bool | None:
    return wanted.matches(value) if isinstance(value, str) else None


def _contains(value: Any, wanted: Any) -> bool | None:
    if isinstance(value, str):
        return wanted in value if isinstance(wanted, str) else None
    return _among(wanted, value) if isinstance(value, list) else None


_COMPARE: dict[Op, _Compare] = {
    Op.EQ: same,
    Op.NEQ: lambda value, wanted: not same(value, wanted),
    Op.IN: _among,
    Op.NOT_IN: lambda value, wanted: not _among(value, wanted),
    Op.LT: _ordered(lt),
    Op.LTE: _ordered(le),
    Op.GT: _ordered(gt),
    Op.GTE: _ordered(ge),
    Op.REGEX: _matches,
    Op.CONTAINS: _contains,
}
"""All but `exists`, which compares nothing."""
