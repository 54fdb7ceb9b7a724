"""Two policies compared by what they mean: for which calls would the answer differ?

Where the normal forms of both are equal, every call is decided alike, and that is proven. Where
they are not, calls are made up from the bounds in both and decided under both; only what really
comes out differently is shown. What differs in form without such a call being found is named as
unsettled, for it may still matter.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision.call import Call, EffectiveTool, effective_tool
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.counters import Counters
from toolreeve.decision.decide import decide
from toolreeve.decision.diff_limits import History, histories, play
from toolreeve.decision.hold import Holds
from toolreeve.decision.instant import Instant
from toolreeve.decision.meaning import dispatch_forms, meaning_of, pattern_forms
from toolreeve.decision.rule import CompiledRule
from toolreeve.decision.staleness import staleness
from toolreeve.decision.surface import passes
from toolreeve.decision.synthesis import example_arguments, put
from toolreeve.decision.verdict import Effect, Verdict
from toolreeve.policy import Dispatch, parse_pointer
from toolreeve.policy.methods import always_passes
from toolreeve.policy.model import is_class, is_glob

NAMES_MAX = 2_000
NAMED_MAX = 20
AT = Instant(1_767_614_400_000_000_000)  # Monday 2026-01-05 12:00 UTC

_SAMPLES = (
    "some_other_tool", "get_status", "create_item", "restart_service", "delete_item", "pay_invoice",
)  # fmt: skip


class Answer(Struct, frozen=True):
    """What becomes of a call under one policy, without its place in the policy."""

    effect: str
    code: str
    reason: str
    mode: str
    retry_after_ms: int | None = None
    tool: str = ""


class Difference(Struct, frozen=True, kw_only=True):
    """A call whose answer differs.

    `wire_tool` is set where the call is one on the wire, through `dispatch`. `history` is what
    was called, where a limit makes the difference; then `turn` is the place of the call that
    parts them. `stands_for_others` is set on a tool that no rule names.
    """

    tool: str
    arguments: Mapping[str, object]
    wire_tool: str = ""
    method: str = ""
    history: History | None = None
    turn: int = 0
    stands_for_others: bool = False
    before: Answer
    after: Answer

    @property
    def kind(self) -> str:
        """`allows`, `refuses`, or `changes` where both allow or both refuse."""
        if self.before.effect == self.after.effect:
            return "changes"
        return "allows" if self.after.effect == Effect.ALLOW.value else "refuses"


class Unsettled(Struct, frozen=True, kw_only=True):
    """What is written differently without a call being found that shows it."""

    tool: str
    what: str


class Comparison(Struct, frozen=True, kw_only=True):
    """What came of a comparison. Same: proven for every call."""

    differences: tuple[Difference, ...]
    unsettled: tuple[Unsettled, ...]
    calls: int

    @property
    def same(self) -> bool:
        return not self.differences and not self.unsettled


def compare(
    old: CompiledPolicy, new: CompiledPolicy, tools: Mapping[str, Mapping[str, object]]
) -> Comparison:
    """Compare two policies. `tools` are effective tools that a server offers, with schemas."""
    return _Comparing(old, new, tools).result()


class _Comparing:
    def __init__(
        self,
        old: CompiledPolicy,
        new: CompiledPolicy,
        tools: Mapping[str, Mapping[str, object]],
    ) -> None:
        self._old = old
        self._new = new
        self._tools = tools
        self._calls = 0

    def result(self) -> Comparison:
        differences: list[Difference] = []
        unsettled: list[Unsettled] = []
        patterns_differ = pattern_forms(self._old.policy) != pattern_forms(self._new.policy)
        shown_by_sample = False
        for name, sampled in self._names(patterns_differ):
            if meaning_of(self._old, name) == meaning_of(self._new, name):
                continue
            found = list(self._of_tool(name))
            if sampled:
                ways = {_way(one) for one in differences if one.stands_for_others}
                found = [replace(one, stands_for_others=True) for one in found]
                differences += [one for one in found if _way(one) not in ways]
            else:
                differences += found
            shown_by_sample = shown_by_sample or (sampled and bool(found))
            if not found and not sampled:
                unsettled.append(Unsettled(tool=name, what=self._what(name)))
        differences += self._of_dispatch(unsettled)
        differences += self._of_methods()
        if patterns_differ and not shown_by_sample:
            what = "globs, classes, the default or the mode are written differently"
            unsettled.append(Unsettled(tool="*", what=what))
        before, after = self._old.policy.pin.value, self._new.policy.pin.value
        if before != after:
            what = f"pin is {after} instead of {before}, for tools whose definition is not approved"
            unsettled.append(Unsettled(tool="*", what=what))
        stale_before, stale_after = staleness(self._old.policy), staleness(self._new.policy)
        if stale_before != stale_after:
            what = f"without a control plane: {stale_after} instead of {stale_before}"
            unsettled.append(Unsettled(tool="*", what=what))
        return Comparison(
            differences=tuple(differences), unsettled=tuple(unsettled), calls=self._calls
        )

    def _names(self, patterns_differ: bool) -> Iterator[tuple[str, bool]]:
        """Tools to compare, each with whether it only stands for others."""
        both = (self._old.policy, self._new.policy)
        patterns = [
            *chain.from_iterable([rule.pattern for rule in one.tools] for one in both),
            *chain.from_iterable(one.hide for one in both),
        ]
        exact = [one for one in patterns if not is_glob(one) and not is_class(one)]
        named = dict.fromkeys([*exact, *self._tools])
        yield from ((name, False) for name in named)
        if patterns_differ:
            globs = dict.fromkeys(one for one in patterns if is_glob(one))
            samples = [name for glob in globs for name in _samples(glob)]
            for name in dict.fromkeys([*_SAMPLES, *samples][:NAMES_MAX]):
                if name not in named:
                    yield name, True

    def _of_tool(self, name: str) -> Iterator[Difference]:
        """One call for each way in which the answers about a tool part."""
        rules = [
            rule
            for policy in (self._old, self._new)
            if (rule := policy.rule_for(name)) is not None and not policy.hides(name)
        ]
        shown: set[tuple[str, str, str]] = set()
        passing: Mapping[str, object] | None = None
        for arguments in example_arguments(rules, self._tools.get(name)):
            before = self._answer(self._old, name, arguments)
            after = self._answer(self._new, name, arguments)
            if before.effect == after.effect == Effect.ALLOW.value and passing is None:
                passing = arguments
            way = (before.effect, after.effect, "" if before.effect != after.effect else "same")
            if before == after or way in shown:
                continue
            shown.add(way)
            yield Difference(tool=name, arguments=arguments, before=before, after=after)
        if passing is not None and len(rules) == 2:
            yield from self._of_limits(name, passing, rules)

    def _of_limits(
        self, name: str, arguments: Mapping[str, object], rules: Sequence[CompiledRule]
    ) -> Iterator[Difference]:
        """The first history of calls after which the limits part."""
        limits = [prepared.limit for rule in rules for prepared in rule.limits]
        call = Call(
            server="server", grant="grant", session="session", tool=name, arguments=arguments
        )
        for history in histories(limits, call):
            played = zip(play(self._old, history), play(self._new, history), strict=True)
            for turn, (before, after) in enumerate(played):
                self._calls += 2
                one, other = _answer(before), _answer(after)
                if one != other:
                    yield Difference(
                        tool=name,
                        arguments=history.turns[turn].call.arguments,
                        history=history,
                        turn=turn,
                        before=one,
                        after=other,
                    )
                    return

    def _of_dispatch(self, unsettled: list[Unsettled]) -> Iterator[Difference]:
        """Calls on the wire that mean another operation than before."""
        before, after = dispatch_forms(self._old.policy), dispatch_forms(self._new.policy)
        for wire_tool in {**before, **after}:
            if before.get(wire_tool) == after.get(wire_tool):
                continue
            entries = [one for one in (before.get(wire_tool), after.get(wire_tool)) if one]
            for arguments in self._calls_on_wire(entries):
                one = self._answer_on_wire(self._old, wire_tool, arguments)
                other = self._answer_on_wire(self._new, wire_tool, arguments)
                if one != other:
                    yield Difference(
                        tool=other.tool,
                        wire_tool=wire_tool,
                        arguments=arguments,
                        before=one,
                        after=other,
                    )
                    break
            else:
                unsettled.append(Unsettled(tool=wire_tool, what="dispatch"))

    def _calls_on_wire(self, entries: Sequence[Dispatch]) -> Iterator[Mapping[str, object]]:
        """Arguments that name an operation: one with a rule, one without, and no readable one."""
        names = [rule.pattern for one in (self._old, self._new) for rule in one.policy.tools]
        exact = [name for name in names if not is_glob(name) and not is_class(name)]
        for entry in entries:
            named = [name.removeprefix(entry.prefix) for name in exact if name != entry.wire_tool]
            for operation in (*named[:NAMED_MAX], "some_action", 1):
                arguments = put({}, parse_pointer(entry.name), operation)
                if entry.arguments is not None:
                    arguments = put(arguments, parse_pointer(entry.arguments), {})
                yield arguments

    def _of_methods(self) -> Iterator[Difference]:
        both = (self._old.policy, self._new.policy)
        named = {method for one in both for method, _ in one.methods}
        another = next(one for one in _methods() if one not in named)
        for method in (*sorted(named), another):
            before, after = _method(self._old, method), _method(self._new, method)
            if before != after:
                yield Difference(
                    tool="",
                    arguments={},
                    method=method,
                    stands_for_others=method == another,
                    before=before,
                    after=after,
                )

    def _answer(self, policy: CompiledPolicy, name: str, arguments: Mapping[str, object]) -> Answer:
        self._calls += 1
        call = Call(
            server="server", grant="grant", session="session", tool=name, arguments=arguments
        )
        return _answer(decide(policy, Holds(), Counters(), call, AT))

    def _answer_on_wire(
        self, policy: CompiledPolicy, wire_tool: str, arguments: Mapping[str, object]
    ) -> Answer:
        found = effective_tool(policy.dispatch_of(wire_tool), wire_tool, arguments)
        if not isinstance(found, EffectiveTool):
            return Answer(Effect.DENY.value, "bad_operation", found.reason, "enforce")
        answer = self._answer(policy, found.name, found.arguments)
        return Answer(answer.effect, answer.code, answer.reason, answer.mode, tool=found.name)

    def _what(self, name: str) -> str:
        before, after = meaning_of(self._old, name), meaning_of(self._new, name)
        fields = [
            field
            for field in before.__struct_fields__
            if getattr(before, field) != getattr(after, field)
        ]
        return ", ".join(field.replace("_", " ") for field in fields)


def _way(difference: Difference) -> tuple[str, ...]:
    before, after = difference.before, difference.after
    return before.effect, before.code, before.mode, after.effect, after.code, after.mode


def _answer(verdict: Verdict) -> Answer:
    return Answer(
        verdict.effect.value,
        verdict.code.value,
        verdict.reason,
        verdict.mode.value,
        verdict.retry_after_ms,
    )


def _method(policy: CompiledPolicy, method: str) -> Answer:
    if always_passes(method):
        return Answer(Effect.ALLOW.value, "", "", "")
    effect = Effect.ALLOW if passes(policy, method) else Effect.DENY
    return Answer(effect.value, "", "", policy.mode.value)


def _methods() -> Iterator[str]:
    """Names of methods without end, the likeliest first."""
    yield "resources/read"
    yield from (f"some/method_{number}" for number in count())


def _samples(glob: str) -> Iterator[str]:
    """Names that a glob stands for."""
    for filled in ("", "x", "some_name"):
        yield glob.replace("*", filled).replace("?", "a")
