"""Who is let in, and who is told what."""

from hashlib import sha256

from toolreeve.decision import Instant
from toolreeve.decision.grant import Grant, Grants, Holder, Token, TurnedAway

NOW = Instant(1_000)


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def known(*grants: Grant) -> Grants:
    return Grants(grants)


def grant(name: str = "night", **members: object) -> Grant:
    wanted: dict[str, object] = {
        "grant": name,
        "agent": f"agent of {name}",
        "tokens": (Token(hashed(name)),),
        **members,
    }
    return Grant(**wanted)  # type: ignore[arg-type]


def code(answer: Holder | TurnedAway) -> str:
    return answer.code if isinstance(answer, TurnedAway) else "in"


def test_a_token_opens_its_own_grant_and_an_unknown_one_nothing() -> None:
    grants = known(grant("night"), grant("day"))
    assert grants.admit("vm", hashed("day"), NOW) == Holder("day", "agent of day")
    assert code(grants.admit("vm", hashed("guess"), NOW)) == "unauthenticated"


def test_a_grant_is_good_until_the_moment_it_expires() -> None:
    grants = known(grant(expires_at=Instant(NOW + 1)))
    assert code(grants.admit("vm", hashed("night"), NOW)) == "in"
    assert code(grants.admit("vm", hashed("night"), Instant(NOW + 1))) == "grant_expired"


def test_whoever_presents_a_revoked_grant_is_told_and_named() -> None:
    turned_away = known(grant(revoked=True)).admit("vm", hashed("night"), NOW)
    assert isinstance(turned_away, TurnedAway)
    assert (turned_away.code, "'night'" in turned_away.reason) == ("grant_revoked", True)


def test_at_a_server_that_a_grant_is_not_for_its_holder_is_a_stranger() -> None:
    grants = known(grant(servers=("vm",)))
    assert code(grants.admit("vm", hashed("night"), NOW)) == "in"
    assert code(grants.admit("disks", hashed("night"), NOW)) == "unauthenticated"


def test_while_it_is_rotated_both_tokens_open_a_grant_and_then_the_new_one_alone() -> None:
    tokens = (Token(hashed("old"), Instant(NOW + 5)), Token(hashed("new")))
    grants = known(grant(tokens=tokens))
    for token in ("old", "new"):
        assert code(grants.admit("vm", hashed(token), Instant(NOW + 4))) == "in"
    assert code(grants.admit("vm", hashed("old"), Instant(NOW + 5))) == "grant_expired"
    assert code(grants.admit("vm", hashed("new"), Instant(NOW + 5))) == "in"


def test_who_is_in_may_stay_until_the_grant_ends_whatever_becomes_of_its_token() -> None:
    rotated = known(grant(tokens=(Token(hashed("new")),), expires_at=Instant(NOW + 9)))
    assert rotated.holds("vm", "night", Instant(NOW + 8))
    assert not rotated.holds("vm", "night", Instant(NOW + 9))
    assert not known(grant(revoked=True)).holds("vm", "night", NOW)
    assert not known(grant(servers=("vm",))).holds("disks", "night", NOW)
    assert not known().holds("vm", "night", NOW)
