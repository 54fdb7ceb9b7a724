"""Evidence about a revision under rollout, as a value and as a message."""

from toolreeve.decision.evidence import Evidence
from toolreeve.v1 import rollout_pb2 as pb
from toolreeve.wire.errors import WireError

NAME_MAX = 256


def write_evidence(evidence: Evidence) -> pb.RolloutEvidence:
    """Evidence as the contract says it."""
    return pb.RolloutEvidence(
        rollout_id=evidence.rollout,
        server=evidence.server,
        revision=evidence.revision,
        activated=evidence.activated,
        first_decision_id=evidence.first_decision,
        decisions=evidence.decisions,
        denials=evidence.denials,
        errors=evidence.errors,
        pairs=evidence.pairs,
        tightened=evidence.tightened,
        loosened=evidence.loosened,
    )


def read_evidence(message: pb.RolloutEvidence) -> Evidence:
    """Evidence from an enforcer. Raises WireError for what cannot be."""
    names = (message.rollout_id, message.server, message.revision, message.first_decision_id)
    if not all(len(name) <= NAME_MAX and (not name or name.isprintable()) for name in names):
        raise WireError("evidence with a name that is none")
    evidence = evidence_of(message)
    if not evidence.plausible:
        raise WireError("evidence whose counts cannot be")
    return evidence


def evidence_of(message: pb.RolloutEvidence) -> Evidence:
    """Evidence from the contract as it stands there: what is in a log was looked at before."""
    return Evidence(
        rollout=message.rollout_id,
        server=message.server,
        revision=message.revision,
        activated=message.activated,
        first_decision=message.first_decision_id,
        decisions=message.decisions,
        denials=message.denials,
        errors=message.errors,
        pairs=message.pairs,
        tightened=message.tightened,
        loosened=message.loosened,
    )
