"""What must hold after every history, whatever happened in it: I1 to I8 of the design.

I1 every forwarded call has a durable decision in its enforcer's chain · I2 every event that was
durable is in the warehouse exactly once after quiescence · I3 no window holds more forwarded calls
than its limit · I4 what an enforcer says it holds is not forwarded by it · I5 chains and seals
verify, and tampering is found · I6 nothing unauthenticated has an effect · I7 every client gets an
answer or a closed connection in time · I8 counters, events and rows agree.

What a disk has lost of closed segments is excused exactly as far as the enforcer has reported it.
"""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tests.simulation.edge import LIMITS, PUBLIC_KEY

from toolreeve.audit import Body, Completed, Decided, Effect, OutboxDamaged, Position
from toolreeve.audit.verify import Evidence, Run, Trail, seams
from toolreeve.audit.vouching import Vouching

if TYPE_CHECKING:
    from tests.simulation.world import World

Place = tuple[str, int, int]


def check(world: "World", *, at_rest: bool) -> None:
    """Put every violation into the history."""
    found = _Checker(world)
    if not at_rest:
        world.history.violate("I2", "the fleet does not come to rest")
    found.forwarded_calls_are_on_record()
    found.what_was_promised_is_there_once()
    found.limits_hold()
    found.holds_hold()
    found.the_trail_verifies()
    found.tampering_is_found()
    found.nobody_forges()
    found.everybody_is_answered()
    found.counters_are_events_are_rows()


