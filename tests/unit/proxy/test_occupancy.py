"""Connections by who holds them: whoever says nothing waits in nobody's way."""

from toolreeve.proxy.http_request import HttpBounds
from toolreeve.proxy.occupancy import GRANT_FULL, STREAMS_FULL, Occupancy, Streams, peer_of

BOUNDS = HttpBounds(connections_max=6, connections_per_peer_max=3, connections_per_grant_max=2)


class Guest:
    def __init__(self, name: str) -> None:
        self.name = name
        self.dismissed = False

    def make_room(self) -> None:
        self.dismissed = True


def house(*guests: tuple[str, str]) -> tuple[Occupancy[Guest], list[Guest]]:
    occupancy: Occupancy[Guest] = Occupancy(BOUNDS)
    made = [Guest(name) for name, _ in guests]
    for guest, (_, peer) in zip(made, guests, strict=True):
        assert occupancy.enter(guest, peer)
    return occupancy, made


def test_one_address_pushes_out_its_own_oldest_stranger() -> None:
    occupancy, guests = house(("a", "1"), ("b", "1"), ("other", "2"), ("c", "1"))
    assert occupancy.enter(Guest("d"), "1")
    assert [guest.name for guest in guests if guest.dismissed] == ["a"]
    assert len(occupancy) == 4


def test_a_full_house_makes_room_by_its_oldest_stranger() -> None:
    occupancy, guests = house(*((str(number), str(number)) for number in range(6)))
    occupancy.prove(guests[0], "grant")
    assert occupancy.enter(Guest("late"), "late")
    assert [guest.name for guest in guests if guest.dismissed] == ["1"]


def test_a_house_full_of_grants_takes_nobody_in() -> None:
    occupancy, guests = house(*((str(number), str(number)) for number in range(6)))
    for number, guest in enumerate(guests):
        assert occupancy.prove(guest, f"grant {number // 2}") is None
    assert not occupancy.enter(Guest("late"), "late")
    assert not any(guest.dismissed for guest in guests)
    occupancy.leave(guests[0])
    assert occupancy.enter(Guest("later"), "later")


def test_a_grant_has_so_many_connections_and_no_more() -> None:
    occupancy, (a, b, c) = house(("a", "1"), ("b", "1"), ("c", "1"))
    assert occupancy.prove(a, "g") is None
    assert occupancy.prove(b, "g") is None
    assert occupancy.prove(c, "g") is GRANT_FULL
    assert occupancy.prove(a, "g") is None, "one that is counted is not counted again"
    occupancy.leave(a)
    assert occupancy.prove(c, "g") is None


def test_a_connection_that_shows_another_grant_is_that_one_s() -> None:
    occupancy, (a, b, c) = house(("a", "1"), ("b", "1"), ("c", "1"))
    assert occupancy.prove(a, "g") is None
    assert occupancy.prove(b, "g") is None
    assert occupancy.prove(a, "h") is None
    assert occupancy.prove(c, "g") is None, "a counts for h only"


def test_what_has_left_is_counted_nowhere() -> None:
    occupancy, guests = house(("a", "1"), ("b", "1"), ("c", "2"))
    occupancy.prove(guests[0], "g")
    for guest in (*guests, *guests):
        occupancy.leave(guest)
    assert len(occupancy) == 0
    for _ in range(3):
        assert occupancy.enter(Guest("new"), "1")


def test_streams_are_counted_by_grant() -> None:
    streams = Streams(2)
    assert [streams.begin("g"), streams.begin("g"), streams.begin("g")] == [
        None,
        None,
        STREAMS_FULL,
    ]
    assert streams.begin("h") is None
    streams.end("g")
    assert streams.begin("g") is None


def test_an_address_is_a_peer_and_of_the_newer_kind_its_network_is() -> None:
    assert peer_of(("192.0.2.1", 4000)) == "192.0.2.1"
    assert peer_of(("2001:db8:1:2:3:4:5:6", 4000, 0, 0)) == "2001:db8:1:2::/64"
    assert peer_of(("2001:db8:1:2:ffff::1", 4000, 0, 0)) == "2001:db8:1:2::/64"
    assert peer_of(("::ffff:192.0.2.1", 4000, 0, 0)) == "192.0.2.1"
    assert peer_of(("fe80::1%eth0", 4000, 0, 2)) == "fe80::/64"
    assert peer_of(None) == ""
