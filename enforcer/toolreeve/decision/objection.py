"""What the conditions of a rule object to in a call, by one function made for the rule.

The function proves, condition by condition, that the call may pass, and does no more than the
proof takes. Where a proof fails, because the condition refuses or because something stands there
that is rare, it hands over to the tests in `conditions`, from that very condition on. So nothing
here says what a condition means: it says when there is nothing to ask.

For `require` of `args.id` at least 1 and of `args.vm.name` by a pattern, and for a `deny_if` of
`args.force` true with `on_missing: ignore`, this is written:

    def objection(arguments, missing, follow, settle, c0, c1, c2, c3, c4, c5, c6):
        v = arguments.get(c0, missing)
        if not ((type(v) is int or type(v) is float) and v >= c1):
            return settle(arguments, 0, 0)
        v = arguments.get(c2, missing)
        v = v.get(c3, missing) if type(v) is dict else follow(v, c3)
        if not (type(v) is str and c4(v)):
            return settle(arguments, 0, 1)
        v = arguments.get(c5, missing)
        if not (v is missing or v is not missing and v is not c6):
            return settle(arguments, 1, 0)
        return None

`settle(arguments, clause, condition)` goes on from there. A clause of `deny_if` with several
conditions is a loop that is left by `break` as soon as one of them is known not to hold.

Nothing of a policy is written into the text: keys, values and patterns come in as `c0`, `c1`, ...,
which are the function's defaults, and the text knows seven names of Python's. Rules of the same
form have the same text, which is compiled once and shared: 300 tools then run the same few
instructions, and each keeps only its own constants. Arguments are what a JSON parser makes: of
exactly the types None, bool, int, float, str, list and dict.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, TypeVar

from toolreeve.decision.conditions import (
    MISSING,
    CompiledClause,
    CompiledCondition,
    Kind,
    Truth,
    follow,
    is_number,
)
from toolreeve.policy import Each, Op, Step

WRITTEN_MAX = 100
"""Conditions of one rule that are written; those after them are asked."""

_GLOBALS: dict[str, object] = {
    "__builtins__": {
        "type": type, "len": len, "int": int, "float": float, "str": str, "list": list,
        "dict": dict,
    }
}  # fmt: skip
_NUMBER = "(type(v) is int or type(v) is float)"
_STRING = "type(v) is str"
_STRING_OR_LIST = "(type(v) is str or type(v) is list)"
_SIGNS = {Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}

Objector = TypeVar("Objector")
Settle = Callable[[Mapping[str, object], int, int], Objector | None]
"""Ask the tests, from one condition of one clause on."""


def objection(
    clauses: Sequence[CompiledClause], settle: Settle[Objector]
) -> Callable[[Mapping[str, object]], Objector | None] | None:
    """A function of the arguments: None where no clause refuses, else what `settle` says.

    None instead of a function where there is no clause to look at.
    """
    if not clauses:
        return None
    source, constants = written(clauses)
    defaults = (MISSING, follow, settle, *constants)
    return FunctionType(_compiled(source), _GLOBALS, "objection", defaults)


def written(clauses: Sequence[CompiledClause]) -> tuple[str, tuple[object, ...]]:
    """The function's text, and what it calls `c0`, `c1`, ..."""
    text = _Text()
    conditions = 0
    for place, clause in enumerate(clauses):
        if conditions >= WRITTEN_MAX:
            text.line(f"return settle(arguments, {place}, 0)")
            break
        text.clause(clause, place)
        conditions += len(clause.conditions)
    else:
        text.line("return None")
    return text.source(), tuple(text.constants)


@lru_cache(maxsize=1024)
def _compiled(source: str) -> CodeType:
    found: dict[str, Any] = {}
    exec(compile(source, "<objection>", "exec"), _GLOBALS, found)  # noqa: S102  # our words only
    code: CodeType = found["objection"].__code__
    return code


@lru_cache(maxsize=4096)
def _key(key: str) -> str:
    """The same object for equal keys: rules that look at the same argument then share it."""
    return key


