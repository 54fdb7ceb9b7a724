"""How one call is decided: everything that is looked at, in order, with what it found.

The steps are those of `decide`, made with the same compiled rules and the same counters, and the
verdict is `decide`'s own. What was looked at last is what settled it; what would have come after
is not looked at, here as there.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from toolreeve.decision.call import Call, EffectiveTool, NamelessCall, effective_tool
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.conditions import CompiledClause, Kind, Truth
from toolreeve.decision.counters import BadAmount
from toolreeve.decision.decide import decide
from toolreeve.decision.hold import Holds
from toolreeve.decision.instant import Instant
from toolreeve.decision.look import (
    Look,
    Stage,
    approval_look,
    arguments_look,
    condition_look,
    hide_looks,
    hold_look,
    limit_look,
    mode_look,
    pin_look,
    rule_looks,
)
from toolreeve.decision.misfits import misfits
from toolreeve.decision.open_counters import OpenCounters
from toolreeve.decision.rule import CompiledRule
from toolreeve.decision.verdict import Code, Effect, Verdict
from toolreeve.policy import Action, Pinning, write_pointer


class Asked(Struct, frozen=True, kw_only=True):
    """A call as someone asks about it: by its name on the wire, or by the effective tool's.

    `unapproved` is as in a `Call`.
    """

    server: str = "server"
    grant: str = "local"
    session: str = ""
    tool: str
    on_the_wire: bool = True
    arguments: Mapping[str, object]
    unapproved: str = ""


class Explanation(Struct, frozen=True, kw_only=True):
    """What was looked at, and what came of it. `tool` is the effective tool."""

    tool: str
    arguments: Mapping[str, object]
    looks: tuple[Look, ...]
    verdict: Verdict


def explain(
    policy: CompiledPolicy | None, holds: Holds, counters: OpenCounters, asked: Asked, at: Instant
) -> Explanation:
    """Decide a call and tell how. An allowed call has been counted, as by `decide`."""
    looks: list[Look] = []
    tool, arguments = asked.tool, asked.arguments
    if asked.on_the_wire:
        found, look = _dispatched(policy, asked)
        looks.append(look)
        if isinstance(found, NamelessCall):
            refused = Verdict(effect=Effect.DENY, code=Code.BAD_OPERATION, reason=found.reason)
            return Explanation(tool=tool, arguments=arguments, looks=tuple(looks), verdict=refused)
        tool, arguments = found.name, found.arguments
    call = Call(
        server=asked.server,
        grant=asked.grant,
        session=asked.session,
        tool=tool,
        arguments=arguments,
        unapproved=asked.unapproved,
    )
    looks += _looks(policy, holds, counters, call, at)
    verdict = decide(policy, holds, counters, call, at)
    if policy is not None and verdict.code not in {Code.HELD, Code.NO_POLICY}:
        looks.append(mode_look(policy, verdict, tool))
    return Explanation(tool=tool, arguments=arguments, looks=tuple(looks), verdict=verdict)


def settled_by(explanation: Explanation) -> Look | None:
    """What made the verdict a refusal; None where nothing did."""
    settled = (look for look in explanation.looks if look.code is not None)
    return next(settled, None)


def _dispatched(
    policy: CompiledPolicy | None, asked: Asked
) -> tuple[EffectiveTool | NamelessCall, Look]:
    dispatch = None if policy is None else policy.dispatch_of(asked.tool)
    found = effective_tool(dispatch, asked.tool, asked.arguments)
    if dispatch is None:
        return found, Look(stage=Stage.DISPATCH, finding=f"none for {asked.tool}: it is what it is")
    pointer = write_pointer(["dispatch", asked.tool])
    if isinstance(found, NamelessCall):
        look = Look(
            stage=Stage.DISPATCH,
            pointer=pointer,
            finding=found.reason,
            speaks_against=True,
            code=Code.BAD_OPERATION,
        )
        return found, look
    if found.name == asked.tool:
        finding = f"nothing stands at {dispatch.name}: the call means {asked.tool} itself"
    else:
        finding = f"{dispatch.name} makes it {found.name}, with the arguments at "
        finding += dispatch.arguments or "the top"
    return found, Look(stage=Stage.DISPATCH, pointer=pointer, finding=finding)


def _looks(
    policy: CompiledPolicy | None, holds: Holds, counters: OpenCounters, call: Call, at: Instant
) -> Iterator[Look]:
    """Everything that `decide` looks at; ends with what settles the verdict."""
    stopping = holds.stopping(call, at)
    for _, hold in sorted(holds.by_id.items()):
        yield hold_look(hold, stops=hold is stopping)
        if hold is stopping:
            return
    if policy is None:
        finding = "no policy is in force"
        yield Look(stage=Stage.RULE, finding=finding, speaks_against=True, code=Code.NO_POLICY)
        return
    for look in hide_looks(policy, call.tool):
        yield look
        if look.code is not None:
            return
    rule = policy.rule_for(call.tool)
    yield from rule_looks(policy, call.tool, rule)
    if rule is None or rule.action is Action.DENY:
        return
    if policy.policy.pin is Pinning.ENFORCE:
        yield pin_look(approved=True, why="the tool's definition is taken for approved here")
    for look in _by_rule(rule, counters, call, at):
        yield look
        if look.code is not None:
            return


def _by_rule(rule: CompiledRule, counters: OpenCounters, call: Call, at: Instant) -> Iterator[Look]:
    if rule.fits is not None and rule.rule is not None and rule.rule.arguments is not None:
        fits = rule.fits(call.arguments)
        found = () if fits else misfits(rule.rule.arguments, call.arguments)
        yield arguments_look(rule.pointer, found)
    for compiled in rule.require:
        yield from _clause(compiled, Kind.REQUIRE, call)
    for compiled in rule.deny_if:
        yield from _clause(compiled, Kind.DENY_IF, call)
    if rule.action is Action.REQUIRE_APPROVAL:
        yield approval_look(rule)
    yield from _limits(rule, counters, call, at)


def _clause(compiled: CompiledClause, kind: Kind, call: Call) -> Iterator[Look]:
    """Each condition that is looked at. The last of them settles what the clause does."""
    last = len(compiled.conditions) - 1
    for place, one in enumerate(compiled.conditions):
        truth = one.test(call.arguments)
        yield condition_look(one, kind, call.arguments, truth, is_last=place == last)
        if truth is not Truth.HOLDS:
            return


def _limits(rule: CompiledRule, counters: OpenCounters, call: Call, at: Instant) -> Iterator[Look]:
    seen: set[str] = set()
    for prepared in rule.limits:
        found = counters.look(prepared, call, at)
        if prepared.limit.counter in seen and not isinstance(found, BadAmount):
            finding = f"{prepared.limit.counter} counts a call once: see above"
            yield Look(stage=Stage.LIMIT, pointer=prepared.limit.pointer, finding=finding)
        else:
            counted = counters.counted(prepared, call, at)
            yield limit_look(prepared.limit, found, counted, at)
        seen.add(prepared.limit.counter)
