"""What can be said about a call, in a form that cannot be changed unnoticed.

Pure: events as frozen values, the hash chain over their bytes, and the redaction policy that
says which argument values may be kept.
"""

from toolreeve.audit.chain import GENESIS, fold, link
from toolreeve.audit.event import (
    AlertRaised,
    AlertResolved,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalUsed,
    Arguments,
    Body,
    Completed,
    Decided,
    Draft,
    Effect,
    EnforcerStarted,
    EnforcerStopped,
    Event,
    Hold,
    HoldPlaced,
    HoldReleased,
    KeptArgument,
    Outcome,
    PolicyApplied,
    PolicyRefused,
    Position,
    RequestRefused,
    Reservation,
)
from toolreeve.audit.redact import Redaction, redact

__all__ = [
    "GENESIS",
    "AlertRaised",
    "AlertResolved",
    "ApprovalAsked",
    "ApprovalGiven",
    "ApprovalUsed",
    "Arguments",
    "Body",
    "Completed",
    "Decided",
    "Draft",
    "Effect",
    "EnforcerStarted",
    "EnforcerStopped",
    "Event",
    "Hold",
    "HoldPlaced",
    "HoldReleased",
    "KeptArgument",
    "Outcome",
    "PolicyApplied",
    "PolicyRefused",
    "Position",
    "Redaction",
    "RequestRefused",
    "Reservation",
    "fold",
    "link",
    "redact",
]