class _Text:
    """The function, line by line, and the constants that it gets."""

    def __init__(self) -> None:
        self.constants: list[object] = []
        self._lines: list[str] = []
        self._loaded: Sequence[Step] | None = None

    def source(self) -> str:
        names = "".join(f", c{place}" for place in range(len(self.constants)))
        return "\n".join(
            [
                f"def objection(arguments, missing, follow, settle{names}):",
                *(f"    {line}" for line in self._lines),
            ]
        )

    def line(self, text: str) -> None:
        self._lines.append(text)

    def clause(self, clause: CompiledClause, place: int) -> None:
        """Prove that a clause lets the call pass, or settle it."""
        if clause.kind is Kind.DENY_IF and len(clause.conditions) > 1:
            self._several(clause, place)
            return
        for number, one in enumerate(clause.conditions):
            holds, fails = self._proofs(one, clause.kind)
            self.line(f"if not ({holds if clause.kind is Kind.REQUIRE else fails}):")
            self.line(f"    return settle(arguments, {place}, {number})")

    def _several(self, clause: CompiledClause, place: int) -> None:
        """`deny_if` with several conditions: one that does not hold is enough to pass."""
        self.line("while True:")
        outside, self._lines = self._lines, []
        for number, one in enumerate(clause.conditions):
            holds, fails = self._proofs(one, clause.kind)
            self.line(f"if {fails}: break")
            if number + 1 < len(clause.conditions):
                self.line(f"if not ({holds}): return settle(arguments, {place}, {number})")
        self.line(f"return settle(arguments, {place}, {len(clause.conditions) - 1})")
        self._lines = [*outside, *(f"    {line}" for line in self._lines)]
        self._loaded = None  # what `v` is depends on where the loop was left

    def _proofs(self, compiled: CompiledCondition, kind: Kind) -> tuple[str, str]:
        """When a condition surely holds, and when it surely does not: two expressions."""
        condition = compiled.condition
        if Each.ELEMENT not in condition.steps:
            self._load(condition.steps)
            proofs = self._of_value(condition.op, compiled.wanted)
            if proofs:
                holds = " or ".join(f"{when} and {yes}" for when, yes, _ in proofs)
                fails = " or ".join(f"{when} and {no}" for when, _, no in proofs)
                lenient = condition.ignore_missing or kind is Kind.REQUIRE
                if lenient and condition.op is not Op.EXISTS:
                    fails = f"v is missing or {fails}"
                return holds, fails
        test = self._constant(compiled.test)
        holds, fails = self._constant(Truth.HOLDS), self._constant(Truth.FAILS)
        return f"{test}(arguments) is {holds}", f"{test}(arguments) is {fails}"

    def _of_value(self, op: Op, wanted: Any) -> list[tuple[str, str, str]]:
        """What is certain of a value `v`: when, that it compares as wanted, that it does not.

        What none of them covers is asked. Empty: every value is.
        """
        match op:
            case Op.EXISTS:
                there = ("True", "v is not missing", "v is missing")
                return [there if wanted else _turned(there)]
            case Op.EQ:
                return self._equal(wanted)
            case Op.NEQ:
                return [_turned(one) for one in self._equal(wanted)]
            case Op.IN:
                return self._among(wanted)
            case Op.NOT_IN:
                return [_turned(one) for one in self._among(wanted)]
            case Op.LT | Op.LTE | Op.GT | Op.GTE:
                compared = f"v {_SIGNS[op]} {self._constant(wanted)}"
                return [(_NUMBER, compared, f"not {compared}")]
            case Op.REGEX:
                matched = f"{self._constant(wanted.matches)}(v)"
                return [(_STRING, matched, f"{matched} is False")]
            case Op.CONTAINS:
                if not isinstance(wanted, str):
                    return []
                name = self._constant(wanted)
                return [(_STRING_OR_LIST, f"{name} in v", f"{name} not in v")]

    def _equal(self, wanted: Any) -> list[tuple[str, str, str]]:
        if isinstance(wanted, (list, dict)):
            return []
        name = self._constant(wanted)
        if wanted is None or isinstance(wanted, bool):
            return [("v is not missing", f"v is {name}", f"v is not {name}")]
        return [(_NUMBER if is_number(wanted) else _STRING, f"v == {name}", f"v != {name}")]

    def _among(self, wanted: Sequence[Any]) -> list[tuple[str, str, str]]:
        """Strings are looked up among strings and numbers among numbers: nothing else is equal."""
        kinds = (
            (_STRING, [one for one in wanted if isinstance(one, str)]),
            (_NUMBER, [one for one in wanted if is_number(one)]),
        )
        proofs: list[tuple[str, str, str]] = []
        for when, choices in kinds:
            if choices:
                name = self._constant(frozenset(choices))
                proofs.append((when, f"v in {name}", f"v not in {name}"))
        return proofs

    def _load(self, steps: Sequence[Step]) -> None:
        """Let `v` be what stands at a path."""
        if steps == self._loaded:
            return
        self._loaded = steps
        self.line(f"v = arguments.get({self._constant(_key(str(steps[0])))}, missing)")
        for step in steps[1:]:
            name = self._constant(_key(step) if isinstance(step, str) else step)
            if isinstance(step, int):
                quick = f"v[{name}] if type(v) is list and len(v) > {name}"
            else:
                quick = f"v.get({name}, missing) if type(v) is dict"
            self.line(f"v = {quick} else follow(v, {name})")

    def _constant(self, value: object) -> str:
        self.constants.append(value)
        return f"c{len(self.constants) - 1}"


def _turned(proof: tuple[str, str, str]) -> tuple[str, str, str]:
    when, yes, no = proof
    return when, no, yes
