"""Alerts that stand for as long as something is wrong, each about one thing at a time."""

from collections.abc import Callable
from hashlib import sha256

from msgspec import Struct

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.detect import Ended
from toolreeve.worker.watch import Watch

DETECTOR = "integrity"


class Problem(Struct, frozen=True, kw_only=True):
    """What is wrong. `observed` and `threshold` are what was found and what should have been."""

    severity: str
    summary: str
    observed: float = 0.0
    threshold: float = 0.0
    query: str = ""
    labels: tuple[tuple[str, str], ...] = ()


class OpenAlerts:
    """Raises an alert when something goes wrong and ends it when it is right again.

    What an earlier process of this worker raised is taken up: see `Watch.on_record`.
    """

    def __init__(self, watch: Watch, now: Callable[[], Instant], *rules: str) -> None:
        self._watch = watch
        self._now = now
        self._open: dict[tuple[str, str], str] = {
            (raised.rule, raised.labels[0][1]): raised.alert_id
            for raised, resolved_at in watch.on_record()
            if raised.rule in rules and raised.labels and resolved_at is None
        }

    def about(self, rule: str) -> tuple[str, ...]:
        """What alerts of this rule are open about."""
        return tuple(subject for one, subject in self._open if one == rule)

    async def say(self, rule: str, label: str, subject: str, problem: Problem | None) -> None:
        """`problem` is how it stands with `subject` now; None: all is well."""
        key = (rule, subject)
        now = self._now()
        if problem is None:
            alert_id = self._open.pop(key, None)
            if alert_id is not None:
                reason = "what was wrong is right again"
                await self._watch.record([Ended(alert_id=alert_id, at=now, reason=reason)])
            return
        if key in self._open:
            return
        alert_id = sha256(f"{rule}\n{subject}\n{now}".encode()).hexdigest()[:32]
        self._open[key] = alert_id
        raised = AlertRaised(
            alert_id=alert_id,
            rule=rule,
            detector=DETECTOR,
            severity=problem.severity,
            summary=problem.summary,
            labels=((label, subject), *problem.labels),
            since_at=now,
            crossed_at=now,
            observed=problem.observed,
            threshold=problem.threshold,
            query=problem.query,
        )
        await self._watch.record([raised])
