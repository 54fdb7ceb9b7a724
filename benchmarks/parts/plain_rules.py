"""The fixed thresholds that everybody ships, one for each kind of incident, to compare with.

A count over a line within a window, the same line for every VM, agent and hour. What crosses it is
told once; further crossings within half an hour belong to it, as with the product's alerts.
"""

from collections import deque

from msgspec import Struct

from toolreeve.decision.instant import DAY, HOUR, MINUTE
from toolreeve.detect import Attempt
from toolreeve.detect.hours import is_weekend
from toolreeve.detect.seen import Ending, Seen

QUIET = 30 * MINUTE
FIRST_AFTER = 7 * DAY


class Alarm(Struct, frozen=True):
    """What a rule says: of whom, and when."""

    rule: str
    at: int
    agent: str = ""
    target: str = ""
    server: str = ""
    note: str = ""


class PlainRules:
    """All of them at once."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, ...], deque[tuple[int, str]]] = {}
        self._told: dict[tuple[str, ...], int] = {}
        self._known: set[tuple[str, str]] = set()
        self._days: dict[tuple[str, int], int] = {}
        self._begin: int | None = None

    def observe(self, seen: Seen) -> list[Alarm]:
        """Count one call or ending."""
        if isinstance(seen, Ending):
            return self._ending(seen) if seen.failed else []
        if not isinstance(seen, Attempt):
            return []
        if self._begin is None:
            self._begin = seen.at
        vm = seen.values[0][1] if seen.values else ""
        at, agent = seen.at, seen.agent
        alarms: list[Alarm | None] = []
        if seen.tool == "vm_restart":
            alarms.append(self._over("restart_burst", at, 10, 4, target=vm))
        if seen.tool in {"vm_start", "vm_stop", "vm_restart"} and seen.admitted:
            alarms.append(self._over("flapping", at, 15, 6, target=vm))
        if seen.tool == "vm_clone":
            alarms.append(self._over("clone_storm", at, 10, 8, agent=agent))
        if vm:
            alarms.append(self._over("fan_out", at, 10, 10, agent=agent, thing=vm))
        if not seen.admitted:
            alarms.append(self._over("denial_spike", at, 5, 5, agent=agent))
            alarms.append(self._over("probing", at, 10, 3, agent=agent, thing=seen.tool))
        alarms.append(self._first("first_seen", at, agent, seen.tool))
        alarms.append(self._first("first_target", at, agent, vm))
        hour = at // HOUR % 24
        if is_weekend(at // DAY) or not 6 <= hour < 20:
            alarms.append(self._over("off_hours", at, 60, 3, agent=agent))
        alarms.append(self._volume(at, agent))
        return [alarm for alarm in alarms if alarm is not None]

    def _ending(self, seen: Ending) -> list[Alarm]:
        alarm = self._over("failures", seen.at, 10, 5, server=seen.server)
        return [] if alarm is None else [alarm]

    def _first(self, rule: str, at: int, agent: str, thing: str) -> Alarm | None:
        if not thing or (agent, thing) in self._known:
            return None
        self._known.add((agent, thing))
        if self._begin is None or at < self._begin + FIRST_AFTER:
            return None
        return self._tell(rule, at, agent=agent)

    def _volume(self, at: int, agent: str) -> Alarm | None:
        day = at // DAY
        calls = self._days[agent, day] = self._days.get((agent, day), 0) + 1
        before = self._days.get((agent, day - 1), 0)
        if before >= 10 and calls > 2 * before:
            return self._tell("volume", at, agent=agent)
        return None

    def _over(
        self,
        rule: str,
        at: int,
        minutes: int,
        line: int,
        *,
        agent: str = "",
        target: str = "",
        server: str = "",
        thing: str = "",
    ) -> Alarm | None:
        window = self._windows.setdefault((rule, agent, target, server), deque())
        window.append((at, thing))
        while window[0][0] <= at - minutes * MINUTE:
            window.popleft()
        count = len({each for _, each in window}) if thing else len(window)
        if count < line:
            return None
        return self._tell(rule, at, agent=agent, target=target, server=server)

    def _tell(
        self, rule: str, at: int, *, agent: str = "", target: str = "", server: str = ""
    ) -> Alarm | None:
        key = (rule, agent, target, server)
        last = self._told.get(key)
        self._told[key] = at
        if last is not None and at <= last + QUIET:
            return None
        return Alarm(rule, at, agent=agent, target=target, server=server)
