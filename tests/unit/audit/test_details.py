"""Whether what is gone beside a history is gone on record."""

from toolreeve.audit import ErasedEvents, ErasureMade, Position
from toolreeve.audit.details import Absences, Details, salts
from toolreeve.audit.verify import Fault


def erasure(*sequences: int, epoch: int = 1) -> ErasureMade:
    erased = (ErasedEvents(enforcer="edge-1", epoch=epoch, sequences=sequences),)
    return ErasureMade(erasure_id="e", actor="dpo", reason="r", selector="s", erased=erased)


def test_what_is_gone_and_named_by_an_erasure_is_erased() -> None:
    absences = Absences()
    absences.gone("edge-1", 1, 3)
    absences.read(erasure(3, 5))
    absences.gone("edge-1", 1, 5)
    assert absences.finish() == []
    assert (absences.erased, absences.unexplained) == (2, 0)


def test_what_is_gone_and_not_named_is_missing() -> None:
    absences = Absences()
    absences.read(erasure(3, epoch=2))
    absences.gone("edge-1", 1, 3)
    (finding,) = absences.finish()
    assert (finding.fault, finding.event) == (Fault.DETAILS_MISSING, "edge-1:1:3")
    assert (absences.erased, absences.unexplained) == (0, 1)


def test_a_salt_is_of_one_event_and_one_secret() -> None:
    places = [Position(epoch, sequence) for epoch in (1, 2) for sequence in (1, 2, 12)]
    mine = {one for place in places for one in salts(b"a" * 32, place, 20)}
    assert len(mine) == 120
    assert not mine.intersection(salts(b"b" * 32, Position(1, 1), 20))
    assert all(len(one) == 16 for one in mine)


def test_a_commitment_is_over_salt_and_content() -> None:
    one = Details(b"s" * 16, b"content")
    assert one.commitment == Details(b"s" * 16, b"content").commitment
    assert one.commitment != Details(b"t" * 16, b"content").commitment
    assert one.commitment != Details(b"s" * 16, b"contents").commitment
