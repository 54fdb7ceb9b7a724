"""Points in time as people write and read them on a command line. Always UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import click

_UNITS_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])")


def span(text: str) -> int:
    """Read a length of time, such as 90s, 10m, 24h or 7d, as nanoseconds. A click type."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no length of time; write 90s, 10m, 24h or 7d")
    return int(found[1]) * _UNITS_NS[found[2]]


def instant(text: str) -> int:
    """Read a point in time, such as 2026-11-20T17:04:05Z or 2026-11-20, as nanoseconds since 1970.

    UTC where it names no offset. A click type.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no point in time; write 2026-11-20 or 2026-11-20T17:04:05Z"
        ) from error
    if read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    return (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def ago(span_ns: int) -> int:
    """Return the instant `span_ns` before now, in nanoseconds since 1970."""
    return max(0, time.time_ns() - span_ns)


def from_now(span_ns: int) -> int:
    """Return the instant `span_ns` after now, in nanoseconds since 1970."""
    return time.time_ns() + span_ns


def written(instant_ns: int) -> str | None:
    """Return an instant as 2026-11-20T17:04:05.123Z, or None for 0, which means never."""
    if instant_ns == 0:
        return None
    seconds, rest = divmod(instant_ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest // 10**6:03d}Z"
