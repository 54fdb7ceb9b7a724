"""Commits as values and as bytes."""

import pytest

from toolreeve.audit import Hold, HoldPlaced, HoldReleased
from toolreeve.control.translate import read_commit, write_commit
from toolreeve.decision import Instant
from toolreeve.fleet import (
    Commit,
    EnforcerSeen,
    ManifestIssued,
    PolicyActivated,
    PolicyNacked,
    RevisionPublished,
)
from toolreeve.policy.sign import Envelope, EnvelopeSignature
from toolreeve.v1 import control_pb2 as pb
from toolreeve.wire import WireError

COMMIT = Commit(
    index=3,
    previous_hash=b"p" * 32,
    command_id="c",
    actor="ada",
    reason="because",
    at=Instant(4),
    events=(
        RevisionPublished(policy="p", revision="r", body=b"{}"),
        ManifestIssued(
            server="vm",
            policy="p",
            revision="r",
            manifest_sequence=1,
            envelope=Envelope(payload=b"{}", signatures=(EnvelopeSignature("k", b"s"),)),
        ),
        EnforcerSeen(
            enforcer_id="e",
            host="h",
            software_version="1",
            servers=("vm",),
            labels={"a": "1", "b": "2"},
        ),
        PolicyActivated(enforcer_id="e", server="vm", revision="r", manifest_sequence=1),
        PolicyNacked(
            enforcer_id="e",
            server="vm",
            revision="r",
            manifest_sequence=1,
            code="hash",
            reason="torn",
        ),
        HoldPlaced(hold=Hold(hold_id="h", fleet=True, actor="ada", reason="burst")),
        HoldReleased(hold_id="h", actor="ada", reason="calm"),
    ),
)


def test_a_commit_with_every_kind_of_event_is_read_as_it_was_meant() -> None:
    assert read_commit(write_commit(COMMIT)) == COMMIT


def test_equal_commits_have_equal_bytes() -> None:
    assert write_commit(read_commit(write_commit(COMMIT))) == write_commit(COMMIT)


def test_an_event_that_only_a_newer_version_knows_is_not_skipped() -> None:
    newer = pb.Commit(index=1, events=[pb.ControlEvent()])
    with pytest.raises(WireError, match="newer version"):
        read_commit(newer.SerializeToString())


def test_bytes_that_are_no_commit_are_refused() -> None:
    with pytest.raises(WireError, match="not a Commit"):
        read_commit(b"\xff\xff\xff")
