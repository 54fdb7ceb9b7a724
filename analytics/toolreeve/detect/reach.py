"""One agent that touches unusually many things it never touched: VMs (fan-out), or tools that the
policy refuses it (probing).

What is counted are first touches: calls whose thing the agent has not touched on any of the last
`baseline.days` days. An agent that reads every VM every night touches none for the first time.

The line. A window of `window_seconds` holds first touches of at least `things_min` things, and so
many would be next to impossible at the agent's own usual rate of first touches (see `negative`,
and `counts` for what is usual). Nothing is said of an agent before it was active on `warm_days`
days, as everything is new to it; nor of anybody while the detector has seen no more days than that.

Things that somebody else brought forth today or yesterday are no first touches: where twenty VMs
are new, an agent that reads all VMs has twenty more to read.
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
from toolreeve.detect.describe import shown, span_of
from toolreeve.detect.episodes import Episodes
from toolreeve.detect.rate import TOOLS_KNOWN_MAX
from toolreeve.detect.seen import KEY_POINTERS, Seen, Shelf, target_of
from toolreeve.detect.telling import Line, Story, calls, told, usually, who_and_what
from toolreeve.detect.touched import Days, Touched
from toolreeve.policy.glob import matches

FRESH_DAYS = 1


class ReachRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as reaching too far. See the head of this file for the mathematics."""

    name: str
    severity: str = "critical"
    tools: tuple[str, ...] = ("*",)
    """Effective tools, as globs."""
    of: Literal["targets", "refused tools"] = "targets"
    key_pointers: tuple[str, ...] = KEY_POINTERS
    window_seconds: Annotated[int, Meta(gt=0, le=86_400)] = 600
    things_min: Positive = 10
    p_max: Annotated[float, Meta(gt=0, lt=1)] = 1e-6
    baseline: Baseline = Baseline()
    warm_days: Positive = 3
    quiet_seconds: Positive = 1_800
    keys_max: Positive = 5_000
    things_max: Positive = 5_000
    """Of one agent, and of one server: what was not touched for the longest goes first."""

    def speaks_of(self, tool: str) -> bool:
        """Whether calls of an effective tool count."""
        return any(matches(pattern, tool) for pattern in self.tools)


class _Agent:
    """What an agent has touched, and when it did for the first time."""

    def __init__(self, rule: ReachRule) -> None:
        self.touched = Touched(rule.baseline.days, things_max=rule.things_max)
        self.active = Days(rule.baseline.days)
        self.counts: Counts[Attempt] = Counts(
            rule.baseline,
            window_ns=rule.window_seconds * SECOND,
            items_max=rule.things_max,
        )


class ReachDetector:
    """Watches by one rule. Show it what is seen in the order in which it was loaded."""

    def __init__(self, rule: ReachRule) -> None:
        self.rule = rule
        self._story = Story(rule=rule.name, detector="reach", severity=rule.severity)
        self._episodes = Episodes(
            rule.name, ("server", "agent"), quiet_ns=rule.quiet_seconds * SECOND
        )
        self._agents: Shelf[tuple[str, ...], _Agent] = Shelf(
            lambda: _Agent(rule), keys_max=rule.keys_max
        )
        self._fleet: Shelf[str, Touched] = Shelf(
            lambda: Touched(rule.baseline.days, things_max=rule.things_max),
            keys_max=rule.keys_max,
        )
        self._matters = lru_cache(TOOLS_KNOWN_MAX)(rule.speaks_of)
        self._days = Days(rule.baseline.days)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def memory_ns(self) -> int:
        """The baseline's days twice: what was new on its first day was not touched before it."""
        window_ns = self.rule.window_seconds * SECOND
        return self._episodes.memory_ns(days=2 * self.rule.baseline.days + 1, window_ns=window_ns)

    def observe(self, seen: Seen) -> list[Finding]:
        """Take in a call; say what it raises and what had ended before it."""
        findings = self._episodes.see(seen.at)
        if not isinstance(seen, Attempt):
            return findings
        self._days.note(seen.at // DAY)
        key = (seen.server, seen.agent)
        agent = self._agents[key]
        day = seen.at // DAY
        agent.active.note(day)
        findings += self._episodes.end_if_quiet(key, seen.at)
        thing = self._thing(seen)
        if thing is None or not self._is_first(seen.server, agent, thing, day):
            return findings
        count = agent.counts.add(seen.at, seen)
        if count >= self.rule.things_min and self._is_warm(agent, day):
            usual = agent.counts.usual(first_day=self._days.first)
            if negative.tail(count, usual.mean, usual.spread) < self.rule.p_max:
                alert_id, ended = self._episodes.cross(key, agent.counts.newest)
                findings += ended
                if alert_id is not None:
                    findings.append(self._raised(alert_id, key, agent.counts, usual))
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        return self._episodes.advance(at)

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say."""
        self._episodes.restore(alerts)

    def held(self) -> tuple[int, int]:
        """How many keys are in memory, and how many numbers and things of all of them."""
        things = sum(
            len(agent.touched) + len(agent.active) + len(agent.counts)
            for _, agent in self._agents.all()
        )
        return len(self._agents), things + sum(len(fleet) for _, fleet in self._fleet.all())

    def _thing(self, attempt: Attempt) -> str | None:
        if not self._matters(attempt.tool):
            return None
        if self.rule.of == "refused tools":
            return None if attempt.admitted else attempt.tool
        target = target_of(attempt, self.rule.key_pointers)
        return None if target is None else target[1]

    def _is_first(self, server: str, agent: _Agent, thing: str, day: int) -> bool:
        """Whether an agent touches a thing for the first time, which is no news to the others."""
        new = agent.touched.touch(thing, day)
        if self.rule.of == "refused tools":
            return new
        fleet = self._fleet[server]
        since = fleet.since(thing)
        fleet.touch(thing, day)
        return new and (since is None or since < day - FRESH_DAYS)

    def _is_warm(self, agent: _Agent, day: int) -> bool:
        warm = self.rule.warm_days
        return day - self._days.first >= warm and agent.active.before(day) >= warm

    def _raised(
        self, alert_id: str, key: tuple[str, ...], counts: Counts[Attempt], usual: Usual
    ) -> Finding:
        window = counts.window()
        labels = who_and_what(window) | self._episodes.labels(key)
        things = [thing for call in window if (thing := self._thing(call)) is not None]
        labels["things"] = shown(sorted(things))
        line = negative.threshold(
            usual.mean, usual.spread, self.rule.p_max, count_min=self.rule.things_min
        )
        what = "VMs" if self.rule.of == "targets" else "refused tools"
        return told(
            self._story,
            alert_id,
            labels=labels,
            summary=(
                f"{labels['agent']} touched {len(window)} {what} on {labels['server']} for the"
                f" first time within {span_of(self.rule.window_seconds)}: {labels['things']};"
                f" usual: {usually(usual.mean)}"
            ),
            since=counts.since,
            at=counts.newest,
            line=Line(observed=float(len(window)), threshold=float(line), baseline=usual.mean),
            query=calls(
                {"server": labels["server"], "agent": labels["agent"]},
                since=counts.since,
                at=counts.newest,
            ),
        )
