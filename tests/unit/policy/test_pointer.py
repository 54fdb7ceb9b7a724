"""JSON Pointers."""

import pytest

from toolreeve.policy import PointerError, parse_pointer, resolve, write_pointer


def test_a_pointer_survives_the_round_trip() -> None:
    keys = ("a/b", "~", "", "0", "é")
    assert parse_pointer(write_pointer(keys)) == keys


@pytest.mark.parametrize("text", ["a", "a/b", "/~", "/~2"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(PointerError):
        parse_pointer(text)


def test_only_own_members_and_plain_indexes_are_found() -> None:
    value = {"list": [10, 11], "__class__": 1, "null": None}
    assert resolve(value, ("list", "1")) == (True, 11)
    assert resolve(value, ("null",)) == (True, None)
    assert resolve(value, ("__class__",)) == (True, 1)
    for nowhere in (
        ("list", "2"),
        ("list", "01"),
        ("list", "-1"),
        ("list", "\u0661"),
        ("keys",),
        ("list", "1", "x"),
    ):
        assert resolve(value, nowhere) == (False, None)
