"""An agent that does more and more: evidence of a lasting change of its volume.

Of each agent are kept the calls of each day. A day is compared with the days of its class (Monday
to Friday, or the weekend, by UTC) that lie more than `carry_days` and at most `days` further back,
so that a change does not become its own baseline; days without calls are leave and say nothing.
Their median m and the spread s of their logarithms (by the median absolute deviation, less what
Poisson explains, `spread_min` at least, and wider where days are few) make the null hypothesis: the
day's calls X are negative binomial with mean m and spread s (see `negative`). Half of the days must
change before m and s do.

The evidence of a day that there are d times as many calls is the likelihood ratio

    e_d(X) = P(X | d m, s) / P(X | m, s)

whose mean under the null is 1. A change begins on some day, nobody knows on which nor how large it
is, so the evidence is the most that any of the last `carry_days` would have as a beginning, of
the product of its days' ratios, in the mean over the `CHANGES`: a CUSUM of e-values. Where the null
holds it crosses 1 / `alpha` once in 1 / `alpha` days or more seldom (Shin, Ramdas and Rinaldo,
"E-detectors", 2023). m and s are estimates, so this is a guide and not a bound: see the measured
figures. As the ratios grow with X, the line can be crossed in the middle of the day.

An alert is over `quiet_seconds` after the last call over the line.
"""

from collections.abc import Iterable
from functools import partial
from math import exp, log
from statistics import median
from typing import Annotated

from msgspec import Meta, Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, SECOND
from toolreeve.detect.attempt import Attempt
from toolreeve.detect.burst import Finding, Known
from toolreeve.detect.counts import Positive
from toolreeve.detect.episodes import Episodes
from toolreeve.detect.hours import is_weekend
from toolreeve.detect.seen import Seen, Shelf
from toolreeve.detect.telling import Line, Story, calls, told

CHANGES = (1.5, 2.0, 3.0, 5.0)
"""As many times the calls that an agent used to make."""
MAD_OF_NORMAL = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


class VolumeRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as more than before. See the head of this file for the mathematics."""

    name: str = "volume-drift"
    severity: str = "warning"
    days: Annotated[int, Meta(gt=0, le=60)] = 28
    days_min: Positive = 5
    carry_days: Annotated[int, Meta(gt=0, le=30)] = 7
    calls_min: Positive = 10
    """What an agent makes on a usual day; nothing is said of one that makes fewer."""
    spread_min: Annotated[float, Meta(gt=0)] = 0.1
    alpha: Annotated[float, Meta(gt=0, lt=1)] = 1e-4
    quiet_seconds: Positive = 3 * 86_400
    keys_max: Positive = 5_000


class Ordinary(Struct, frozen=True):
    """What an agent makes on a day of some class."""

    mean: float
    spread: float

    def evidence(self, calls: int, change: float) -> float:
        """The logarithm of a day's likelihood ratio for `change` times as many calls."""
        r = 1 / self.spread
        more, before = change * self.mean, self.mean
        shared = log(r + more) - log(r + before)
        return calls * (log(change) - shared) - r * shared


class _Agent:
    """An agent's calls by day, and the line of the day on which it was active last."""

    def __init__(self) -> None:
        self.days: dict[int, int] = {}
        self.line: tuple[int, int, Ordinary] | None = None  # day, calls, what is usual
        self.newest = -1


