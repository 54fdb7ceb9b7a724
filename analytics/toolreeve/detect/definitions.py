"""Tools that say something else than was approved, or go by a name made to be mistaken.

The enforcers compare; what they have seen comes as events. One alert is raised for each definition
that nobody approved, by whoever sees it first: fifty gateways before one server see one change,
not fifty. Tools that changed in the same listing share an alert: an upgrade of a server is one
story too. The alert is over when all its tools were approved as they are, have changed back, or
have changed again, which raises the next one.

Events are taken in the order in which they were loaded, and nothing else is looked at; so the same
history gives the same alerts.
"""

from collections.abc import Iterable
from enum import Enum
from hashlib import sha256

from msgspec import Struct

from toolreeve.audit import AlertRaised, Event, ToolApproved, ToolChanged, ToolPinned
from toolreeve.decision import Instant
from toolreeve.detect.attempt import MICROSECOND
from toolreeve.detect.burst import Ended, Finding
from toolreeve.detect.describe import quoted

DETECTOR = "definition"


class DefinitionRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the alerts are called."""

    changed: str = "tool-definition-changed"
    looks_alike: str = "tool-name-looks-alike"
    severity: str = "critical"


class Change(Enum):
    """What was seen of a tool, or done about it."""

    PINNED = "pinned"
    CHANGED = "changed"
    APPROVED = "approved"


class Sighting(Struct, frozen=True, kw_only=True):
    """What an event tells of a tool's definition. `at` is cut to microseconds, as for attempts."""

    at: Instant
    enforcer: str
    change: Change
    server: str
    tool: str
    digest: str
    previous_digest: str = ""
    approved_digest: str = ""
    members: tuple[str, ...] = ()
    looks_like: str = ""
    together: int = 0


