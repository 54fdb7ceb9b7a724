"""The whole enforcer without I/O.

`Enforcer.receive` takes what has come in and hands back what must be done, in order. Shells do
it: they have a loop and no opinions.
"""

from toolreeve.enforcement.actions import (
    Accept,
    Action,
    Answer,
    Append,
    Forward,
    Reject,
)
from toolreeve.enforcement.answers import refusal
from toolreeve.enforcement.enforcer import Enforcer
from toolreeve.enforcement.incoming import (
    ArrivedCall,
    CallArrived,
    CallEnded,
    HoldLifted,
    HoldOrdered,
    HoldsReplaced,
    Incoming,
    PolicyOffered,
    PolicyUnfit,
    RequestUnfit,
)
from toolreeve.enforcement.recovery import Recovered, Recovery

__all__ = [
    "Accept",
    "Action",
    "Answer",
    "Append",
    "ArrivedCall",
    "CallArrived",
    "CallEnded",
    "Enforcer",
    "Forward",
    "HoldLifted",
    "HoldOrdered",
    "HoldsReplaced",
    "Incoming",
    "PolicyOffered",
    "PolicyUnfit",
    "Recovered",
    "Recovery",
    "Reject",
    "RequestUnfit",
    "refusal",
]
