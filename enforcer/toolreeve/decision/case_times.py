"""Times in cases: of the day, of a day, or seconds since midnight; and lengths of time."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

from toolreeve.decision.instant import DAY, SECOND, Instant

_EPOCH = date(1970, 1, 1)
MIDNIGHT = Instant((date(2026, 1, 5) - _EPOCH).days * DAY)  # a Monday
MORNING = Instant(MIDNIGHT + 12 * 3_600 * SECOND)

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ](.*[0-9])Z?")
_LENGTH = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_UNITS = {"ms": SECOND // 1_000, "s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY}
SECONDS_MAX = 366 * 86_400


class TimeError(ValueError):
    """What stands there is no time. `remedy` says what may."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


def read_time(value: object) -> Instant:
    """Read "12:00", "12:00:59.9", "2026-01-05T12:00:00Z" or seconds since midnight.

    A time without a date is on Monday 2026-01-05, UTC. Raises TimeError.
    """
    remedy = 'write "12:00:00", "2026-01-05T12:00:00Z", or seconds since midnight'
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= SECONDS_MAX:
            return Instant(MIDNIGHT + int(Decimal(str(value)) * SECOND))
        raise TimeError(f"{value} is out of bounds", f"write from 0 to {SECONDS_MAX} seconds")
    text = value if isinstance(value, str) else ""
    day = MIDNIGHT
    moment = _MOMENT.fullmatch(text)
    if moment is not None:
        try:
            written = datetime.strptime(moment[1], "%Y-%m-%d").replace(tzinfo=UTC).date()
        except ValueError:
            raise TimeError(f"{moment[1]} is no day", remedy) from None
        day, text = Instant((written - _EPOCH).days * DAY), moment[2]
    found = _TIME.fullmatch(text)
    if found is None or day < 0:
        raise TimeError("not a time", remedy)
    hours, minutes, seconds, fraction = found.groups("0")
    whole = int(hours) * 3_600 + int(minutes) * 60 + int(seconds)
    return Instant(day + whole * SECOND + int(fraction.ljust(9, "0")))


def read_length(value: object) -> int:
    """Read "500ms", "59.9s", "10m", "2h", "1d", or seconds, as nanoseconds. Raises TimeError."""
    remedy = 'write "500ms", "59.9s", "10m", "2h", "1d", or seconds'
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= SECONDS_MAX:
            return int(Decimal(str(value)) * SECOND)
        raise TimeError(f"{value} is out of bounds", f"write from 0 to {SECONDS_MAX} seconds")
    found = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise TimeError("not a length of time", remedy)
    length = int(Decimal(found[1]) * _UNITS[found[2]])
    if length > SECONDS_MAX * SECOND:
        raise TimeError(f"{found[0]} is out of bounds", "write at most 366d")
    return length
