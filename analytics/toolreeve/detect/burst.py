"""Too many calls of one kind of operation on one thing, or by one grant, in a short time.

The line. A window is the `window_seconds` up to an attempt. It is a burst if it holds at least
`calls_min` attempts, and if so many would be next to impossible at the key's own usual rate:

    P(N >= observed) < p_max    for N ~ Poisson(usual)

`usual` is taken from the key's last `baseline_days`, robustly (see `history`), so that a VM that a
test restarts all day long needs more than one that nobody ever touches.

Keys. Each attempt counts for its target, such as a VM: the first of `key_pointers` whose value was
kept. It counts for its grant too, against `grant_calls_min`, unless its target is bursting: one
story is one alert, and a grant's own alert tells of many targets, or of calls whose target is not
known.

An alert's life. It is raised by the attempt that crosses the line. While attempts go on crossing
it, at most `quiet_seconds` apart, they belong to it and nothing is said. It ends `quiet_seconds`
after the last of them. An alert's id is a hash of the rule, the key and the time of the crossing.

Lateness. Attempts of one enforcer come in order; those of another may come late. A late attempt is
put into its place, and every window that holds it is judged again, as far back as
`late_seconds_max` before the key's newest attempt.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Annotated

from msgspec import Meta, Struct

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.detect import poisson
from toolreeve.detect.attempt import Attempt
from toolreeve.detect.describe import raised
from toolreeve.detect.history import History, Usual
from toolreeve.policy.glob import matches

CLOSED_KEPT_MAX = 16

Positive = Annotated[int, Meta(gt=0)]


class BurstRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as a burst. See the head of this file for the mathematics."""

    name: str = "vm-restart-burst"
    severity: str = "critical"
    tools: tuple[str, ...] = (
        "*vm*restart*",
        "*restart*vm*",
        "*vm*reset*",
        "*reset*vm*",
        "*vm*reboot*",
        "*reboot*vm*",
        "restart",
        "reset",
        "reboot",
    )
    """Effective tools, as globs."""
    key_pointers: tuple[str, ...] = ("/id", "/vm_id", "/vmid", "/vm_name", "/name", "/vm")
    window_seconds: Annotated[int, Meta(gt=0, le=86_400)] = 600
    calls_min: Positive = 5
    grant_calls_min: Positive = 10
    p_max: Annotated[float, Meta(gt=0, lt=1)] = 1e-8
    baseline_days: Positive = 7
    trimmed_share: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    floor: Annotated[float, Meta(gt=0)] = 0.05
    """Calls expected in a window of a key that nobody has seen."""
    quiet_seconds: Positive = 600
    late_seconds_max: Positive = 3600
    keys_max: Positive = 20_000
    attempts_kept_max: Positive = 2_000
    """Of one key: a window of more is counted as this many."""

    def speaks_of(self, tool: str) -> bool:
        """Whether calls of an effective tool count."""
        return any(matches(pattern, tool) for pattern in self.tools)

    @property
    def memory_ns(self) -> int:
        """How much history a detector must be shown to stand where one stands that saw it all."""
        judged = self.window_seconds + self.quiet_seconds + self.late_seconds_max
        return (judged + (self.baseline_days + 2) * 86_400) * SECOND


class Ended(Struct, frozen=True):
    """What raised an alert is over, since `at`."""

    alert_id: str
    at: Instant
    reason: str


Finding = AlertRaised | Ended


class Known(Struct, frozen=True):
    """An alert on record."""

    raised: AlertRaised
    resolved: bool


class Key(Struct, frozen=True):
    """What attempts are counted by: `scope` is "target" or "grant", `name` its value.

    `pointer` says where the value stood; it is empty for a grant.
    """

    scope: str
    server: str
    pointer: str
    name: str


class _Episode(Struct, frozen=True):
    """The life of an alert: `last` is the newest attempt that crossed the line."""

    alert_id: str
    since: Instant
    last: Instant


class _State:
    """All that is known of one key."""

    def __init__(self, rule: BurstRule) -> None:
        usual = Usual(days=rule.baseline_days, trimmed_share=rule.trimmed_share, floor=rule.floor)
        self.history = History(
            usual,
            window_ns=rule.window_seconds * SECOND,
            keep_ns=(rule.window_seconds + rule.late_seconds_max) * SECOND,
            attempts_max=rule.attempts_kept_max,
        )
        self.open: _Episode | None = None
        self.closed: list[_Episode] = []


