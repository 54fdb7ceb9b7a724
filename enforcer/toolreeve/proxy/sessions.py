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
SESSIONS_PER_GRANT_MAX: Final = 5_000
SESSION_ID_MAX: Final = 512
OPEN_REQUESTS_MAX: Final = 1_000
RESUME_SECONDS_MAX: Final = 300.0
_NOTHING_SEEN: Final = -1


ID_IN_USE: Final = Refused(
    code="id_in_use",
    reason="a request with this id is still under way, or too many requests are",
)


class Forgotten:
    """The ids of requests that nobody waits for any more, the latest of them.

    A server may still answer one; that is no fault of its, and no news to anybody.
    """

    def __init__(self) -> None:
        self._keys: collections.OrderedDict[str, None] = collections.OrderedDict()

    def add(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > OPEN_REQUESTS_MAX:
            self._keys.popitem(last=False)

    def take(self, key: str) -> bool:
        """Whether it is one of them; each is taken once."""
        known = key in self._keys
        self._keys.pop(key, None)
        return known


class Session:
    """One session. `flights` holds a Flight for a tool call, None for another request.

    `changes_seen` says up to which change of the tools its client knows them; `version` is the
    protocol version that was negotiated, empty while it is not known here.
    """

    __slots__ = (
        "_cancelled",
        "_timers",
        "changes_seen",
        "flights",
        "grant",
        "session_id",
        "version",
    )

    def __init__(self, session_id: str, grant: str, changes_seen: int = 0) -> None:
        self.session_id = session_id
        self.grant = grant
        self.changes_seen = changes_seen
        self.version = ""
        self.flights: dict[str, Flight | None] = {}
        self._cancelled: set[str] = set()
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
        self._cancelled.discard(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def cancel(self, key: str) -> None:
        """The client wants no answer to this request any more, if it is under way."""
        if key in self.flights:
            self._cancelled.add(key)

    def cancelled(self, key: str) -> bool:
        return key in self._cancelled

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
    """The sessions of one upstream, the least recently used forgotten first.

    A grant that has too many forgets its own: none can make another's be forgotten.
    """

    def __init__(
        self,
        sessions_max: int = SESSIONS_MAX,
        per_grant_max: int = SESSIONS_PER_GRANT_MAX,
    ) -> None:
        self._sessions_max = sessions_max
        self._per_grant_max = per_grant_max
        self._sessions: collections.OrderedDict[str, Session] = collections.OrderedDict()
        self._of_grant: collections.Counter[str] = collections.Counter()

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
        only its owner was told, owns it again. Which tools it was shown is not known any more.
        """
        if session_id not in self._sessions:
            return self.open(session_id, caller, _NOTHING_SEEN)
        return self.find(session_id, caller)

    def open(self, session_id: str, caller: Caller, changes_seen: int) -> Session:
        """Note a new session. An id that was another grant's is this one's from now on."""
        session = self._sessions.get(session_id)
        if session is not None and session.grant == caller.grant:
            return session
        if session is not None:
            self.drop(session_id, "the server gave its id to somebody else")
        grant = caller.grant
        if self._of_grant[grant] >= self._per_grant_max:
            self._forget(next(one for one in self._sessions.values() if one.grant == grant))
        while len(self._sessions) >= self._sessions_max:
            self._forget(next(iter(self._sessions.values())))
        session = self._sessions[session_id] = Session(session_id, grant, changes_seen)
        self._of_grant[grant] += 1
        return session

    def _forget(self, session: Session) -> None:
        self.drop(session.session_id, "session forgotten")

    def drop(self, session_id: str, detail: str) -> Session | None:
        """Forget a session; the answer is what it was, if there was one."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._of_grant[session.grant] -= 1
            if not self._of_grant[session.grant]:
                del self._of_grant[session.grant]
            session.close(detail)
        return session

    def close(self) -> None:
        for session_id in tuple(self._sessions):
            self.drop(session_id, "enforcer stopped")
