"""The parts of a policy that cases can reach, and those that they did."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from toolreeve.decision.look import Look, Stage
from toolreeve.policy import Clause, Policy, ToolRule, write_pointer


class Part(Struct, frozen=True, order=True):
    """A part of a policy that a case can reach."""

    pointer: str
    kind: str


class Coverage(Struct, frozen=True, kw_only=True):
    """The parts of a policy, and those that some call reached.

    A rule, the default or a dispatch is reached when it holds for a call; whatever can refuse by
    itself (a name under `hide`, a schema, a condition, a limit) when it speaks against one.
    """

    parts: tuple[Part, ...]
    reached: frozenset[Part]

    @property
    def missed(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part not in self.reached)

    @property
    def percent(self) -> float:
        if not self.parts:
            return 100.0
        return 100.0 * len(self.reached) / len(self.parts)


def coverage_of(policy: Policy, reached: frozenset[Part]) -> Coverage:
    """How much of a policy was reached."""
    return Coverage(parts=parts_of(policy), reached=reached)


def reached_by(looks: Sequence[Look]) -> Iterator[Part]:
    """What the looks at one call or request reached."""
    for look in looks:
        kind = _KINDS.get(look.stage)
        if kind is None:
            continue
        if look.pointer == "/default":
            yield Part("/default", "default")
        elif look.holds or look.stage is Stage.DISPATCH or look.speaks_against:
            yield Part(look.pointer, kind)


_KINDS = {
    Stage.METHOD: "method",
    Stage.DISPATCH: "dispatch",
    Stage.HIDE: "hide",
    Stage.RULE: "rule",
    Stage.ARGUMENTS: "arguments",
    Stage.REQUIRE: "condition",
    Stage.DENY_IF: "condition",
    Stage.LIMIT: "limit",
}


def parts_of(policy: Policy) -> tuple[Part, ...]:
    """Every part of a policy that a case can reach, in the order of the document."""
    found = [Part("/default", "default")]
    found += [Part(f"/hide/{place}", "hide") for place in range(len(policy.hide))]
    found += [
        Part(write_pointer(["dispatch", one.wire_tool]), "dispatch") for one in policy.dispatch
    ]
    found += [Part(write_pointer(["methods", method]), "method") for method, _ in policy.methods]
    if policy.all_tools is not None:
        found += _inner(policy.all_tools)
    for rule in policy.tools:
        found.append(Part(rule.pointer, "rule"))
        found += _inner(rule)
    return tuple(found)


def _inner(rule: ToolRule) -> Iterator[Part]:
    if rule.arguments is not None:
        yield Part(f"{rule.pointer}/arguments", "arguments")
    yield from _conditions(rule.require)
    yield from _conditions(rule.deny_if)
    for limit in rule.limits:
        yield Part(limit.pointer, "limit")


def _conditions(clauses: Sequence[Clause]) -> Iterator[Part]:
    for clause in clauses:
        for condition in clause.conditions:
            yield Part(condition.pointer, "condition")
