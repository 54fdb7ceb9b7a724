"""Telling receivers of alerts, in the shape of Alertmanager's webhook receiver (version 4).

Each receiver has a queue and a task of its own, so that one that is away holds up no other. A
message is tried a bounded number of times with growing pauses; how that ended stands in
`notifications`. Redirects are not followed.
"""

import asyncio
import json
import random
import ssl
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import structlog
from msgspec import Struct

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.warehouse.loads import Notification
from toolreeve.worker.settings import WebhookSettings

log = structlog.get_logger()

PAUSE_SECONDS_MIN = 0.5
PAUSE_SECONDS_MAX = 60.0
NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: what Alertmanager writes for the end of what has not ended."""


class Notice(Struct, frozen=True):
    """One change of one alert, to be told."""

    raised: AlertRaised
    resolved_at: Instant | None

    @property
    def status(self) -> str:
        """As Alertmanager calls it."""
        return "firing" if self.resolved_at is None else "resolved"


def payload(notice: Notice, receiver: str) -> dict[str, object]:
    """The message as Alertmanager documents it for webhook receivers."""
    raised = notice.raised
    labels = {
        **dict(raised.labels),
        "alertname": raised.rule,
        "severity": raised.severity,
        "detector": raised.detector,
        "alert_id": raised.alert_id,
    }
    annotations = {
        "summary": raised.summary,
        "query": raised.query,
        "observed": f"{raised.observed:g}",
        "threshold": f"{raised.threshold:g}",
        "baseline": f"{raised.baseline:g}",
    }
    ends = NEVER if notice.resolved_at is None else _time(notice.resolved_at)
    alert = {
        "status": notice.status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": _time(raised.crossed_at),
        "endsAt": ends,
        "generatorURL": "",
        "fingerprint": raised.alert_id[:16],
    }
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alert_id="{raised.alert_id}"}}',
        "truncatedAlerts": 0,
        "status": notice.status,
        "receiver": receiver,
        "groupLabels": {"alert_id": raised.alert_id},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }


class Webhook:
    """One receiver. `record` hears how each message ended."""

    def __init__(self, settings: WebhookSettings, record: Callable[[Notification], None]) -> None:
        self.settings = settings
        self._record = record
        self._waiting: deque[Notice] = deque()
        self._news = asyncio.Event()

    def tell(self, notice: Notice) -> None:
        """Queue a message. Where the queue is full, its oldest is given up."""
        if len(self._waiting) >= self.settings.waiting_max:
            self._done(self._waiting.popleft(), attempts=0, problem="too many were waiting")
        self._waiting.append(notice)
        self._news.set()

    async def run(self) -> None:
        """Send what is queued, in order, for ever."""
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            await self._send(self._waiting.popleft())

    async def _send(self, notice: Notice) -> None:
        body = json.dumps(payload(notice, self.settings.name)).encode()
        attempt, problem, again = 0, "", True
        while again and attempt < self.settings.attempts_max:
            attempt += 1
            try:
                async with asyncio.timeout(self.settings.timeout_seconds):
                    status = await _post(self.settings, body)
            except TimeoutError:
                problem, again = f"no answer in {self.settings.timeout_seconds:g} s", True
            except (OSError, EOFError, ValueError) as error:
                problem, again = str(error) or type(error).__name__, True
            else:
                if 200 <= status < 300:
                    self._done(notice, attempts=attempt, problem="")
                    return
                problem, again = f"answered {status}", status >= 500 or status == 429
            log.warning("notification.failed", receiver=self.settings.name, problem=problem)
            if again and attempt < self.settings.attempts_max:
                pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**attempt)
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  no secret
        self._done(notice, attempts=attempt, problem=problem)

    def _done(self, notice: Notice, *, attempts: int, problem: str) -> None:
        self._record(
            Notification(
                alert_id=notice.raised.alert_id,
                status=notice.status,
                receiver=self.settings.name,
                delivered=not problem,
                attempts=attempts,
                detail=problem,
            )
        )


async def _post(settings: WebhookSettings, body: bytes) -> int:
    """Send one message over a connection of its own; returns the status of the answer.

    Raises OSError where nobody is there, EOFError and ValueError where the answer is no HTTP.
    """
    url = urlsplit(settings.url)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(
        url.hostname, port, ssl=ssl.create_default_context() if secure else None
    )
    try:
        headers = [
            f"POST {(url.path or '/') + (f'?{url.query}' if url.query else '')} HTTP/1.1",
            f"Host: {url.netloc.rpartition('@')[2]}",
            "User-Agent: toolreeve",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        if settings.bearer_token:
            headers.append(f"Authorization: Bearer {settings.bearer_token}")
        writer.write("\r\n".join([*headers, "", ""]).encode() + body)
        await writer.drain()
        line = await reader.readuntil(b"\r\n")
        if not line.startswith(b"HTTP/1."):
            raise ValueError("the answer is no HTTP")
        return int(line.split()[1])
    finally:
        writer.close()


def _time(at: Instant) -> str:
    seconds, rest = divmod(at, SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest // 1_000:06d}Z"
