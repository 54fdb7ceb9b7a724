"""What an order about grants changes, and what is recorded of it."""

from toolreeve.decision.grant import Grant, Grants, Token
from toolreeve.enforcement.grants import put

NIGHT = Grant(grant="night", agent="a", tokens=(Token("1" * 64),), actor="ops", reason="new")
DAY = Grant(grant="day", agent="b", tokens=(Token("2" * 64),), actor="ops", reason="new")
REVOKED = Grant(
    grant="night", agent="a", tokens=NIGHT.tokens, revoked=True, actor="eve", reason="lost"
)


def test_a_change_is_recorded_once_and_leaves_the_other_grants_alone() -> None:
    before = Grants([NIGHT, DAY])
    after, news = put(before, [REVOKED], snapshot=False)
    assert [(one.grant, one.revoked, one.tokens, one.actor) for one in news] == [
        ("night", True, 0, "eve")
    ]
    assert dict(after.by_name) == {"night": REVOKED, "day": DAY}
    assert put(after, [REVOKED], snapshot=False)[1] == ()


def test_what_a_snapshot_does_not_name_is_gone_and_recorded_as_revoked() -> None:
    after, news = put(Grants([NIGHT, DAY]), [DAY], snapshot=True)
    assert dict(after.by_name) == {"day": DAY}
    assert [(one.grant, one.revoked) for one in news] == [("night", True)]


def test_a_snapshot_that_says_nothing_new_is_not_recorded() -> None:
    after, news = put(Grants([NIGHT, DAY]), [DAY, NIGHT], snapshot=True)
    assert dict(after.by_name) == {"night": NIGHT, "day": DAY}
    assert news == ()
