"""A tool or a server whose calls fail more often than they usually do.

The line. Of the `n` calls that ended in the `window_seconds` up to a failure, at least
`failures_min` failed, and so many failures would be next to impossible at the key's usual rate:
P(F >= observed) < `p_max` for F beta-binomial of n, a and b, which is what a binomial becomes where
its rate is known only from a past that varies.

Usual is what the last `days` whole days say, without the worst `trimmed_share` of those on which
there were calls, so that an outage last week does not excuse the one today. Of them k calls failed
and m did not: a = `failures_floor` + k and b = `calls_floor` + m, both scaled down to
a + b = `certainty_max` at most, as no rate stays what it was for ever.

Failures that come every week are maintenance. So where, at the same hour of the week (or at the
one before or behind it), half of `failures_min` calls or more failed in each of the two weeks
before, the better of the two is what is usual, if that is more.

A server's line asks in addition that calls of `tools_min` tools failed; while a server's alert is
open nothing is said of its tools.
"""

from collections import deque
from collections.abc import Iterable
from math import ceil, exp, lgamma
from typing import Annotated

from msgspec import Meta, Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, SECOND
from toolreeve.detect.burst import Finding, Known
from toolreeve.detect.counts import Positive, Share
from toolreeve.detect.describe import shown, span_of
from toolreeve.detect.episodes import Episodes, Key
from toolreeve.detect.seen import Ending, Seen, Shelf
from toolreeve.detect.telling import Line, Story, calls, told

WEEK_HOURS = 7 * 24


class FailureRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as failing. See the head of this file for the mathematics."""

    name: str = "failure-spike"
    severity: str = "warning"
    window_seconds: Annotated[int, Meta(gt=0, le=86_400)] = 1_800
    failures_min: Positive = 4
    tools_min: Positive = 3
    p_max: Annotated[float, Meta(gt=0, lt=1)] = 1e-5
    days: Annotated[int, Meta(gt=0, le=60)] = 14
    trimmed_share: Share = 0.25
    failures_floor: Annotated[float, Meta(gt=0)] = 0.5
    calls_floor: Annotated[float, Meta(gt=0)] = 25.0
    certainty_max: Annotated[float, Meta(gt=0)] = 200.0
    quiet_seconds: Positive = 1_800
    keys_max: Positive = 5_000
    calls_kept_max: Positive = 1_000
    """Of one key: of a window of more the newest are judged."""


class _Calls:
    """How the calls of one key ended: one by one in the window, counted by day before it."""

    def __init__(self, rule: FailureRule) -> None:
        self._rule = rule
        self._recent: deque[Ending] = deque(maxlen=rule.calls_kept_max)
        self._failed = 0
        self._days: dict[int, tuple[int, int]] = {}  # calls and failures
        self._hours: dict[int, tuple[int, int]] = {}  # the same by hour, of the last two weeks
        self._usual: tuple[int, float, float] | None = None
        self.newest = Instant(0)

    def __len__(self) -> int:
        return len(self._recent) + len(self._days) + len(self._hours)

    def add(self, ending: Ending) -> None:
        """Take in one. Where it is late it stands with the newest, but counts for its own day."""
        day = ending.at // DAY
        self.newest = max(self.newest, ending.at)
        if day not in self._days:
            oldest = self.newest // DAY - self._rule.days
            self._days = {at: n for at, n in self._days.items() if at >= oldest}
            first = self.newest // HOUR - 2 * WEEK_HOURS - 24
            self._hours = {at: n for at, n in self._hours.items() if at >= first}
        if self._usual is not None and day < self._usual[0]:
            self._usual = None
        ended, failed = self._days.get(day, (0, 0))
        self._days[day] = (ended + 1, failed + ending.failed)
        hour = ending.at // HOUR
        ended, failed = self._hours.get(hour, (0, 0))
        self._hours[hour] = (ended + 1, failed + ending.failed)
        if len(self._recent) == self._recent.maxlen:
            self._failed -= self._recent[0].failed
        self._recent.append(ending)
        self._failed += ending.failed
        since = self.newest - self._rule.window_seconds * SECOND
        while self._recent[0].at <= since and len(self._recent) > 1:
            self._failed -= self._recent.popleft().failed

    def recent(self) -> tuple[int, int]:
        """How many calls ended in the window, and how many of them failed."""
        return len(self._recent), self._failed

    def failures(self) -> list[Ending]:
        """Those that failed."""
        return [ending for ending in self._recent if ending.failed]

    def usual(self) -> tuple[float, float]:
        """a and b of the usual rate."""
        today = self.newest // DAY
        if self._usual is None or self._usual[0] != today:
            self._usual = (today, *self._look_back(today))
        _, a, b = self._usual
        before = [self._week_before(week) for week in (1, 2)]
        failed, ended = min(before)
        if 2 * failed < self._rule.failures_min:
            return a, b
        weekly = self._scaled(failed, ended - failed)
        return weekly if weekly[0] / sum(weekly) > a / (a + b) else (a, b)

    def _week_before(self, weeks: int) -> tuple[int, int]:
        """Failures and calls of the same hour so many weeks ago, or the worse one beside it."""
        hour = self.newest // HOUR - weeks * WEEK_HOURS
        counts = [self._hours.get(at, (0, 0)) for at in (hour - 1, hour, hour + 1)]
        return max((failed, ended) for ended, failed in counts)

    def _look_back(self, today: int) -> tuple[float, float]:
        rule = self._rule
        days = sorted(
            (n for day, n in self._days.items() if today - rule.days <= day < today),
            key=lambda n: (n[1] / n[0], n),
        )
        days = days[: len(days) - ceil(len(days) * rule.trimmed_share)]
        failed = sum(failed for _, failed in days)
        return self._scaled(failed, sum(ended for ended, _ in days) - failed)

    def _scaled(self, failed: int, fine: int) -> tuple[float, float]:
        a, b = self._rule.failures_floor + failed, self._rule.calls_floor + fine
        scale = min(1.0, self._rule.certainty_max / (a + b))
        return a * scale, b * scale


class FailureDetector:
    """Watches by one rule. Show it what is seen in the order in which it was loaded."""

    def __init__(self, rule: FailureRule) -> None:
        self.rule = rule
        self._story = Story(rule=rule.name, detector="failures", severity=rule.severity)
        self._episodes = Episodes(
            rule.name, ("server", "tool"), quiet_ns=rule.quiet_seconds * SECOND
        )
        self._calls: Shelf[Key, _Calls] = Shelf(lambda: _Calls(rule), keys_max=rule.keys_max)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def memory_ns(self) -> int:
        """The baseline's days, and today."""
        window_ns = self.rule.window_seconds * SECOND
        own = self._episodes.memory_ns(days=max(self.rule.days, 15), window_ns=window_ns)
        return own + self.rule.quiet_seconds * SECOND  # a server's alert keeps those of tools back

    def observe(self, seen: Seen) -> list[Finding]:
        """Count how a call ended; say what it raises and what had ended before it."""
        findings = self._episodes.see(seen.at)
        if not isinstance(seen, Ending):
            return findings
        whole: Key = (seen.server, "")
        for key in (whole, (seen.server, seen.tool)):
            ended = self._calls[key]
            ended.add(seen)
            findings += self._episodes.end_if_quiet(key, ended.newest)
            if seen.failed and (key == whole or whole not in self._episodes):
                findings += self._judge(key, ended)
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        return self._episodes.advance(at)

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say."""
        self._episodes.restore(alerts)

    def held(self) -> tuple[int, int]:
        """How many keys are in memory, and how many calls and days of all of them."""
        return len(self._calls), sum(len(ended) for _, ended in self._calls.all())

    def _judge(self, key: Key, ended: _Calls) -> list[Finding]:
        count, failed = ended.recent()
        if failed < self.rule.failures_min:
            return []
        failures = ended.failures()
        if not key[1] and len({one.tool for one in failures}) < self.rule.tools_min:
            return []
        a, b = ended.usual()
        if tail(failed, count, a, b) >= self.rule.p_max:
            return []
        alert_id, findings = self._episodes.cross(key, ended.newest)
        if alert_id is not None:
            findings.append(self._raised(alert_id, key, ended, a / (a + b)))
        return findings

    def _raised(self, alert_id: str, key: Key, ended: _Calls, usual: float) -> Finding:
        failures, (count, _) = ended.failures(), ended.recent()
        labels = self._episodes.labels(key)
        tools = shown(sorted({one.tool for one in failures}))
        labels["agent"] = shown(sorted({one.agent for one in failures}))
        labels["tools"] = tools
        since, at = min(one.at for one in failures), ended.newest
        return told(
            self._story,
            alert_id,
            labels=labels,
            summary=(
                f"{len(failures)} of {count} calls of {tools} on {labels['server']} failed within"
                f" {span_of(self.rule.window_seconds)}; usual: {usual:.1%}"
            ),
            since=since,
            at=at,
            line=Line(
                observed=len(failures) / count,
                threshold=self.rule.failures_min / count,
                baseline=usual,
            ),
            query=calls({"server": key[0], "tool": key[1]}, since=since, at=at),
        )


def tail(failed: int, count: int, a: float, b: float) -> float:
    """P(F >= failed) for F beta-binomial of `count` calls, a and b."""
    first = (
        lgamma(count + 1)
        - lgamma(failed + 1)
        - lgamma(count - failed + 1)
        + (lgamma(failed + a) + lgamma(count - failed + b) - lgamma(count + a + b))
        - (lgamma(a) + lgamma(b) - lgamma(a + b))
    )
    term = total = exp(first)
    for k in range(failed, count):
        term *= (count - k) / (k + 1) * (k + a) / (count - k - 1 + b)
        total += term
    return min(1.0, total)
