"""An agent that works at hours at which it never does.

Days are of two classes, Monday to Friday and the weekend, by UTC. Of the `n` days of today's class
since the agent was first seen (`days` at most), it was active on `k` at this hour, or at one at
most `reach_hours` away: who works until six works until nine now and then. The chance that it is
active now is estimated as

    s = (k + 1/2) / (n + 1)

which is below `p_max` where the hour is strange. That alone says little of somebody who comes and
goes at all hours, or is on call, so it is held against the agent's own past: of the N days on which
it was active, on how many was an hour as strange as this one, by the same count without that day?

    (days with a strange hour + 1/2) / (N + 1) <= strange_max

An alert needs both, and `calls_min` calls within the hour. It tells of the first hour; what follows
within `quiet_seconds` belongs to it. Nothing is said of an agent that was active on fewer than
`warm_days` days, nor where n is below `days_min`.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, SECOND
from toolreeve.detect.attempt import Attempt
from toolreeve.detect.burst import Finding, Known
from toolreeve.detect.counts import Positive
from toolreeve.detect.episodes import Episodes
from toolreeve.detect.seen import Seen, Shelf
from toolreeve.detect.telling import Line, Story, calls, told, who_and_what

HOURS_A_DAY = 24
WEEK_DAYS = 7
THURSDAY, SATURDAY = 3, 5  # counted from Monday; the days since 1970 begin on a Thursday


class HoursRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as an unusual hour. See the head of this file for the mathematics."""

    name: str = "unusual-hours"
    severity: str = "warning"
    days: Annotated[int, Meta(gt=0, le=90)] = 28
    reach_hours: Annotated[int, Meta(ge=0, le=6)] = 3
    p_max: Annotated[float, Meta(gt=0, lt=1)] = 0.105
    strange_max: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    calls_min: Positive = 4
    warm_days: Positive = 7
    days_min: Positive = 2
    quiet_seconds: Positive = 3 * 3_600
    keys_max: Positive = 5_000


