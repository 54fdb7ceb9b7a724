"""Too many calls on one thing, or by one agent, against what is usual for it.

The line. A window is the `window_seconds` up to a call. It is over the line if it holds at least
`calls_min` calls that the rule speaks of, and so many would be next to impossible at the key's own
usual rate, where calls come in clusters: P(N >= observed) < `p_max` for N negative binomial (see
`negative`, and `counts` for what is usual).

One class, several rules: restarts by VM, clones by agent, refusals by agent.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Meta, Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, SECOND
from toolreeve.detect import negative
from toolreeve.detect.attempt import Attempt
from toolreeve.detect.burst import Finding, Known
from toolreeve.detect.counts import Baseline, Counts, Positive, Usual
from toolreeve.detect.describe import span_of
from toolreeve.detect.episodes import Episodes
from toolreeve.detect.seen import KEY_POINTERS, Seen, Shelf, target_of
from toolreeve.detect.telling import Line, Story, calls, told, usually, who_and_what
from toolreeve.detect.touched import Days
from toolreeve.policy.glob import matches

TOOLS_KNOWN_MAX = 10_000


class RateRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as too many. See the head of this file for the mathematics."""

    name: str
    severity: str = "critical"
    tools: tuple[str, ...] = ("*",)
    """Effective tools, as globs."""
    of: Literal["all", "refused"] = "all"
    """Which calls count: all of them, or those that the policy refused."""
    by: Literal["target", "agent"] = "agent"
    key_pointers: tuple[str, ...] = KEY_POINTERS
    window_seconds: Annotated[int, Meta(gt=0, le=86_400)] = 600
    calls_min: Positive = 5
    p_max: Annotated[float, Meta(gt=0, lt=1)] = 1e-6
    baseline: Baseline = Baseline()
    quiet_seconds: Positive = 1_800
    keys_max: Positive = 20_000
    calls_kept_max: Positive = 2_000
    """Of one key: a window of more is counted as this many."""

    def speaks_of(self, tool: str) -> bool:
        """Whether calls of an effective tool count."""
        return any(matches(pattern, tool) for pattern in self.tools)


class RateDetector:
    """Watches by one rule. Show it what is seen in the order in which it was loaded."""

    def __init__(self, rule: RateRule) -> None:
        self.rule = rule
        self._story = Story(rule=rule.name, detector="rate", severity=rule.severity)
        labels = ("server", "target", "pointer") if rule.by == "target" else ("server", "agent")
        self._episodes = Episodes(rule.name, labels, quiet_ns=rule.quiet_seconds * SECOND)
        self._counts: Shelf[tuple[str, ...], Counts[Attempt]] = Shelf(
            self._no_counts, keys_max=rule.keys_max
        )
        self._matters = lru_cache(TOOLS_KNOWN_MAX)(rule.speaks_of)
        self._days = Days(rule.baseline.days)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def memory_ns(self) -> int:
        """The baseline's days, and today."""
        window_ns = self.rule.window_seconds * SECOND
        return self._episodes.memory_ns(days=self.rule.baseline.days, window_ns=window_ns)

    def observe(self, seen: Seen) -> list[Finding]:
        """Count a call; say what it raises and what had ended before it."""
        findings = self._episodes.see(seen.at)
        if not isinstance(seen, Attempt):
            return findings
        self._days.note(seen.at // DAY)
        if (self.rule.of == "refused" and seen.admitted) or not self._matters(seen.tool):
            return findings
        key = self._key(seen)
        if key is None:
            return findings
        counts = self._counts[key]
        count = counts.add(seen.at, seen)
        findings += self._episodes.end_if_quiet(key, counts.newest)
        if count >= self.rule.calls_min:
            usual = counts.usual(first_day=self._days.first)
            if negative.tail(count, usual.mean, usual.spread) < self.rule.p_max:
                alert_id, ended = self._episodes.cross(key, counts.newest)
                findings += ended
                if alert_id is not None:
                    findings.append(self._raised(alert_id, key, counts, usual))
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        return self._episodes.advance(at)

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say."""
        self._episodes.restore(alerts)

    def held(self) -> tuple[int, int]:
        """How many keys are in memory, and how many numbers and calls of all of them."""
        return len(self._counts), sum(len(counts) for _, counts in self._counts.all())

    def _no_counts(self) -> Counts[Attempt]:
        return Counts(
            self.rule.baseline,
            window_ns=self.rule.window_seconds * SECOND,
            items_max=self.rule.calls_kept_max,
        )

    def _key(self, attempt: Attempt) -> tuple[str, ...] | None:
        if self.rule.by == "agent":
            return (attempt.server, attempt.agent)
        target = target_of(attempt, self.rule.key_pointers)
        return None if target is None else (attempt.server, target[1], target[0])

    def _raised(
        self, alert_id: str, key: tuple[str, ...], counts: Counts[Attempt], usual: Usual
    ) -> Finding:
        window = counts.window()
        labels = who_and_what(window) | self._episodes.labels(key)
        refused = "refused " if self.rule.of == "refused" else ""
        whose = f" of {labels['target']}" if self.rule.by == "target" else ""
        line = negative.threshold(
            usual.mean, usual.spread, self.rule.p_max, count_min=self.rule.calls_min
        )
        columns = {"server": labels["server"]}
        if self.rule.by == "target":
            columns[labels["pointer"]] = labels["target"]
        else:
            columns["agent"] = labels["agent"]
        return told(
            self._story,
            alert_id,
            labels=labels,
            summary=(
                f"{len(window)} {refused}calls of {labels['tool']}{whose} on {labels['server']}"
                f" within {span_of(self.rule.window_seconds)} by {labels['agent']}"
                f" ({labels['admitted']} admitted); usual: {usually(usual.mean)}"
            ),
            since=counts.since,
            at=counts.newest,
            line=Line(observed=float(len(window)), threshold=float(line), baseline=usual.mean),
            query=calls(columns, since=counts.since, at=counts.newest),
        )
