"""Tells a receiver of approvals that wait and of what becomes of them, by signed POSTs.

Every replica tells: a message comes twice rather than never, and its id says that it is the same.
What cannot be told in a few attempts is given up: who lists the approvals sees them all the same.
"""

import asyncio
import json
import random
import ssl
from collections import deque
from typing import NoReturn
from urllib.parse import urlsplit

import structlog

from toolreeve.control.settings import ApprovalHookSettings
from toolreeve.control.webhook_signature import sign
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.approvals import Approval
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

PAUSE_SECONDS_MIN = 0.5
PAUSE_SECONDS_MAX = 30.0
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500


def message_of(approval: Approval) -> tuple[str, dict[str, object]]:
    """The id and the content of what is told of an approval as it stands."""
    question = approval.question
    message_id = f"{approval.approval_id}-{approval.state.value}-{len(approval.votes)}"
    return message_id, {
        "type": f"approval.{approval.state.value}",
        "data": {
            "approval": approval.approval_id,
            "state": approval.state.value,
            "agent": question.agent,
            "grant": question.grant,
            "server": question.server,
            "tool": question.tool,
            "argument_names": question.argument_names,
            "kept": dict(question.kept),
            "reason": question.reason,
            "policy_revision": question.policy_revision,
            "rule": question.rule,
            "approvers": question.approvers,
            "votes_needed": question.votes_needed,
            "votes": [
                {"actor": one.actor, "approved": one.approved, "reason": one.reason}
                for one in approval.votes
            ],
            "asked_unix_ms": approval.asked_at // 1_000_000,
            "expires_unix_ms": approval.until // 1_000_000,
        },
    }


class ApprovalHook:
    """One receiver, with a queue of its own. Where it is full, the oldest message is given up."""

    def __init__(self, settings: ApprovalHookSettings, secret: bytes, clock: Clock) -> None:
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=settings.waiting_max)
        self._news = asyncio.Event()

    def tell(self, approval: Approval) -> None:
        """Queue what there is to say of an approval now."""
        message_id, content = message_of(approval)
        self._waiting.append((message_id, json.dumps(content).encode()))
        self._news.set()

    async def run(self) -> NoReturn:
        """Send what is queued, in order, for ever."""
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            await self._send(*self._waiting.popleft())

    async def _send(self, message_id: str, body: bytes) -> None:
        problem = ""
        for attempt in range(1, self._settings.attempts_max + 1):
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    status = await self._post(message_id, body)
            except TimeoutError:
                problem = f"no answer in {self._settings.timeout_seconds:g} s"
            except (OSError, EOFError, ValueError) as error:
                problem = str(error) or type(error).__name__
            else:
                if status < 300:
                    return
                problem = f"answered {status}"
                if status < SERVER_ERRORS and status != TOO_MANY_REQUESTS:
                    break
            if attempt < self._settings.attempts_max:
                pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2**attempt)
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  no secret
        log.warning("approval.not_told", message=message_id, problem=problem)

    async def _post(self, message_id: str, body: bytes) -> int:
        """The status of the answer. Redirects are not followed."""
        url = urlsplit(self._settings.url)
        secure = url.scheme == "https"
        seconds = self._clock.now() // SECOND
        reader, writer = await asyncio.open_connection(
            url.hostname,
            url.port or (443 if secure else 80),
            ssl=ssl.create_default_context() if secure else None,
        )
        try:
            head = [
                f"POST {(url.path or '/') + (f'?{url.query}' if url.query else '')} HTTP/1.1",
                f"Host: {url.netloc.rpartition('@')[2]}",
                "User-Agent: toolreeve",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                f"webhook-id: {message_id}",
                f"webhook-timestamp: {seconds}",
                f"webhook-signature: {sign(self._secret, message_id, seconds, body)}",
                "Connection: close",
            ]
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            await writer.drain()
            line = await reader.readuntil(b"\r\n")
            if not line.startswith(b"HTTP/1."):
                raise ValueError("the answer is no HTTP")
            return int(line.split()[1])
        finally:
            writer.close()
