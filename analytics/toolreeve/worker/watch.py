"""The detectors over the loads, and their alerts as events in the worker's own outbox.

An alert is said exactly once. Its id follows from the history alone; what was said is on record in
the outbox, and through it in the warehouse; how far the detectors had come is a mark that each load
carries for the one before. After a crash detectors are shown the history up to the mark in silence,
then what came behind it, and say only what is not on record.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import structlog

from toolreeve.audit import AlertRaised, AlertResolved, Decided, Draft, Event
from toolreeve.decision import Instant
from toolreeve.detect import (
    Attempt,
    BurstDetector,
    BurstRule,
    Change,
    DefinitionDetector,
    DefinitionRule,
    Ended,
    Finding,
    Known,
    Sighting,
    attempt_of,
    sighting_of,
    text_of,
)
from toolreeve.outbox import Outbox, OutboxError
from toolreeve.warehouse import report
from toolreeve.warehouse.report import ToolEvent, Tried
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import read_event, unpack

log = structlog.get_logger()

MARK = "detected"
RETRY_SECONDS = 1.0
TOOLS_KNOWN_MAX = 10_000
"""Of so many tool names is remembered whether a rule speaks of them; agents choose names."""

Say = Callable[[AlertRaised, Instant | None], None]
"""Hears of an alert that was raised, or that was over at an instant, once it is on record."""


class Watch:
    """All rules, shown each load once and in order."""

    def __init__(
        self,
        rules: Sequence[BurstRule],
        outbox: Outbox[Draft],
        now: Callable[[], Instant],
        say: Say,
        *,
        definitions: DefinitionRule | None = None,
    ) -> None:
        self._definitions = DefinitionDetector(definitions or DefinitionRule())
        self._detectors = [BurstDetector(rule) for rule in rules]
        self._outbox = outbox
        self._now = now
        self._say = say
        self._matters = lru_cache(TOOLS_KNOWN_MAX)(self._speaks_of)
        self._raised: dict[str, AlertRaised] = {}
        self._resolved: dict[str, Instant] = {}

    def _speaks_of(self, tool: str) -> bool:
        return any(detector.rule.speaks_of(tool) for detector in self._detectors)

    def on_record(self) -> tuple[tuple[AlertRaised, Instant | None], ...]:
        """Every alert that was said, and when it was over."""
        return tuple(
            (raised, self._resolved.get(raised.alert_id)) for raised in self._raised.values()
        )

    def restore(self, warehouse: Warehouse) -> None:
        """Show the detectors the history up to the mark, in silence. Blocks."""
        self._recall(warehouse)
        known = tuple(
            Known(raised, raised.alert_id in self._resolved) for raised in self._raised.values()
        )
        mark = warehouse.mark(MARK)
        newest = report.newest_time(warehouse)
        tools = report.tools(warehouse)
        for detector in self._detectors:
            rule = detector.rule
            since = Instant(max(0, newest - rule.memory_ns))
            chosen = [tool for tool in tools if rule.speaks_of(tool)]
            rows = report.tried(warehouse, tools=chosen, since=since, up_to_load=mark)
            for row in rows:
                detector.observe(_attempt(row))
            detector.restore(alert for alert in known if alert.raised.rule == rule.name)

    async def catch_up(self, warehouse: Warehouse) -> int:
        """See what was loaded behind the mark, and say what it raises. Returns the last load."""
        mark, last = warehouse.mark(MARK), warehouse.last_load
        tools = await asyncio.to_thread(report.tools, warehouse)
        findings: list[Finding] = []
        for detector in self._detectors:
            chosen = [tool for tool in tools if detector.rule.speaks_of(tool)]
            rows = report.tried(
                warehouse, tools=chosen, since=Instant(0), after_load=mark, up_to_load=last
            )
            for row in await asyncio.to_thread(list, rows):
                findings.extend(detector.observe(_attempt(row)))
        # Definitions change seldom: all of it is looked at anew, and what was said is not again.
        for event in await asyncio.to_thread(list, report.tool_events(warehouse, up_to_load=last)):
            findings.extend(self._definitions.observe(_sighting(event)))
        await self.record(findings)
        return last

    async def see(self, events: Iterable[Event]) -> None:
        """Show the events of one load, in order; return when what they raise is on record."""
        findings: list[Finding] = []
        for event in events:
            if isinstance(event.body, Decided) and self._matters(event.body.tool):
                attempt = attempt_of(event)
                assert attempt is not None, "a decision is an attempt"
                for detector in self._detectors:
                    findings.extend(detector.observe(attempt))
            elif (sighting := sighting_of(event)) is not None:
                findings.extend(self._definitions.observe(sighting))
        await self.record(findings)

    async def pass_time(self, at: Instant) -> None:
        """Say what is over by `at`. To be called only while nothing waits to be loaded."""
        findings = [finding for each in self._detectors for finding in each.advance(at)]
        await self.record(findings)

    async def record(self, findings: Sequence[Finding]) -> None:
        """Put what is new on record, then tell."""
        for finding in findings:
            match finding:
                case AlertRaised() if finding.alert_id not in self._raised:
                    await self._append(finding)
                    self._raised[finding.alert_id] = finding
                    log.info("alert.raised", alert_id=finding.alert_id, rule=finding.rule)
                    self._say(finding, None)
                case Ended(alert_id=alert_id) if alert_id not in self._resolved:
                    await self._append(AlertResolved(alert_id=alert_id, reason=finding.reason))
                    self._resolved[alert_id] = finding.at
                    log.info("alert.resolved", alert_id=alert_id)
                    if alert_id in self._raised:
                        self._say(self._raised[alert_id], finding.at)
                case _:
                    pass

    async def _append(self, body: AlertRaised | AlertResolved) -> None:
        """Return when the event is durable; while the disk does not take it, try again."""
        while True:
            try:
                await self._outbox.append(Draft(self._now(), body))
            except OutboxError as error:
                log.error("alert.not_recorded", problem=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _recall(self, warehouse: Warehouse) -> None:
        """Read what was said: in the warehouse, and in the outbox, which may be ahead of it."""
        for alert in report.alerts(warehouse):
            self._raised[alert.raised.alert_id] = alert.raised
            if alert.resolved_at is not None:
                self._resolved[alert.raised.alert_id] = alert.resolved_at
        for group in self._outbox.groups():
            for raw in unpack(group.payload).raws:
                event = read_event(raw)
                body = event.body
                if isinstance(body, AlertRaised):
                    self._raised[body.alert_id] = body
                elif isinstance(body, AlertResolved):
                    self._resolved.setdefault(body.alert_id, event.at)


def _attempt(row: Tried) -> Attempt:
    return Attempt(
        at=row.at,
        server=row.server,
        tool=row.tool,
        grant=row.grant,
        agent=row.agent,
        admitted=row.admitted,
        values=tuple((pointer, text_of(value)) for pointer, value in row.values.items()),
    )


def _sighting(event: ToolEvent) -> Sighting:
    return Sighting(
        at=event.at,
        enforcer=event.enforcer,
        change=Change(event.change),
        server=event.server,
        tool=event.tool,
        digest=event.digest,
        previous_digest=event.previous_digest,
        approved_digest=event.approved_digest,
        members=event.members,
        looks_like=event.looks_like,
        together=event.together,
    )
