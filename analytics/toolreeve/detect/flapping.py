"""One VM that is switched off and on again and again.

What is counted are turns: calls that change what the calls before have made of the VM, from running
to stopped or from stopped to running. A restart of a running VM is two. Calls that ask for what is
there already are none, and so are refused ones.

The line. A window of `window_seconds` holds at least `turns_min` turns and `stops_min` calls that
stop the VM (restarts alone are a burst, not flapping), and so many turns would be next to
impossible at the VM's own usual rate (see `negative`, and `counts` for what is usual): what a
pipeline switches all day long needs more.
"""

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, SECOND
from toolreeve.detect import negative
from toolreeve.detect.attempt import Attempt
from toolreeve.detect.burst import Finding, Known
from toolreeve.detect.counts import Baseline, Counts, Positive, Usual
from toolreeve.detect.describe import span_of
from toolreeve.detect.episodes import Episodes
from toolreeve.detect.rate import TOOLS_KNOWN_MAX
from toolreeve.detect.seen import KEY_POINTERS, Seen, Shelf, target_of
from toolreeve.detect.telling import Line, Story, calls, told, usually, who_and_what
from toolreeve.detect.touched import Days
from toolreeve.policy.glob import matches


class Turn(Enum):
    """What a call makes of a VM."""

    ON = "on"
    OFF = "off"
    BOTH = "both"


class FlappingRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as flapping. See the head of this file for the mathematics."""

    name: str = "vm-flapping"
    severity: str = "critical"
    restarts: tuple[str, ...] = ("*restart*", "*reboot*", "*reset*")
    stops: tuple[str, ...] = ("*stop*", "*shutdown*", "*power_off*", "*suspend*")
    starts: tuple[str, ...] = ("*start*", "*boot*", "*power_on*", "*resume*")
    """Effective tools, as globs; the first of the three lists that holds a tool says what it is."""
    key_pointers: tuple[str, ...] = KEY_POINTERS
    window_seconds: Annotated[int, Meta(gt=0, le=86_400)] = 1_200
    turns_min: Positive = 7
    stops_min: Positive = 2
    p_max: Annotated[float, Meta(gt=0, lt=1)] = 1e-6
    baseline: Baseline = Baseline()
    quiet_seconds: Positive = 1_800
    keys_max: Positive = 20_000
    turns_kept_max: Positive = 500

    def turn_of(self, tool: str) -> Turn | None:
        """What an effective tool does to a VM; None where it does nothing of this."""
        for turn, patterns in (
            (Turn.BOTH, self.restarts),
            (Turn.OFF, self.stops),
            (Turn.ON, self.starts),
        ):
            if any(matches(pattern, tool) for pattern in patterns):
                return turn
        return None


class _Vm:
    """What calls have made of a VM, and when."""

    def __init__(self, rule: FlappingRule) -> None:
        self.on: bool | None = None
        self.last = Instant(0)
        self.counts: Counts[Attempt] = Counts(
            rule.baseline,
            window_ns=rule.window_seconds * SECOND,
            items_max=rule.turns_kept_max,
        )

    def turns(self, turn: Turn, at: Instant, *, remembered_ns: int) -> int:
        """How many turns a call is; the VM is then what the call has made of it.

        What a VM was is not known where no call said so within `remembered_ns`.
        """
        was_on = self.on if at <= self.last + remembered_ns else None
        self.last = max(self.last, at)
        self.on = turn is not Turn.OFF
        if turn is Turn.BOTH:
            return 1 if was_on is False else 2
        return int(was_on is None or was_on is not self.on)


class FlappingDetector:
    """Watches by one rule. Show it what is seen in the order in which it was loaded."""

    def __init__(self, rule: FlappingRule) -> None:
        self.rule = rule
        self._story = Story(rule=rule.name, detector="flapping", severity=rule.severity)
        labels = ("server", "target", "pointer")
        self._episodes = Episodes(rule.name, labels, quiet_ns=rule.quiet_seconds * SECOND)
        self._vms: Shelf[tuple[str, ...], _Vm] = Shelf(lambda: _Vm(rule), keys_max=rule.keys_max)
        self._turn_of = lru_cache(TOOLS_KNOWN_MAX)(rule.turn_of)
        self._days = Days(rule.baseline.days)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def memory_ns(self) -> int:
        """The baseline's days twice: what a VM was on its first day was said before it."""
        window_ns = self.rule.window_seconds * SECOND
        return self._episodes.memory_ns(days=2 * self.rule.baseline.days + 1, window_ns=window_ns)

    def observe(self, seen: Seen) -> list[Finding]:
        """Take in a call; say what it raises and what had ended before it."""
        findings = self._episodes.see(seen.at)
        if not isinstance(seen, Attempt):
            return findings
        self._days.note(seen.at // DAY)
        turn = self._turn_of(seen.tool) if seen.admitted else None
        target = target_of(seen, self.rule.key_pointers) if turn is not None else None
        if turn is None or target is None:
            return findings
        key = (seen.server, target[1], target[0])
        vm = self._vms[key]
        count = 0
        remembered_ns = self.rule.baseline.days * DAY
        for _ in range(vm.turns(turn, seen.at, remembered_ns=remembered_ns)):
            count = vm.counts.add(seen.at, seen)
        findings += self._episodes.end_if_quiet(key, seen.at)
        if count >= self.rule.turns_min and self._stops(vm) >= self.rule.stops_min:
            usual = vm.counts.usual(first_day=self._days.first)
            if negative.tail(count, usual.mean, usual.spread) < self.rule.p_max:
                alert_id, ended = self._episodes.cross(key, vm.counts.newest)
                findings += ended
                if alert_id is not None:
                    findings.append(self._raised(alert_id, key, vm.counts, usual))
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        return self._episodes.advance(at)

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say."""
        self._episodes.restore(alerts)

    def held(self) -> tuple[int, int]:
        """How many keys are in memory, and how many numbers and calls of all of them."""
        return len(self._vms), sum(len(vm.counts) for _, vm in self._vms.all())

    def _stops(self, vm: _Vm) -> int:
        """Calls of the window that stop the VM: a stop is one turn, so it stands there once."""
        return sum(self._turn_of(call.tool) is Turn.OFF for call in vm.counts.window())

    def _raised(
        self, alert_id: str, key: tuple[str, ...], counts: Counts[Attempt], usual: Usual
    ) -> Finding:
        window = counts.window()
        labels = who_and_what(window) | self._episodes.labels(key)
        line = negative.threshold(
            usual.mean, usual.spread, self.rule.p_max, count_min=self.rule.turns_min
        )
        return told(
            self._story,
            alert_id,
            labels=labels,
            summary=(
                f"{labels['target']} on {labels['server']} was switched {len(window)} times within"
                f" {span_of(self.rule.window_seconds)} by {labels['agent']}"
                f" ({labels['tool']}); usual: {usually(usual.mean)}"
            ),
            since=counts.since,
            at=counts.newest,
            line=Line(observed=float(len(window)), threshold=float(line), baseline=usual.mean),
            query=calls(
                {"server": labels["server"], labels["pointer"]: labels["target"]},
                since=counts.since,
                at=counts.newest,
            ),
        )
