"""Who hears that the tools of one server are others now: the streams that are open to clients.

In the era of sessions such a message goes to one stream of each session, the one opened for what
belongs to no request; where there is none at the moment, the client is told with the next one it
opens, and again with each one until it has listed the tools. In the stateless era it goes to each
subscription that asked for it.
"""

from collections.abc import Callable

from toolreeve.proxy.sessions import Session


class Ear:
    """One open stream. `tell` is called when there is something to hear; `end` when it is over.

    A stream that takes up another one where it broke off (`resumed`) is told only where its
    session has no other.
    """

    __slots__ = ("end", "resumed", "session", "tell")

    def __init__(
        self,
        tell: Callable[[], None],
        session: Session | None = None,
        *,
        resumed: bool = False,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.tell = tell
        self.session = session
        self.resumed = resumed
        self.end = end


class Audience:
    """The open streams of one server's clients, and how often its tools have changed."""

    def __init__(self) -> None:
        self._ears: dict[Ear, None] = {}  # in the order of their coming
        self.changes = 0

    def join(self, ear: Ear) -> None:
        """Hear of what changes from now on, and of what the session has not heard of yet."""
        self._ears[ear] = None
        if ear.session is not None and ear.session.changes_seen != self.changes:
            ear.tell()

    def leave(self, ear: Ear) -> None:
        self._ears.pop(ear, None)

    def changed(self) -> None:
        """Tell all who listen."""
        self.changes += 1
        chosen: dict[str, Ear] = {}
        alone: list[Ear] = []
        for ear in self._ears:
            if ear.session is None:
                alone.append(ear)
                continue
            before = chosen.get(ear.session.session_id)
            if before is None or before.resumed or not ear.resumed:
                chosen[ear.session.session_id] = ear  # a later one, for the earlier may be dead
        for ear in (*chosen.values(), *alone):
            ear.tell()

    def listed(self, session: Session | None) -> None:
        """The session's client has been shown the tools as they are now."""
        if session is not None:
            session.changes_seen = self.changes

    def ended(self, session: Session) -> None:
        """A session is over, and with it the streams that we keep up for it."""
        for ear in tuple(self._ears):
            if ear.session is session:
                ear.end()
