"""How the alerts of detectors by key read: who, what, since when, against which baseline.

The query that an alert carries shows the calls behind it, by the view `decisions`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.detect.attempt import Attempt
from toolreeve.detect.describe import quoted, shown, time_of

AFTER = timedelta(hours=1)
"""So much longer than the crossing the query looks, as what raised an alert goes on."""


class Line(Struct, frozen=True, kw_only=True):
    """What was seen and where the line was; `baseline` is what would have been usual."""

    observed: float
    threshold: float
    baseline: float = 0.0


class Story(Struct, frozen=True, kw_only=True):
    """What all alerts of one rule share."""

    rule: str
    detector: str
    severity: str


def told(
    story: Story,
    alert_id: str,
    *,
    labels: Mapping[str, str],
    summary: str,
    since: Instant,
    at: Instant,
    line: Line,
    query: str,
) -> AlertRaised:
    """An alert of a rule."""
    return AlertRaised(
        alert_id=alert_id,
        rule=story.rule,
        detector=story.detector,
        severity=story.severity,
        summary=summary,
        labels=tuple(sorted((name, text) for name, text in labels.items() if text)),
        since_at=since,
        crossed_at=at,
        observed=line.observed,
        threshold=line.threshold,
        baseline=line.baseline,
        query=query,
    )


def who_and_what(window: Sequence[Attempt]) -> dict[str, str]:
    """Labels that name the agents, grants, servers and tools of some attempts."""
    return {
        "agent": shown(sorted({attempt.agent for attempt in window})),
        "grant": shown(sorted({attempt.grant for attempt in window})),
        "server": shown(sorted({attempt.server for attempt in window})),
        "tool": shown(sorted({attempt.tool for attempt in window})),
        "attempts": str(len(window)),
        "admitted": str(sum(attempt.admitted for attempt in window)),
    }


def usually(mean: float) -> str:
    """A baseline in a line of text."""
    return f"{mean:.2g}" if mean >= 0.1 else "next to none"


def calls(columns: Mapping[str, str], *, since: Instant, at: Instant) -> str:
    """SQL for the calls whose columns hold these texts. A pointer stands for a kept argument."""
    conditions = [
        f"arguments[{quoted(name)}]::VARCHAR = {quoted(text)}"
        if name.startswith("/")
        else f'"{name}" = {quoted(text)}'
        for name, text in columns.items()
        if text
    ]
    conditions.append(
        f"time BETWEEN TIMESTAMP '{time_of(since)}' AND TIMESTAMP '{time_of(at) + AFTER}'"
    )
    return (
        'SELECT time, agent, "grant", server, tool, effect, code, outcome FROM decisions'  # noqa: S608  quoted
        f" WHERE {' AND '.join(conditions)} ORDER BY time"
    )
