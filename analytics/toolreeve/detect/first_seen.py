"""What an agent does for the first time: a server, a tool, a VM, or an argument.

New is what the agent has not done on any of the last `days` days. Most of what is new is nothing:
people look at another VM now and then, and every ticket has a new number. So an agent's own habit
on that server decides. Of its `n` active days there in that time (without the first `warm_days`),
`k` brought something new of this kind, and

    P(today brings something new) = (k + 1/2) / (n + 1)

is Jeffreys' estimate of how usual that is; an alert is raised where it is below the `p_max` of the
kind. Days that raised an alert count in k: who does new things again and again is told of less.

What is new to everybody is judged with care. A tool that was offered or approved within the last
`settle_days` days is news of a release, not of an agent, and so are its new arguments. A tool that
`peers_min` other agents use, and an argument whose name any agent has used with any tool of the
server, are habits that an agent may take over. A VM that another agent has touched for the first
time today or yesterday was just made. Refused calls do nothing; `denial-spike` and `probing` are
about them. Nothing is said of an agent on a server where it was active on fewer than `warm_days`
days, nor while the detector has seen no more days than that.

One story is one alert: what is new within `quiet_seconds` after something new belongs to it.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, SECOND
from toolreeve.detect.attempt import Attempt
from toolreeve.detect.burst import Finding, Known
from toolreeve.detect.counts import Positive
from toolreeve.detect.definitions import Sighting
from toolreeve.detect.episodes import Episodes
from toolreeve.detect.rate import TOOLS_KNOWN_MAX
from toolreeve.detect.seen import KEY_POINTERS, Seen, Shelf, target_of
from toolreeve.detect.telling import Line, Story, calls, told, who_and_what
from toolreeve.detect.touched import Days, Touched
from toolreeve.policy.glob import matches

FRESH_DAYS = 1
Chance = Annotated[float, Meta(ge=0, le=1)]


class FirstSeenRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as new. See the head of this file for the mathematics. 0 turns a kind off."""

    name: str = "first-seen"
    severity: str = "warning"
    tools: tuple[str, ...] = ("*",)
    """Effective tools, as globs."""
    p_max_server: Chance = 0.2
    p_max_tool: Chance = 0.15
    p_max_target: Chance = 0.08
    p_max_argument: Chance = 0.15
    key_pointers: tuple[str, ...] = KEY_POINTERS
    days: Annotated[int, Meta(gt=0, le=60)] = 21
    warm_days: Positive = 5
    settle_days: Positive = 7
    peers_min: Positive = 3
    quiet_seconds: Positive = 3_600
    keys_max: Positive = 5_000
    things_max: Positive = 5_000
    """Of one agent and kind, and of all agents together ten times as many."""

    def p_max(self, kind: str) -> float:
        """How usual something new of a kind may be for an alert."""
        return {
            "server": self.p_max_server,
            "tool": self.p_max_tool,
            "target": self.p_max_target,
            "argument": self.p_max_argument,
        }[kind]

    def speaks_of(self, tool: str) -> bool:
        """Whether calls of an effective tool count."""
        return any(matches(pattern, tool) for pattern in self.tools)


class _Habit:
    """What an agent does on a server, on which days, and on which of them it did something new."""

    def __init__(self, rule: FirstSeenRule) -> None:
        self.active = Days(rule.days)
        self.done: dict[str, Touched] = {}
        self.new: dict[str, Days] = {}
        self._rule = rule

    def __len__(self) -> int:
        days = len(self.active) + sum(map(len, self.new.values()))
        return days + sum(map(len, self.done.values()))

    def do(self, kind: str, thing: str, day: int) -> bool:
        """Note something of a kind; whether it is new."""
        if kind not in self.done:
            self.done[kind] = Touched(self._rule.days, things_max=self._rule.things_max)
            self.new[kind] = Days(self._rule.days)
        return self.done[kind].touch(thing, day)

    def usual(self, kind: str, day: int) -> float | None:
        """How usual it is that a day brings something new; None where too few days are known.

        From then on this day is one that does.
        """
        days = self.active.before(day)
        if days < self._rule.warm_days:
            return None
        new = self.new[kind].before(day)
        self.new[kind].note(day)
        return (new + 0.5) / (days - self._rule.warm_days + 1)