class BurstDetector:
    """Watches for bursts by one rule. Show it attempts in the order in which they were loaded."""

    def __init__(self, rule: BurstRule) -> None:
        self.rule = rule
        self._states: OrderedDict[Key, _State] = OrderedDict()
        self._open: dict[Key, None] = {}
        self._quiet_ns = rule.quiet_seconds * SECOND

    def observe(self, attempt: Attempt) -> list[Finding]:
        """Count an attempt; say what it raises and what had ended before it."""
        if not self.rule.speaks_of(attempt.tool):
            return []
        findings: list[Finding] = []
        explained = False
        for key in _keys(attempt, self.rule):
            if explained:
                break
            explained = self._count(key, attempt, findings)
        return findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`. Nothing older than `at` is expected any more."""
        findings: list[Finding] = []
        for key in list(self._open):
            self._end_if_quiet(key, self._states[key], at, findings)
        return findings

    def held(self) -> tuple[int, int]:
        """How many keys are in memory, and how many attempts one by one."""
        return len(self._states), sum(len(state.history) for state in self._states.values())

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say, after the history behind them was shown.

        What shows as a burst and was never raised is forgotten, so that the next attempt that
        crosses the line raises it.
        """
        known = {alert.raised.alert_id: alert for alert in alerts}
        for key, state in self._states.items():
            own = [
                alert
                for alert in known.values()
                if alert.raised.alert_id == _alert_id(self.rule, key, alert.raised.crossed_at)
            ]
            self._restore_key(key, state, own)

    def _restore_key(self, key: Key, state: _State, own: list[Known]) -> None:
        shown = [*state.closed, *([state.open] if state.open else [])]
        state.open, state.closed = None, []
        state.history.forget_crossings()
        self._open.pop(key, None)
        for alert in sorted(own, key=lambda alert: alert.raised.crossed_at):
            since, crossed = alert.raised.since_at, alert.raised.crossed_at
            last = max(
                (episode.last for episode in shown if episode.since <= crossed <= episode.last),
                default=crossed,
            )
            episode = _Episode(alert.raised.alert_id, since, last)
            if alert.resolved:
                state.closed = [*state.closed, episode][-CLOSED_KEPT_MAX:]
            else:
                state.open = episode
                self._open[key] = None

    def _count(self, key: Key, attempt: Attempt, findings: list[Finding]) -> bool:
        """Count for one key. Whether the attempt belongs to a burst of that key."""
        state = self._state(key)
        if not state.history.add(attempt):
            return False
        self._end_if_quiet(key, state, state.history.newest, findings)
        for end, usual in self._crossings(key, state, attempt.at):
            state.history.crossed(end)
            self._cross(key, state, end, usual, findings)
        return state.history.has_crossed(attempt.at)

    def _crossings(self, key: Key, state: _State, at: Instant) -> Iterator[tuple[Instant, float]]:
        """Ends of windows that hold `at` and are bursts now, with what would have been usual."""
        calls_min = self._calls_min(key)
        for end, count in state.history.windows(at):
            if count >= calls_min:
                usual = state.history.usual(end)
                if poisson.tail(count, usual) < self.rule.p_max:
                    yield end, usual

    def _cross(
        self, key: Key, state: _State, at: Instant, usual: float, findings: list[Finding]
    ) -> None:
        """An attempt at `at` is over the line: it belongs to an alert, or raises one."""
        for episode in state.closed:
            if episode.since - self._quiet_ns <= at <= episode.last + self._quiet_ns:
                return
        current = state.open
        if current and current.since - self._quiet_ns <= at <= current.last + self._quiet_ns:
            state.open = _Episode(current.alert_id, current.since, max(current.last, at))
            return
        window = state.history.window(at)
        line = poisson.threshold(usual, self.rule.p_max, count_min=self._calls_min(key))
        alert_id = _alert_id(self.rule, key, at)
        findings.append(
            raised(
                alert_id,
                self.rule,
                key,
                window,
                threshold=line,
                baseline=usual,
                scope_grant=key.scope == "grant",
            )
        )
        episode = _Episode(alert_id, window[0].at, at)
        if current:  # a burst before the open one, which came to light late
            findings.append(Ended(alert_id, Instant(at + self._quiet_ns), "quiet"))
            state.closed = [*state.closed, episode][-CLOSED_KEPT_MAX:]
        else:
            state.open = episode
            self._open[key] = None

    def _end_if_quiet(self, key: Key, state: _State, at: Instant, findings: list[Finding]) -> None:
        episode = state.open
        if episode and at > episode.last + self._quiet_ns:
            over = Instant(episode.last + self._quiet_ns)
            findings.append(Ended(episode.alert_id, over, "quiet"))
            state.closed = [*state.closed, episode][-CLOSED_KEPT_MAX:]
            state.open = None
            self._open.pop(key, None)

    def _state(self, key: Key) -> _State:
        """The key's state; the key that was quiet the longest goes where there are too many."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(self.rule)
            if len(self._states) > self.rule.keys_max:
                oldest = next((k for k in self._states if k not in self._open and k != key), None)
                if oldest is not None:
                    del self._states[oldest]
        else:
            self._states.move_to_end(key)
        return state

    def _calls_min(self, key: Key) -> int:
        return self.rule.grant_calls_min if key.scope == "grant" else self.rule.calls_min


def _keys(attempt: Attempt, rule: BurstRule) -> list[Key]:
    values = dict(attempt.values)
    pointer = next((pointer for pointer in rule.key_pointers if pointer in values), None)
    grant = Key("grant", attempt.server, "", attempt.grant)
    if pointer is None:
        return [grant]
    return [Key("target", attempt.server, pointer, values[pointer]), grant]


def _alert_id(rule: BurstRule, key: Key, crossed: Instant) -> str:
    """Names the alert for ever; parts are set apart by a byte that no name holds."""
    parts = (rule.name, key.scope, key.server, key.pointer, key.name, str(crossed))
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