class _Checker:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._history = world.history
        self._tables = world.worker.tables
        self._events = {place: event for place, (event, _, _) in self._tables.events.items()}
        self._damages: dict[str, list[tuple[Position | None, Position | None]]] = defaultdict(list)
        for event in self._events.values():
            if isinstance(event.body, OutboxDamaged):
                for lost in event.body.lost:
                    self._damages[event.enforcer].append((lost.after, lost.before))

    def forwarded_calls_are_on_record(self) -> None:
        allowed = {
            (event.enforcer, event.body.request_id)
            for event in self._events.values()
            if isinstance(event.body, Decided) and event.body.effect is Effect.ALLOW
        }
        lost = {
            (name, draft.body.request_id)
            for (name, position), draft in self._history.told.items()
            if isinstance(draft.body, Decided) and self._excused(name, position)
        }
        for call in self._history.received:
            if (call.enforcer, call.request_id) not in allowed | lost:
                self._violate("I1", f"{call.enforcer} forwarded {call.request_id} off the record")

    def what_was_promised_is_there_once(self) -> None:
        for (name, position), draft in self._history.told.items():
            event = self._events.get((name, position.epoch, position.sequence))
            if event is None:
                if not self._excused(name, position):
                    self._violate("I2", f"{name} {position} is lost: {type(draft.body).__name__}")
            elif (event.at, _as_told(event.body)) != (draft.at, draft.body):
                self._violate("I2", f"{name} {position} is something else than was promised")
        for place, count in self._tables.rows.items():
            if count != 1:
                self._violate("I2", f"{place} stands there {count} times")
        for name, lost in self._damages.items():
            if lost and name not in self._history.flipped:
                self._violate("I2", f"{name} says that it lost something, and its disk did nothing")
        for run in self._runs():
            before = Position(run.epoch, run.first_sequence - 1)
            if run.first_sequence != 1 and not self._excused(run.enforcer, before):
                self._violate("I2", f"something is missing before {run.name}")

    def limits_hold(self) -> None:
        decided: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        by_id = {
            (event.enforcer, event.body.request_id): event
            for event in self._events.values()
            if isinstance(event.body, Decided)
        }
        for call in self._history.received:
            event = by_id.get((call.enforcer, call.request_id))
            if event is None or self._excused(call.enforcer, Position(event.epoch, event.sequence)):
                continue  # an enforcer cannot count what its disk has lost
            if call.tool in LIMITS:
                owner = call.grant if call.tool == "vm_restart" else ""
                own_clock = self._history.set_forward
                when = event.at / 1e9 if own_clock else call.decided
                decided[(call.enforcer, call.tool, owner)].append(when)
        for (name, tool, owner), times in decided.items():
            most, window = LIMITS[tool]
            times.sort()
            for early, late in zip(times, times[most:], strict=False):
                if late - early < window - 1e-6:
                    self._violate(
                        "I3", f"{name} let more than {most} {tool} of {owner!r} through at {late}"
                    )

    def holds_hold(self) -> None:
        for call in self._history.received:
            if call.held:
                self._violate("I4", f"{call.enforcer} forwarded {call.request_id}: {call.held}")

    def the_trail_verifies(self) -> None:
        runs = self._runs()
        for finding in seams(runs):
            name = finding.event.rsplit(":", 2)[0]
            if not self._damages[name]:
                self._violate("I5", f"{finding}")
        trail = Trail(runs)
        vouching = Vouching(lambda key, _signature, _text: key == PUBLIC_KEY, {})
        for evidence in self._evidence():
            for finding in trail.take(evidence):
                self._violate("I5", f"{finding}")
            place = (evidence.enforcer, evidence.epoch, evidence.sequence)
            for finding in vouching.take(evidence, self._events[place].body):
                self._violate("I5", f"{finding}")
        for finding in trail.finish():
            self._violate("I5", f"{finding}")
        for anomaly in self._tables.anomalies:
            if anomaly.startswith(("fork", "overlap", "poison")):
                self._violate("I5", anomaly)

    def tampering_is_found(self) -> None:
        """Somebody who has the export edits, removes or swaps one event of it."""
        chance = self._world.chance
        evidence = list(self._evidence())
        if len(evidence) < 4:
            return
        index = chance.randrange(len(evidence) - 1)
        match chance.choice(["edit", "remove", "swap"]):
            case "edit":
                one = evidence[index]
                raw = bytes([one.raw[0] ^ 1]) + one.raw[1:]
                evidence[index] = _with(one, raw)
            case "remove":
                del evidence[index]
            case _:
                evidence[index], evidence[index + 1] = evidence[index + 1], evidence[index]
        trail = Trail(self._runs())
        findings = [finding for one in evidence for finding in trail.take(one)]
        if not [*findings, *trail.finish()]:
            self._violate("I5", f"nobody noticed what was done to event {index}")

    def nobody_forges(self) -> None:
        for call in self._history.received:
            if not call.authorised:
                self._violate("I6", f"{call.enforcer} forwarded {call.request_id} of a stranger")
        for what in self._history.intruders:
            self._violate("I6", what)

    def everybody_is_answered(self) -> None:
        for heard in self._history.heard:
            if heard.answer is None:
                self._violate("I7", f"{heard.request_id} heard nothing for {heard.seconds:.0f} s")

    def counters_are_events_are_rows(self) -> None:
        if len(self._tables.rows) != len(self._events):
            self._violate("I8", f"{len(self._tables.rows)} rows, {len(self._events)} events")
        decisions: Counter[tuple[str, int, Effect]] = Counter(
            (event.enforcer, event.epoch, event.body.effect)
            for event in self._events.values()
            if isinstance(event.body, Decided)
        )
        for edge in self._world.edges:
            if edge.opened is None:
                continue
            epoch, tally = edge.opened.epoch, edge.opened.tally
            counted = (tally.allowed, tally.denied)
            rows = tuple(
                decisions[edge.name, epoch, effect] for effect in (Effect.ALLOW, Effect.DENY)
            )
            if counted != rows:
                self._violate("I8", f"{edge.name} counted {counted}, the tables have {rows}")
        endings = Counter(
            event.body.decision_id
            for event in self._events.values()
            if isinstance(event.body, Completed)
        )
        newest = dict(sorted(self._tables.epochs))
        for event in self._events.values():
            over = event.epoch < newest[event.enforcer] and not self._damages[event.enforcer]
            allowed = isinstance(event.body, Decided) and event.body.effect is Effect.ALLOW
            if over and allowed and event.id not in endings.keys() | self._history.unwritten:
                self._violate("I8", f"{event.id} has never ended")
        for decision, count in endings.items():
            if count > 1 and not self._damages[decision.rsplit(":", 2)[0]]:
                self._violate("I8", f"{decision} has ended {count} times")

    def _runs(self) -> list[Run]:
        return [
            Run(
                enforcer=name,
                epoch=epoch,
                first_sequence=run.first,
                last_sequence=run.last,
                head_before=run.previous_hash,
                head_after=run.head,
            )
            for (name, epoch), loaded in sorted(self._tables.epochs.items())
            for run in loaded.runs
        ]

    def _evidence(self) -> list[Evidence]:
        return [
            Evidence(
                enforcer=name, epoch=epoch, sequence=sequence, raw=raw, head=head, faithful=True
            )
            for (name, epoch, sequence), (_, raw, head) in sorted(self._tables.events.items())
        ]

    def _excused(self, name: str, position: Position) -> bool:
        """Whether the enforcer has reported that this is lost."""
        return any(
            (after is None or after < position) and (before is None or position < before)
            for after, before in self._damages[name]
        )

    def _violate(self, invariant: str, what: str) -> None:
        self._history.violate(invariant, what)


def _with(one: Evidence, raw: bytes) -> Evidence:
    return Evidence(
        enforcer=one.enforcer,
        epoch=one.epoch,
        sequence=one.sequence,
        raw=raw,
        head=one.head,
        faithful=True,
    )


def _as_told(body: Body) -> Body:
    """A body as it was before it was packed, when it had all its details and no commitment."""
    if not isinstance(body, Decided):
        return body
    return replace(body, arguments=replace(body.arguments, commitment=b""))
