"""Sessions: whose they are, and whose are forgotten when there are too many."""

from toolreeve.proxy.gate import Caller
from toolreeve.proxy.sessions import Session, Sessions

ONE, TWO = Caller("one", "a"), Caller("two", "b")


def opened(sessions: Sessions, caller: Caller, *names: str) -> list[Session]:
    return [sessions.open(name, caller, 0) for name in names]


def test_a_session_is_found_by_its_own_grant_only() -> None:
    sessions = Sessions()
    (session,) = opened(sessions, ONE, "s")
    assert sessions.find("s", ONE) is session
    assert sessions.find("s", TWO) is None
    assert sessions.find_or_adopt("s", TWO) is None


def test_a_grant_with_too_many_sessions_forgets_its_own() -> None:
    sessions = Sessions(per_grant_max=2)
    opened(sessions, TWO, "theirs")
    opened(sessions, ONE, "a", "b")
    sessions.find("a", ONE)
    opened(sessions, ONE, "c", "d")
    assert sessions.find("theirs", TWO) is not None
    assert [sessions.find(name, ONE) is not None for name in "abcd"] == [False, False, True, True]
    assert len(sessions) == 3


def test_guessing_ids_pushes_out_nobody_else() -> None:
    sessions = Sessions(sessions_max=100, per_grant_max=10)
    opened(sessions, TWO, "theirs")
    for number in range(1_000):
        sessions.find_or_adopt(f"guess {number}", ONE)
    assert sessions.find("theirs", TWO) is not None
    assert len(sessions) == 11


def test_what_a_session_has_open_ends_when_it_is_forgotten() -> None:
    sessions = Sessions(sessions_max=1)
    (session,) = opened(sessions, ONE, "a")
    assert session.begin("7")
    opened(sessions, TWO, "b")
    assert session.flights == {}


def test_an_id_that_a_server_gives_twice_belongs_to_the_second() -> None:
    sessions = Sessions()
    (first,) = opened(sessions, ONE, "s")
    (second,) = opened(sessions, TWO, "s")
    assert second is not first
    assert sessions.find("s", ONE) is None
    assert sessions.find("s", TWO) is second
    assert opened(sessions, TWO, "s") == [second]


def test_counts_are_given_back() -> None:
    sessions = Sessions(per_grant_max=1)
    for _ in range(5):
        opened(sessions, ONE, "s")
        sessions.drop("s", "ended")
    assert len(sessions) == 0
    opened(sessions, ONE, "t")
    assert sessions.find("t", ONE) is not None
