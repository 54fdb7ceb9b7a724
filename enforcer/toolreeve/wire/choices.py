"""Closed choices: domain enums beside the contract's."""

from toolreeve.audit import Effect, Outcome
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire.errors import WireError

EFFECTS = {Effect.ALLOW: pb.EFFECT_ALLOW, Effect.DENY: pb.EFFECT_DENY}
OUTCOMES = {
    Outcome.SUCCESS: pb.OUTCOME_SUCCESS,
    Outcome.TOOL_ERROR: pb.OUTCOME_TOOL_ERROR,
    Outcome.RPC_ERROR: pb.OUTCOME_RPC_ERROR,
    Outcome.TIMEOUT: pb.OUTCOME_TIMEOUT,
    Outcome.NOT_SENT: pb.OUTCOME_NOT_SENT,
    Outcome.UNKNOWN: pb.OUTCOME_UNKNOWN,
    Outcome.INPUT_REQUIRED: pb.OUTCOME_INPUT_REQUIRED,
}
_READ_EFFECTS = {number: effect for effect, number in EFFECTS.items()}
_READ_OUTCOMES = {number: outcome for outcome, number in OUTCOMES.items()}


def read_effect(number: pb.Effect.ValueType) -> Effect:
    """The effect with this number. Raises WireError where there is none."""
    effect = _READ_EFFECTS.get(number)
    if effect is None:
        raise WireError(f"effect {number} is not known")
    return effect


def read_outcome(number: pb.Outcome.ValueType) -> Outcome:
    """The outcome with this number. Raises WireError where there is none."""
    outcome = _READ_OUTCOMES.get(number)
    if outcome is None:
        raise WireError(f"outcome {number} is not known")
    return outcome