class Profile:
    """When an agent was active before a day, by class of day."""

    def __init__(self, hours: Iterable[int], *, today: int, days: int, reach: int) -> None:
        self._reach = reach
        past = [hour for hour in hours if today - days <= hour // HOURS_A_DAY < today]
        self.active_days = len({hour // HOURS_A_DAY for hour in past})
        first = min(past, default=today * HOURS_A_DAY) // HOURS_A_DAY
        self._n = {False: 0, True: 0}
        for day in range(first, today):
            self._n[is_weekend(day)] += 1
        self._past = past
        near: dict[tuple[bool, int], set[int]] = {}
        for hour in past:
            day, of_day = divmod(hour, HOURS_A_DAY)
            for away in range(-reach, reach + 1):
                near.setdefault((is_weekend(day), (of_day + away) % HOURS_A_DAY), set()).add(day)
        self._k = {slot: len(found) for slot, found in near.items()}

    def days_like(self, day: int) -> int:
        """How many days of a day's class there were."""
        return self._n[is_weekend(day)]

    def chance(self, hour: int) -> float:
        """s of an hour of today."""
        day, of_day = divmod(hour, HOURS_A_DAY)
        weekend = is_weekend(day)
        return (self._k.get((weekend, of_day), 0) + 0.5) / (self._n[weekend] + 1)

    def as_strange(self, chance: float) -> float:
        """How usual a day with an hour as strange as one of this chance is."""
        strange: set[int] = set()
        for hour in self._past:
            day, of_day = divmod(hour, HOURS_A_DAY)
            weekend = is_weekend(day)
            own = (self._k[weekend, of_day] - 1 + 0.5) / (self._n[weekend] + 1)
            if own <= chance:
                strange.add(day)
        return (len(strange) + 0.5) / (self.active_days + 1)


class _Agent:
    """At which hours an agent was active, counted since 1970."""

    def __init__(self, days: int) -> None:
        self._days = days
        self.hours: dict[int, int] = {}  # hour -> calls
        self.newest = 0
        self._profile: tuple[int, Profile] | None = None
        self.judged: tuple[int, float | None] = (-1, None)  # an hour, and its chance if strange

    def add(self, hour: int) -> int:
        """Take in a call; how many its hour holds now."""
        if hour > self.newest:
            oldest = (hour // HOURS_A_DAY - self._days) * HOURS_A_DAY
            if self.hours and min(self.hours) < oldest:
                self.hours = {at: n for at, n in self.hours.items() if at >= oldest}
            self.newest = hour
        elif hour not in self.hours:
            self._profile = None
        self.hours[hour] = self.hours.get(hour, 0) + 1
        return self.hours[hour]

    def profile(self, today: int, *, reach: int) -> Profile:
        """When it was active before today."""
        if self._profile is None or self._profile[0] != today:
            profile = Profile(self.hours, today=today, days=self._days, reach=reach)
            self._profile = (today, profile)
        return self._profile[1]


class HoursDetector:
    """Watches by one rule. Show it what is seen in the order in which it was loaded."""

    def __init__(self, rule: HoursRule) -> None:
        self.rule = rule
        self._story = Story(rule=rule.name, detector="hours", severity=rule.severity)
        self._episodes = Episodes(rule.name, ("agent",), quiet_ns=rule.quiet_seconds * SECOND)
        self._agents: Shelf[str, _Agent] = Shelf(lambda: _Agent(rule.days), keys_max=rule.keys_max)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def memory_ns(self) -> int:
        """The days, and today."""
        return self._episodes.memory_ns(days=self.rule.days)

    def observe(self, seen: Seen) -> list[Finding]:
        """Count a call; say what it raises and what had ended before it."""
        findings = self._episodes.see(seen.at)
        if not isinstance(seen, Attempt):
            return findings
        key = (seen.agent,)
        agent = self._agents[seen.agent]
        hour = seen.at // HOUR
        count = agent.add(hour)
        findings += self._episodes.end_if_quiet(key, seen.at)
        if count < self.rule.calls_min:
            return findings
        chance = self._strange(agent, hour)
        if chance is not None:
            alert_id, ended = self._episodes.cross(key, seen.at)
            findings += ended
            if alert_id is not None:
                findings.append(self._raised(alert_id, seen, count, chance))
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        return self._episodes.advance(at)

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say."""
        self._episodes.restore(alerts)

    def held(self) -> tuple[int, int]:
        """How many agents are in memory, and how many hours of all of them."""
        return len(self._agents), sum(len(agent.hours) for _, agent in self._agents.all())

    def _strange(self, agent: _Agent, hour: int) -> float | None:
        """The chance of an hour that is strange enough; None where it is not."""
        if agent.judged[0] != hour:
            agent.judged = (hour, self._judge(agent, hour))
        return agent.judged[1]

    def _judge(self, agent: _Agent, hour: int) -> float | None:
        today = hour // HOURS_A_DAY
        profile = agent.profile(today, reach=self.rule.reach_hours)
        if profile.active_days < self.rule.warm_days:
            return None
        if profile.days_like(today) < self.rule.days_min:
            return None
        chance = profile.chance(hour)
        if chance >= self.rule.p_max or profile.as_strange(chance) > self.rule.strange_max:
            return None
        return chance

    def _raised(self, alert_id: str, call: Attempt, count: int, chance: float) -> Finding:
        of_day = call.at // HOUR % HOURS_A_DAY
        day = "a weekend" if is_weekend(call.at // DAY) else "a working day"
        since = Instant(call.at // HOUR * HOUR)
        return told(
            self._story,
            alert_id,
            labels=who_and_what([call]) | {"hour": f"{of_day:02d}:00", "attempts": str(count)},
            summary=(
                f"{call.agent} is active at {of_day:02d}:00 UTC on {day}, which it hardly ever is"
                f" (about one such day in {round(1 / chance)})"
            ),
            since=since,
            at=call.at,
            line=Line(observed=float(count), threshold=float(self.rule.calls_min), baseline=chance),
            query=calls({"agent": call.agent}, since=since, at=call.at),
        )


def is_weekend(day: int) -> bool:
    """Whether a day, counted since 1970, is a Saturday or a Sunday."""
    return (day + THURSDAY) % WEEK_DAYS >= SATURDAY
