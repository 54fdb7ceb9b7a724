"""MCP sessions of the era that has them: whose they are, and what is under way in them.

A session belongs to the grant that opened it; to any other it does not exist. Within one, an id
names one request at a time, and a call whose stream broke off may still be answered on another
stream, so its outcome is kept open here for a while.
"""

import asyncio
import collections
from typing import Final

from toolreeve.proxy.gate import Caller
from toolreeve.proxy.seen import Flight
from toolreeve.proxy.strictjson import Refused

SESSIONS_MAX: Final = 10_000
OPEN_REQUESTS_MAX: Final = 1_000
RESUME_SECONDS_MAX: Final = 300.0


ID_IN_USE: Final = Refused(
    code="id_in_use",
    reason="a request with this id is still under way, or too many requests are",
)


class Session:
    """One session. `flights` holds a Flight for a tool call, None for another request."""

    __slots__ = ("_timers", "flights", "grant", "session_id")

    def __init__(self, session_id: str, grant: str) -> None:
        self.session_id = session_id
        self.grant = grant
        self.flights: dict[str, Flight | None] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self, key: str) -> bool:
        """Take an id for a request; False if it is in use, or too many are."""
        if key in self.flights or len(self.flights) >= OPEN_REQUESTS_MAX:
            return False
        self.flights[key] = None
        return True

    def end(self, key: str) -> None:
        """The request with this id is over."""
        self.flights.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def park(self, key: str, detail: str) -> None:
        """The stream of this request broke off; its answer may come on another one."""
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(RESUME_SECONDS_MAX, self._give_up, key, detail)

    def _give_up(self, key: str, detail: str) -> None:
        flight = self.flights.get(key)
        if flight is not None:
            flight.end("unknown", detail=detail)
        self.end(key)

    def close(self, detail: str) -> None:
        """Nothing more will come; whatever is open has an unknown outcome."""
        for key in tuple(self.flights):
            self._give_up(key, detail)


class Sessions:
    """The sessions of one upstream, the least recently used forgotten first."""

    def __init__(self, sessions_max: int = SESSIONS_MAX) -> None:
        self._sessions_max = sessions_max
        self._sessions: collections.OrderedDict[str, Session] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, session_id: str, caller: Caller) -> Session | None:
        """The session if it exists and is the caller's."""
        session = self._sessions.get(session_id)
        if session is None or session.grant != caller.grant:
            return None
        self._sessions.move_to_end(session_id)
        return session

    def find_or_adopt(self, session_id: str, caller: Caller) -> Session | None:
        """As `find`, but a session nobody here knows becomes the caller's.

        An upstream's session outlives a restart of ours; who first comes back with its id, which
        only its owner was told, owns it again.
        """
        if session_id not in self._sessions:
            return self.open(session_id, caller)
        return self.find(session_id, caller)

    def open(self, session_id: str, caller: Caller) -> Session:
        """Note a new session."""
        session = self._sessions.get(session_id)
        if session is None:
            while len(self._sessions) >= self._sessions_max:
                self._sessions.popitem(last=False)[1].close("session forgotten")
            session = self._sessions[session_id] = Session(session_id, caller.grant)
        return session

    def drop(self, session_id: str, detail: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            session.close(detail)

    def close(self) -> None:
        for session_id in tuple(self._sessions):
            self.drop(session_id, "enforcer stopped")
