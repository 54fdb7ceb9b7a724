"""Takes votes on approvals by signed POSTs, for whoever decides in a program of their own.

`POST /approvals` with `{"approval": ID, "approved": true, "actor": WHO, "reason": WHY}`. A message
sent again under its id is the same vote, answered as the first time; one of another time is not
believed. Whoever holds the secret speaks for everybody, so actors from here have a name of their
own: `webhook:WHO`, which is what a policy's `approvers` must say.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from toolreeve.control.desk import Submitting
from toolreeve.control.store import LogUnavailableError
from toolreeve.control.webhook_signature import problem_of
from toolreeve.decision.instant import SECOND
from toolreeve.fleet import (
    Command,
    CommandError,
    CommandReusedError,
    NotFoundError,
    WrongStateError,
)
from toolreeve.fleet.approval_commands import vote
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

ACTOR_PREFIX = "webhook:"
PATH = b"/approvals"
HEAD_BYTES_MAX = 8 * 1024
BODY_BYTES_MAX = 16 * 1024
SECONDS_MAX = 10.0
CONNECTIONS_MAX = 64


class Vote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of one approval."""

    approval: str
    approved: bool
    actor: str
    reason: str = ""


class _BadRequestError(Exception):
    """A request that is no vote of anybody we know."""

    def __init__(self, status: HTTPStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class ApprovalInlet:
    """Listens, believes who signs, and votes."""

    def __init__(self, submitting: Submitting, secret: bytes, clock: Clock) -> None:
        self._submitting = submitting
        self._secret = secret
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._open = 0

    async def listen(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError."""
        self._server = await asyncio.start_server(
            self._serve, host, port, limit=HEAD_BYTES_MAX + BODY_BYTES_MAX
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                async with asyncio.timeout(SECONDS_MAX):
                    writer.write(await self._answer(reader))
                    await writer.drain()
        except (TimeoutError, OSError, EOFError):
            pass  # nobody is there any more, or nobody says anything
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            headers, body = await _read(reader)
            return await self._vote(headers, body)
        except _BadRequestError as error:
            log.warning("vote.refused", reason=str(error))
            return _said(error.status, {"problem": str(error)})

    async def _vote(self, headers: dict[str, str], body: bytes) -> bytes:
        message_id = headers.get("webhook-id", "")
        problem = problem_of(
            self._secret,
            message_id=message_id,
            timestamp=headers.get("webhook-timestamp", ""),
            signatures=headers.get("webhook-signature", ""),
            body=body,
            now=self._clock.now() // SECOND,
        )
        if problem:
            raise _BadRequestError(HTTPStatus.UNAUTHORIZED, problem)
        try:
            said = msgspec.json.decode(body, type=Vote)
        except msgspec.MsgspecError as error:
            raise _BadRequestError(HTTPStatus.BAD_REQUEST, f"no vote: {error}") from error
        if not said.actor.strip():
            raise _BadRequestError(HTTPStatus.BAD_REQUEST, "no vote: actor is empty")
        command = Command(
            command_id=f"webhook-{message_id}",
            actor=ACTOR_PREFIX + said.actor,
            reason=said.reason,
        )
        try:
            await self._submitting.submit(
                lambda state, at: vote(
                    state, command, approval_id=said.approval, approved=said.approved, at=at
                )
            )
        except CommandError as error:
            return _said(_status_of(error), {"problem": error.problem, "remedy": error.remedy})
        except LogUnavailableError as error:
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, {"problem": str(error)})
        log.info("approval.voted", approval=said.approval, approved=said.approved)
        return _said(HTTPStatus.OK, {"approval": said.approval, "approved": said.approved})


async def _read(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """The headers, by their names in lower case, and the body of a POST of ours."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise _BadRequestError(HTTPStatus.BAD_REQUEST, "the head is too long") from error
    first, *lines = head[:-4].split(b"\r\n")
    words = first.split(b" ")
    if len(head) > HEAD_BYTES_MAX or len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        raise _BadRequestError(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 that is served here")
    if words[:2] != [b"POST", PATH]:
        raise _BadRequestError(HTTPStatus.NOT_FOUND, "POST to /approvals")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or name.lower() in headers:
            raise _BadRequestError(HTTPStatus.BAD_REQUEST, "a header stands twice, or is none")
        headers[name.lower()] = value.strip()
    size = headers.get("content-length", "")
    if "transfer-encoding" in headers or not size.isascii() or not size.isdecimal():
        raise _BadRequestError(HTTPStatus.LENGTH_REQUIRED, "say Content-Length")
    if len(size) > len(str(BODY_BYTES_MAX)) or int(size) > BODY_BYTES_MAX:
        raise _BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long")
    return headers, await reader.readexactly(int(size))


def _status_of(error: CommandError) -> HTTPStatus:
    match error:
        case NotFoundError():
            return HTTPStatus.NOT_FOUND
        case WrongStateError() | CommandReusedError():
            return HTTPStatus.CONFLICT
        case _:
            return HTTPStatus.BAD_REQUEST


def _said(status: HTTPStatus, content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
