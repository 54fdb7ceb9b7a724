"""The lives of one rule's alerts, by key.

An alert is raised by what crosses the line. While the line is crossed again, at most `quiet_ns`
later each time, that belongs to it and nothing is said. It ends `quiet_ns` after the last time,
which is said when that is `LATE_NS` ago by whatever was seen, as some events come late. What comes
later than that raises nothing. An alert's id is a hash of the rule, the key and the time of the
crossing.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR
from toolreeve.detect.burst import Ended, Finding, Known

OPEN_MAX = 10_000
LATE_NS = HOUR

Key = tuple[str, ...]


class Episode(Struct, frozen=True):
    """An open alert, and when its line was last crossed."""

    alert_id: str
    last: Instant


class Episodes:
    """Open alerts of one rule. `labels` name the parts of a key, as the alerts' labels do."""

    def __init__(self, rule: str, labels: Sequence[str], *, quiet_ns: int) -> None:
        self._rule = rule
        self._labels = tuple(labels)
        self._quiet_ns = quiet_ns
        self._open: dict[Key, Episode] = {}
        self._newest = Instant(0)
        self._due = Instant(2**63)  # none is over before

    def __contains__(self, key: Key) -> bool:
        return key in self._open

    def __len__(self) -> int:
        return len(self._open)

    def memory_ns(self, *, days: int, window_ns: int = 0) -> int:
        """How much must be shown so that every open alert shows, with `days` whole days before."""
        return (days + 1) * DAY + self._quiet_ns + LATE_NS + window_ns

    def see(self, at: Instant) -> list[Finding]:
        """Something was seen, whatever it was: say what was over long enough before it."""
        if at <= self._newest:
            return []
        self._newest = at
        if not self._open or at <= self._due:
            return []
        return self.advance(Instant(at - LATE_NS))

    def end_if_quiet(self, key: Key, at: Instant) -> list[Finding]:
        """Say that the key's alert is over, where it was before `at`."""
        episode = self._open.get(key)
        if episode is None or at <= episode.last + self._quiet_ns:
            return []
        del self._open[key]
        return [Ended(episode.alert_id, Instant(episode.last + self._quiet_ns), "quiet")]

    def cross(self, key: Key, at: Instant) -> tuple[str | None, list[Finding]]:
        """The line was crossed: the id of the alert that this raises, None where one is open.

        Where too many are open, the one that was crossed the longest ago is over with it.
        """
        if at < self._newest - LATE_NS:
            return None, []
        episode = self._open.pop(key, None)
        if episode is not None:
            self._open[key] = Episode(episode.alert_id, max(episode.last, at))
            return None, []
        findings: list[Finding] = []
        if len(self._open) >= OPEN_MAX:
            gone = self._open.pop(next(iter(self._open)))
            findings.append(Ended(gone.alert_id, at, "too many open alerts"))
        alert_id = self._id(key, at)
        self._open[key] = Episode(alert_id, at)
        self._due = min(self._due, self._over(at))
        return alert_id, findings

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`."""
        by_end = sorted(self._open, key=lambda key: (self._open[key].last, key))
        findings = [found for key in by_end for found in self.end_if_quiet(key, at)]
        self._set_due()
        return findings

    def restore(self, alerts: Iterable[Known]) -> None:
        """Open is what is on record as open, and nothing else.

        What shows as an alert and was never raised is forgotten, so that what crosses the line
        next raises it. What was raised by what comes next is left to it.
        """
        shown, self._open = self._open, {}
        for alert in sorted(alerts, key=lambda alert: alert.raised.crossed_at):
            raised = alert.raised
            key = self._key(raised)
            ours = raised.rule == self._rule and raised.alert_id == self._id(key, raised.crossed_at)
            if not ours or alert.resolved or raised.crossed_at > self._newest:
                continue
            last = shown[key].last if key in shown else raised.crossed_at
            self._open[key] = Episode(raised.alert_id, max(raised.crossed_at, last))
        self._set_due()

    def labels(self, key: Key) -> dict[str, str]:
        """The labels that say what the alert is about."""
        return dict(zip(self._labels, key, strict=True))

    def _over(self, last: Instant) -> Instant:
        return Instant(last + self._quiet_ns + LATE_NS)

    def _set_due(self) -> None:
        lasts = [episode.last for episode in self._open.values()]
        self._due = self._over(min(lasts, default=Instant(2**63)))

    def _key(self, raised: AlertRaised) -> Key:
        labels = dict(raised.labels)
        return tuple(labels.get(label, "") for label in self._labels)

    def _id(self, key: Key, crossed: Instant) -> str:
        parts = (self._rule, *key, str(crossed))
        return sha256("\0".join(parts).encode()).hexdigest()[:32]
