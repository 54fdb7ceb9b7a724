"""How an alert reads: its summary, its labels, and the query that shows its calls."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.detect.attempt import Attempt

NAMES_SHOWN_MAX = 5
MICROSECOND = 1_000
MINUTE_SECONDS = 60


class _Rule(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def window_seconds(self) -> int: ...


class _Key(Protocol):
    @property
    def server(self) -> str: ...
    @property
    def pointer(self) -> str: ...
    @property
    def name(self) -> str: ...


def raised(
    alert_id: str,
    rule: _Rule,
    key: _Key,
    window: Sequence[Attempt],
    *,
    threshold: int,
    baseline: float,
    scope_grant: bool,
) -> AlertRaised:
    """The alert for a window of attempts that crossed the line; the last one did."""
    admitted = sum(attempt.admitted for attempt in window)
    tools = sorted({attempt.tool for attempt in window})
    agents = sorted({attempt.agent for attempt in window})
    grants = sorted({attempt.grant for attempt in window})
    labels = {
        "server": key.server,
        "tool": shown(tools),
        "agent": shown(agents),
        "grant": shown(grants),
        "attempts": str(len(window)),
        "admitted": str(admitted),
    }
    if not scope_grant:
        labels["target"] = key.name
        labels["pointer"] = key.pointer
    span = span_of(rule.window_seconds)
    what = shown(tools) if scope_grant else f"{shown(tools)} of {key.name}"
    usual = f"{baseline:.2g}" if baseline >= 0.1 else "next to none"
    summary = (
        f"{what} on {key.server} was called {len(window)} times within {span} by {shown(agents)}"
        f" ({admitted} admitted); usual: {usual}"
    )
    return AlertRaised(
        alert_id=alert_id,
        rule=rule.name,
        detector="burst",
        severity=rule.severity,
        summary=summary,
        labels=tuple(sorted(labels.items())),
        since_at=window[0].at,
        crossed_at=window[-1].at,
        observed=float(len(window)),
        threshold=float(threshold),
        baseline=baseline,
        query=_query(key, window, tools, rule.window_seconds, scope_grant=scope_grant),
    )


def _query(
    key: _Key,
    window: Sequence[Attempt],
    tools: Sequence[str],
    window_seconds: int,
    *,
    scope_grant: bool,
) -> str:
    """SQL over `decisions` for the window's calls and those of one more window behind it."""
    if scope_grant:
        subject = f'"grant" = {quoted(key.name)}'
    else:
        subject = f"arguments[{quoted(key.pointer)}]::VARCHAR = {quoted(key.name)}"
    until = time_of(window[-1].at) + timedelta(seconds=window_seconds)
    return (
        "SELECT time, agent, tool, effect, code, outcome FROM decisions"  # noqa: S608  quoted
        f" WHERE server = {quoted(key.server)}"
        f" AND tool IN ({', '.join(map(quoted, tools))}) AND {subject}"
        f" AND time BETWEEN TIMESTAMP '{time_of(window[0].at)}' AND TIMESTAMP '{until}'"
        " ORDER BY time"
    )


def shown(names: Sequence[str]) -> str:
    """Names for a line of text: the first few, and how many more."""
    more = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def span_of(seconds: int) -> str:
    """A length of time, in whole minutes where it is some."""
    minutes, rest = divmod(seconds, MINUTE_SECONDS)
    return f"{seconds} s" if rest else f"{minutes} min"


def time_of(at: Instant) -> datetime:
    """A time as the warehouse's columns hold it: UTC, to the microsecond."""
    micros = at // MICROSECOND
    return datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(microseconds=micros)


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
