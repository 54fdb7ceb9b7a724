"""Commits as values and as bytes."""

import pytest

from toolreeve.audit import Hold, HoldPlaced, HoldReleased
from toolreeve.control.translate import read_commit, write_commit
from toolreeve.decision import Instant
from toolreeve.decision.evidence import Evidence
from toolreeve.fleet import (
    Commit,
    EnforcerSeen,
    EvidenceReported,
    ManifestIssued,
    OnHalt,
    Plan,
    PolicyActivated,
    PolicyNacked,
    Report,
    RevisionPublished,
    RolloutChanged,
    RolloutStarted,
    RolloutState,
    Signed,
)
from toolreeve.policy.cohort import Cohort
from toolreeve.policy.sign import (
    Envelope,
    EnvelopeSignature,
    Manifest,
    SigningKey,
    sign_manifest,
)
from toolreeve.v1 import control_pb2 as pb
from toolreeve.wire import WireError


def signed(sequence: int, cohort: Cohort | None = None) -> Signed:
    manifest = Manifest(
        policy="p",
        server="vm",
        sequence=sequence,
        revision="r1",
        size=2,
        issued_ns=3,
        rollout="r",
        cohort="" if cohort is None else cohort.text,
    )
    return Signed(sequence=sequence, cohort=cohort, envelope=sign_manifest(manifest, KEY))


KEY = SigningKey.generate()
STARTED = RolloutStarted(
    rollout_id="r",
    server="vm",
    policy="p",
    revision="r1",
    previous_revision="r0",
    plan=Plan(
        stages=(1, 10_000),
        canary=(("canary", "true"), ("site", "lab")),
        tightened_max=None,
        loosened_max=3,
        on_halt=OnHalt.ROLL_BACK,
    ),
    stages=(signed(2, Cohort(salt="r", below=7)), signed(3, Cohort(salt="r", below=9))),
    final=signed(4),
    back=signed(5),
)

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
        STARTED,
        RolloutChanged(
            rollout_id="r", state=RolloutState.ROLLED_BACK, stage=1, reason="e1 refuses it"
        ),
        EvidenceReported(
            rollout_id="r",
            reports=(
                Report(
                    enforcer_id="e",
                    epoch=7,
                    evidence=Evidence(
                        rollout="r",
                        server="vm",
                        revision="r1",
                        activated=True,
                        first_decision="e:7:1",
                        decisions=6,
                        denials=5,
                        errors=4,
                        pairs=6,
                        tightened=2,
                        loosened=1,
                    ),
                ),
            ),
        ),
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


def test_a_rollout_whose_manifests_cannot_be_read_is_not_skipped() -> None:
    commit = pb.Commit.FromString(write_commit(COMMIT))
    for event in commit.events:
        if event.WhichOneof("body") == "rollout_started":
            event.rollout_started.back.payload = b"{"
    with pytest.raises(WireError, match="a rollout's manifest cannot be read"):
        read_commit(commit.SerializeToString())
