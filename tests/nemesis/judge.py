"""Whether a history keeps its promises, whatever was done to the processes that made it.

The invariants are numbered as in the fault matrix: I1 every forwarded call has a durable decision,
I2 every durable event is in the warehouse exactly once, I3 no limit is exceeded, I5 the chain and
the seals verify, I7 every caller heard something in time, I8 what is counted anywhere is the same.
"""

from collections import Counter
from pathlib import Path

import msgspec
from tests.nemesis.agents import Agents
from tests.nemesis.rig import ENFORCER, RESTARTS_MAX, Rig, wait_until

from toolreeve.audit import Decided, Effect, Event
from toolreeve.outbox import peek
from toolreeve.wire import read_events, unpack

QUIET_SECONDS_MAX = 40.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a history. The lists are empty where all is well."""

    calls: int
    answered: int
    forwarded: int
    events: int
    undecided: list[str]
    """Forwarded without an allowed decision (I1)."""
    lost: list[str]
    """Durable, or told to an agent, and not in the warehouse (I2)."""
    doubled: list[str]
    """In the warehouse, or forwarded, more than once (I2)."""
    overrun: int
    """Restarts forwarded above the limit (I3)."""
    broken: list[str]
    """What the verifier says (I5)."""
    overdue: list[str]
    """Callers that heard nothing (I7)."""
    unexplained: list[str]
    """An agent was told something else than what is on record (I8)."""

    @property
    def faults(self) -> dict[str, object]:
        """Whatever is not as it should be."""
        names = ("undecided", "lost", "doubled", "overrun", "broken", "overdue", "unexplained")
        return {name: found for name in names if (found := getattr(self, name))}


def durable(data: Path) -> list[Event]:
    """Every event that an enforcer's outbox holds."""
    groups = peek(data / "outbox")
    return [event for group in groups for event in read_events(unpack(group.payload))]


def quiet(rig: Rig) -> list[Event]:
    """Wait until everything that is durable is in the warehouse; what is durable then."""
    events: list[Event] = []

    def settled() -> bool:
        nonlocal events
        events = durable(rig.data)
        return _loaded(rig) == len(events)

    wait_until("the warehouse has what the outbox has", settled, QUIET_SECONDS_MAX)
    return events


def judge(rig: Rig, agents: list[Agents], verdict_folder: Path) -> Verdict:
    """Look at everything once nothing is under way. `agents` are all that ever called."""
    events = quiet(rig)
    decisions = {
        _name(event.body): event.body for event in events if isinstance(event.body, Decided)
    }
    rows = rig.rows("SELECT arguments['/name']::VARCHAR, effect FROM decisions")
    recorded = Counter(str(name) for name, _ in rows)
    forwarded = Counter(rig.seen.read_text().splitlines())
    answered = {name: said for each in agents for name, said in each.answered.items()}
    recordable = {name for name, said in answered.items() if said != "not_recorded"}
    restarts = sum(
        times for name, times in forwarded.items() if int(name.removeprefix("call-")) % 10 == 0
    )
    return Verdict(
        calls=sum(len(each.asked) for each in agents),
        answered=len(answered),
        forwarded=forwarded.total(),
        events=len(events),
        undecided=[
            name
            for name in forwarded
            if name not in decisions or decisions[name].effect is not Effect.ALLOW
        ],
        lost=sorted((recordable | decisions.keys()) - recorded.keys()),
        doubled=[name for counted in (recorded, forwarded) for name, n in counted.items() if n > 1],
        overrun=max(0, restarts - RESTARTS_MAX),
        broken=_verify(rig, verdict_folder),
        overdue=[name for each in agents for name in each.overdue],
        unexplained=[
            name
            for name, said in answered.items()
            if said != "not_recorded"
            and (name not in decisions or decisions[name].effect.value != said)
        ],
    )


def _loaded(rig: Rig) -> int:
    sql = (
        "SELECT coalesce(sum(last_sequence - first_sequence + 1), 0)::BIGINT FROM audit_log"
        f" WHERE enforcer = '{ENFORCER}'"
    )
    return int(rig.rows(sql)[0][0])


def _name(body: Decided) -> str:
    kept = {one.pointer: one.value_json for one in body.arguments.kept}
    return str(msgspec.json.decode(kept["/name"]))


def _verify(rig: Rig, folder: Path) -> list[str]:
    """Export the enforcer's own history and have it checked, with the key it was set up with."""
    key = (rig.data / "enforcer.pub").read_text().strip()
    made = rig.toolreeve("audit", "export", "--data", str(rig.data), "--output", str(folder))
    pinned = f"{ENFORCER}={key}"
    checked = rig.toolreeve("audit", "verify", "--export", str(folder), "--key", pinned)
    return [(done.stdout + done.stderr)[-2000:] for done in (made, checked) if done.returncode != 0]
