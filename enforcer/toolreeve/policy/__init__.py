"""The rules: what a policy says, how its text is read, and how a revision is signed.

Pure and at the bottom: knows no clock, no disk and no network.
"""

from toolreeve.policy.canonical import canonical_json, revision_of
from toolreeve.policy.complaint import Complaint, PolicyTextError
from toolreeve.policy.model import (
    Action,
    Align,
    Approval,
    Clause,
    Condition,
    Default,
    Dispatch,
    Each,
    Limit,
    Mode,
    OnStale,
    Op,
    Pinning,
    Policy,
    Refund,
    Scope,
    Step,
    ToolRule,
)
from toolreeve.policy.parse import parse
from toolreeve.policy.pointer import PointerError, parse_pointer, resolve, write_pointer

__all__ = [
    "Action",
    "Align",
    "Approval",
    "Clause",
    "Complaint",
    "Condition",
    "Default",
    "Dispatch",
    "Each",
    "Limit",
    "Mode",
    "OnStale",
    "Op",
    "Pinning",
    "PointerError",
    "Policy",
    "PolicyTextError",
    "Refund",
    "Scope",
    "Step",
    "ToolRule",
    "canonical_json",
    "parse",
    "parse_pointer",
    "resolve",
    "revision_of",
    "write_pointer",
]