class VolumeDetector:
    """Watches by one rule. Show it what is seen in the order in which it was loaded."""

    def __init__(self, rule: VolumeRule) -> None:
        self.rule = rule
        self._story = Story(rule=rule.name, detector="volume", severity=rule.severity)
        self._episodes = Episodes(rule.name, ("agent",), quiet_ns=rule.quiet_seconds * SECOND)
        self._agents: Shelf[str, _Agent] = Shelf(_Agent, keys_max=rule.keys_max)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def memory_ns(self) -> int:
        """The days that are compared with, and those whose evidence is carried."""
        return self._episodes.memory_ns(days=self.rule.days + 2 * self.rule.carry_days + 1)

    def observe(self, seen: Seen) -> list[Finding]:
        """Count a call; say what it raises and what had ended before it."""
        findings = self._episodes.see(seen.at)
        if not isinstance(seen, Attempt):
            return findings
        agent, day = self._agents[seen.agent], seen.at // DAY
        calls_today = agent.days[day] = agent.days.get(day, 0) + 1
        if day > agent.newest:
            agent.newest = day
            oldest = day - self.rule.days - 2 * self.rule.carry_days
            agent.days = {at: n for at, n in agent.days.items() if at >= oldest}
            agent.line = self._line(agent, day)
        key = (seen.agent,)
        findings += self._episodes.end_if_quiet(key, seen.at)
        if agent.line is None or day != agent.line[0] or calls_today < agent.line[1]:
            return findings
        alert_id, ended = self._episodes.cross(key, seen.at)
        findings += ended
        if alert_id is not None:
            _, line, usual = agent.line
            findings.append(self._raised(alert_id, seen, agent, line, usual))
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        return self._episodes.advance(at)

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say."""
        self._episodes.restore(alerts)

    def held(self) -> tuple[int, int]:
        """How many agents are in memory, and how many days of all of them."""
        return len(self._agents), sum(len(agent.days) for _, agent in self._agents.all())

    def _usual(self, agent: _Agent, day: int) -> Ordinary | None:
        rule = self.rule
        newest, oldest = day - rule.carry_days, day - rule.carry_days - rule.days
        past = [
            calls
            for at, calls in agent.days.items()
            if oldest <= at < newest and is_weekend(at) is is_weekend(day)
        ]
        if len(past) < rule.days_min or (mean := float(median(past))) < rule.calls_min:
            return None
        away = median(abs(log(calls) - log(mean)) for calls in past)
        spread = (MAD_OF_NORMAL * away) ** 2 * (1 + 8 / len(past)) - 1 / mean
        return Ordinary(mean, max(rule.spread_min, spread))

    def _line(self, agent: _Agent, day: int) -> tuple[int, int, Ordinary] | None:
        """How many calls of a day are evidence enough, given the days before it."""
        usual = self._usual(agent, day)
        if usual is None:
            return None
        carried = {change: self._carried(agent, day, change) for change in CHANGES}
        enough = partial(self._is_enough, usual, carried)
        low = high = max(1, int(usual.mean))
        while not enough(high):
            low, high = high + 1, high * 2
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle + 1, high)
        return (day, high, usual)

    def _carried(self, agent: _Agent, day: int, change: float) -> float:
        """The most evidence that the days before bring with them, 0 where it is best to forget."""
        total = best = 0.0
        for at in range(day - 1, day - self.rule.carry_days - 1, -1):
            calls = agent.days.get(at, 0)
            usual = self._usual(agent, at) if calls else None
            if usual is not None:
                total += usual.evidence(calls, change)
                best = max(best, total)
        return best

    def _is_enough(self, usual: Ordinary, carried: dict[float, float], calls: int) -> bool:
        grown = [so_far + usual.evidence(calls, change) for change, so_far in carried.items()]
        most = max(grown)
        money = most + log(sum(exp(one - most) for one in grown) / len(grown))
        return money >= -log(self.rule.alpha)

    def _raised(
        self, alert_id: str, call: Attempt, agent: _Agent, line: int, usual: Ordinary
    ) -> Finding:
        day = call.at // DAY
        now = agent.days[day]
        begin = Instant(day * DAY)
        last = [agent.days.get(at, 0) for at in range(day - 6, day + 1)]
        return told(
            self._story,
            alert_id,
            labels={"agent": call.agent, "days": " ".join(map(str, last))},
            summary=(
                f"{call.agent} makes more calls than it used to: {now} today so far,"
                f" {usual.mean:.0f} on a usual day; the last seven: {', '.join(map(str, last))}"
            ),
            since=begin,
            at=call.at,
            line=Line(observed=float(now), threshold=float(line), baseline=usual.mean),
            query=calls({"agent": call.agent}, since=begin, at=call.at),
        )
