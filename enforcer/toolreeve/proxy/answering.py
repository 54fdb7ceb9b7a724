"""The request that is being answered on a connection: one at a time, by a task or without one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from toolreeve.proxy.http_reply import HttpReply, Wire
from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.straight import Straight, failed

Work = Coroutine[Any, Any, None] | Straight
"""How a request is answered: by a coroutine, which gets a task, or by what calls back."""

Handler = Callable[[HttpRequest, HttpReply], Work]


class Answering:
    """Has one request answered after the other; `served` hears of each that is over."""

    __slots__ = ("_handler", "_loop", "_over", "_reply", "_served", "_straight", "_task", "request")

    def __init__(
        self,
        handler: Handler,
        served: Callable[[HttpRequest, HttpReply], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._handler = handler
        self._served = served
        self._loop = loop
        self.request: HttpRequest | None = None
        self._reply: HttpReply | None = None
        self._task: asyncio.Task[None] | None = None
        self._straight: Straight | None = None
        self._over: asyncio.Future[None] | None = None

    def begin(self, request: HttpRequest, wire: Wire) -> None:
        """Answer a request; nothing else may be under way. `served` may be called before this
        returns."""
        self.request = request
        reply = self._reply = HttpReply(wire, request)
        try:
            work = self._handler(request, reply)
        except Exception:  # noqa: BLE001  (`failed` logs it)
            failed(request, reply)
            self._end()
            return
        if isinstance(work, Straight):
            self._straight = work
            work.begin(self._end)
        else:
            self._task = self._loop.create_task(self._run(work, request, reply))
            self._task.add_done_callback(lambda _: self._ran(work))

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""
        if self.request is not None:
            self.request.gone = True
            if not self.request.shielded:
                self.give_up()

    def give_up(self) -> None:
        """Answer no further what is being answered."""
        if self._task is not None:
            self._task.cancel()
        elif self._straight is not None:
            self._straight.leave()

    def over(self) -> "asyncio.Future[None]":
        """Done when the request that is being answered is over. An endless answer is ended."""
        assert self.request is not None, "nothing is being answered"
        if self.request.endless:
            self.give_up()
        self._over = self._loop.create_future()
        return self._over

    async def _run(
        self, work: Coroutine[Any, Any, None], request: HttpRequest, reply: HttpReply
    ) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001  (as above)
            failed(request, reply)

    def _ran(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()  # a task that was cancelled before it began has never looked at it
        self._end()

    def _end(self) -> None:
        request, reply = self.request, self._reply
        assert request is not None
        assert reply is not None
        self.request = self._reply = self._task = self._straight = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        self._served(request, reply)