class FirstSeenDetector:
    """Watches by one rule. Show it what is seen in the order in which it was loaded."""

    def __init__(self, rule: FirstSeenRule) -> None:
        self.rule = rule
        self._story = Story(rule=rule.name, detector="first-seen", severity=rule.severity)
        self._episodes = Episodes(rule.name, ("agent",), quiet_ns=rule.quiet_seconds * SECOND)
        self._habits: Shelf[tuple[str, ...], _Habit] = Shelf(
            lambda: _Habit(rule), keys_max=rule.keys_max
        )
        everybody = 10 * rule.things_max
        self._offered = Touched(rule.settle_days, things_max=everybody)
        self._targets = Touched(rule.days, things_max=everybody)
        self._arguments = Touched(rule.days, things_max=everybody)
        self._users: Shelf[str, Touched] = Shelf(
            lambda: Touched(rule.days, things_max=rule.peers_min + 1), keys_max=everybody
        )
        self._matters = lru_cache(TOOLS_KNOWN_MAX)(rule.speaks_of)
        self._days = Days(rule.days)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def memory_ns(self) -> int:
        """The days twice: what was new on the first of them was not done before it."""
        known = max(self.rule.days, self.rule.settle_days)
        return self._episodes.memory_ns(days=self.rule.days + known + 1)

    def observe(self, seen: Seen) -> list[Finding]:
        """Take in what is seen; say what it raises and what had ended before it."""
        day = seen.at // DAY
        findings = self._episodes.see(seen.at)
        if isinstance(seen, Sighting):
            self._offered.touch(f"{seen.server}\0{seen.tool}", day)
        if not isinstance(seen, Attempt) or not self._matters(seen.tool):
            return findings
        self._days.note(day)
        key = (seen.agent,)
        habits = self._habits[key], self._habits[seen.agent, seen.server]
        for habit in habits:
            habit.active.note(day)
        findings += self._episodes.end_if_quiet(key, seen.at)
        new = self._new(habits, seen, day) if seen.admitted else []
        if not new or day - self._days.first < self.rule.warm_days:
            return findings
        for kind, thing in new:
            usual = habits[kind != "server"].usual(kind, day)
            if usual is not None and usual < self.rule.p_max(kind):
                alert_id, ended = self._episodes.cross(key, seen.at)
                findings += ended
                if alert_id is not None:
                    kinds = [kind for kind, _ in new]
                    findings.append(self._raised(alert_id, seen, (kind, thing, usual), kinds))
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        return self._episodes.advance(at)

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say."""
        self._episodes.restore(alerts)

    def held(self) -> tuple[int, int]:
        """How many keys are in memory, and how many things of all of them."""
        everybody = len(self._offered) + len(self._targets) + len(self._arguments)
        everybody += sum(len(users) for _, users in self._users.all())
        return len(self._habits), everybody + sum(len(habit) for _, habit in self._habits.all())

    def _new(
        self, habits: tuple[_Habit, _Habit], attempt: Attempt, day: int
    ) -> list[tuple[str, str]]:
        """What is new to the agent, by kind; all of what it did is known from then on."""
        tool = f"{attempt.server}\0{attempt.tool}"
        things = {"server": attempt.server, "tool": tool}
        target = target_of(attempt, self.rule.key_pointers)
        fresh = False
        if target is not None and self.rule.p_max_target:
            things["target"] = f"{attempt.server}\0{target[1]}"
            since = self._targets.since(things["target"])
            fresh = since is not None and since >= day - FRESH_DAYS
            self._targets.touch(things["target"], day)
        users = self._users[tool]
        peers = users.others(attempt.agent, day)
        users.touch(attempt.agent, day)
        released = self._offered.knows(tool, day)
        excused = {
            "server": False,
            "tool": released or peers >= self.rule.peers_min,
            "target": fresh,
        }
        new = [
            (kind, thing)
            for kind, thing in things.items()
            if habits[kind != "server"].do(kind, thing, day) and not excused[kind]
        ]
        for name in attempt.names if self.rule.p_max_argument else ():
            argument = f"{tool}\0{name}"
            ordinary = not self._arguments.touch(f"{attempt.server}\0{name}", day)
            if habits[1].do("argument", argument, day) and not (released or ordinary):
                new.append(("argument", argument))
        return new

    def _raised(
        self, alert_id: str, attempt: Attempt, what: tuple[str, str, float], kinds: list[str]
    ) -> Finding:
        kind, thing, usual = what
        name = thing.rpartition("\0")[2]
        words = {
            "server": f"server {name}",
            "tool": f"tool {name} of {attempt.server}",
            "target": f"{name} on {attempt.server}",
            "argument": f"argument {name} of {attempt.tool} on {attempt.server}",
        }
        labels = who_and_what([attempt]) | {"kind": kind, "new": name, "all": ", ".join(kinds)}
        return told(
            self._story,
            alert_id,
            labels=labels,
            summary=(
                f"{attempt.agent} used {words[kind]} for the first time in {self.rule.days} days"
            ),
            since=attempt.at,
            at=attempt.at,
            line=Line(observed=1.0, threshold=1.0, baseline=usual),
            query=calls({"agent": attempt.agent}, since=attempt.at, at=attempt.at),
        )
