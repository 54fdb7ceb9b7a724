"""Names that become subjects."""

import pytest

from toolreeve.bus.backoff import full_jitter
from toolreeve.bus.subjects import Subjects, message_id


def test_names_are_derived_from_the_prefix() -> None:
    subjects = Subjects()
    assert subjects.audit("edge-1") == "toolreeve.audit.v1.edge-1"
    assert subjects.audit_all == "toolreeve.audit.v1.*"
    assert subjects.audit_stream == "TOOLREEVE_AUDIT"
    assert subjects.control_stream == "TOOLREEVE_CONTROL"
    assert subjects.inbox("edge-1") == "toolreeve.inbox.edge-1"
    assert Subjects("t7").audit_stream == "T7_AUDIT"


@pytest.mark.parametrize(
    "name", ["", "*", ">", "a.b", "a b", "a:b", "a\nb", "a\r", "ä", "$JS", "x" * 65]
)
def test_a_name_that_could_speak_for_others_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        Subjects().audit(name)
    with pytest.raises(ValueError, match="cannot be a name"):
        message_id(name, 1, 1)


@pytest.mark.parametrize("prefix", ["", "A", "a.b", "a-b", "$JS", "_a", "a" * 33])
def test_a_prefix_that_is_no_single_plain_token_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="cannot be a subject prefix"):
        Subjects(prefix)


def test_the_ids_of_two_enforcers_never_meet() -> None:
    assert message_id("edge-1", 2, 30) == "edge-1:2:30"
    assert message_id("edge-1", 23, 0) != message_id("edge-1", 2, 30)
    assert message_id("edge-11", 2, 30) != message_id("edge-1", 12, 30)


def test_waits_grow_to_a_bound_and_are_never_the_same_for_everybody() -> None:
    waits = [full_jitter(1) for _ in range(200)]
    assert all(0 <= wait <= 0.1 for wait in waits)
    assert max(waits) - min(waits) > 0.05
    assert all(full_jitter(10_000) <= 5.0 for _ in range(200))