def sighting_of(event: Event) -> Sighting | None:
    """The sighting that an event tells of; None where it tells of something else."""
    at = Instant(event.at // MICROSECOND * MICROSECOND)
    match event.body:
        case ToolPinned() as body:
            return Sighting(
                at=at,
                enforcer=event.enforcer,
                change=Change.PINNED,
                server=body.server,
                tool=body.tool,
                digest=body.digest,
                approved_digest=body.digest if body.approved else "",
                looks_like=body.looks_like,
            )
        case ToolChanged() as body:
            return Sighting(
                at=at,
                enforcer=event.enforcer,
                change=Change.CHANGED,
                server=body.server,
                tool=body.tool,
                digest=body.digest,
                previous_digest=body.previous_digest,
                approved_digest=body.approved_digest,
                members=body.members,
                together=body.together,
            )
        case ToolApproved() as body:
            return Sighting(
                at=at,
                enforcer=event.enforcer,
                change=Change.APPROVED,
                server=body.server,
                tool=body.tool,
                digest=body.digest,
                previous_digest=body.previous_digest,
                approved_digest=body.digest,
            )
        case _:
            return None


_Told = tuple[str, str, str, str]  # rule, server, tool, digest


class DefinitionDetector:
    """Watches definitions by one rule. Show it sightings in the order in which they were loaded."""

    def __init__(self, rule: DefinitionRule) -> None:
        self.rule = rule
        self._alerts: dict[_Told, str] = {}  # what waits, and the alert that told of it
        self._waiting: dict[str, set[_Told]] = {}  # of each open alert
        self._listings: dict[tuple[str, str], tuple[Instant, str]] = {}
        self._times: dict[_Told, int] = {}  # how often it was told of

    def observe(self, seen: Sighting) -> list[Finding]:
        """Say what a sighting raises, and what is over with it."""
        match seen.change:
            case Change.PINNED:
                return self._pinned(seen)
            case Change.CHANGED:
                return self._changed(seen)
            case Change.APPROVED:
                names = [
                    (self.rule.changed, seen.server, seen.tool, seen.digest),
                    (self.rule.looks_alike, seen.server, seen.tool, ""),
                ]
                return self._settle(names, seen.at, "approved")

    def _pinned(self, seen: Sighting) -> list[Finding]:
        told = (self.rule.looks_alike, seen.server, seen.tool, "")
        if not seen.looks_like or told in self._alerts:
            return []
        alert_id = self._open(told, seen.at)
        return [self._lookalike(alert_id, seen)]

    def _changed(self, seen: Sighting) -> list[Finding]:
        rule, server, tool = self.rule.changed, seen.server, seen.tool
        if seen.digest == seen.approved_digest:
            mine = [told for told in self._alerts if told[:3] == (rule, server, tool)]
            return self._settle(mine, seen.at, "changed back")
        told = (rule, server, tool, seen.digest)
        before = (rule, server, tool, seen.previous_digest)
        findings = [] if before == told else self._settle([before], seen.at, "changed again")
        if told not in self._alerts:
            when, alert_id = self._listings.get((seen.enforcer, server), (Instant(0), ""))
            if when == seen.at and alert_id in self._waiting:
                self._alerts[told] = alert_id
                self._waiting[alert_id].add(told)
            else:
                alert_id = self._open(told, seen.at)
                self._listings[seen.enforcer, server] = (seen.at, alert_id)
                findings.append(self._difference(alert_id, seen))
        return findings

    def _open(self, told: _Told, at: Instant) -> str:
        times = self._times[told] = self._times.get(told, 0) + 1
        parts = (*told, str(at), str(times))
        alert_id = sha256("\0".join(parts).encode()).hexdigest()[:32]
        self._alerts[told] = alert_id
        self._waiting[alert_id] = {told}
        return alert_id

    def _settle(self, settled: Iterable[_Told], at: Instant, reason: str) -> list[Finding]:
        findings: list[Finding] = []
        for told in settled:
            alert_id = self._alerts.pop(told, None)
            if alert_id is None:
                continue
            self._waiting[alert_id].discard(told)
            if not self._waiting[alert_id]:
                del self._waiting[alert_id]
                findings.append(Ended(alert_id, at, reason))
        return findings

    def _difference(self, alert_id: str, seen: Sighting) -> AlertRaised:
        others = seen.together - 1
        more = "" if others < 1 else f" and {others} other tool{'s' if others > 1 else ''}"
        what = ", ".join(seen.members) or "its definition"
        summary = f"{seen.tool}{more} of {seen.server} changed since approved: {what}"
        labels = {
            "server": seen.server,
            "tool": seen.tool,
            "enforcer": seen.enforcer,
            "digest": seen.digest,
            "approved_digest": seen.approved_digest,
        }
        return self._raised(
            alert_id, self.rule.changed, summary, labels, seen, observed=float(max(1, others + 1))
        )

    def _lookalike(self, alert_id: str, seen: Sighting) -> AlertRaised:
        summary = f"{seen.tool} of {seen.server} can be taken for {seen.looks_like}"
        labels = {
            "server": seen.server,
            "tool": seen.tool,
            "enforcer": seen.enforcer,
            "looks_like": seen.looks_like,
        }
        return self._raised(alert_id, self.rule.looks_alike, summary, labels, seen, observed=1.0)

    def _raised(
        self,
        alert_id: str,
        name: str,
        summary: str,
        labels: dict[str, str],
        seen: Sighting,
        *,
        observed: float,
    ) -> AlertRaised:
        return AlertRaised(
            alert_id=alert_id,
            rule=name,
            detector=DETECTOR,
            severity=self.rule.severity,
            summary=summary,
            labels=tuple(sorted(labels.items())),
            since_at=seen.at,
            crossed_at=seen.at,
            observed=observed,
            threshold=1.0,
            query=(
                "SELECT time, enforcer, tool, change, members, digest, actor FROM tool_changes"  # noqa: S608  quoted
                f" WHERE server = {quoted(seen.server)} AND tool = {quoted(seen.tool)}"
                " ORDER BY time"
            ),
        )
