"""The whole enforcer without I/O.

`Enforcer.receive` takes what has come in and hands back what must be done, in order. Shells do
it: they have a loop and no opinions.
"""

from toolreeve.enforcement.actions import (
    Accept,
    Action,
    Announce,
    Answer,
    Append,
    AskLeases,
    Await,
    Forward,
    KeepPins,
    Reject,
    Wake,
)
from toolreeve.enforcement.answers import refusal
from toolreeve.enforcement.enforcer import Enforcer
from toolreeve.enforcement.incoming import (
    ArrivedCall,
    AsksDue,
    CallArrived,
    CallEnded,
    CountsDue,
    HoldLifted,
    HoldOrdered,
    HoldsReplaced,
    Incoming,
    LeaseHeard,
    LeaseNews,
    LedgerReached,
    PinsRead,
    PolicyOffered,
    PolicyUnfit,
    Question,
    RequestUnfit,
    ToolsListed,
)
from toolreeve.enforcement.recovery import Memory, OpenCall, Recovered, Recovery
from toolreeve.enforcement.sampling import Sampling

__all__ = [
    "Accept",
    "Action",
    "Announce",
    "Answer",
    "Append",
    "ArrivedCall",
    "AskLeases",
    "AsksDue",
    "Await",
    "CallArrived",
    "CallEnded",
    "CountsDue",
    "Enforcer",
    "Forward",
    "HoldLifted",
    "HoldOrdered",
    "HoldsReplaced",
    "Incoming",
    "KeepPins",
    "LeaseHeard",
    "LeaseNews",
    "LedgerReached",
    "Memory",
    "OpenCall",
    "PinsRead",
    "PolicyOffered",
    "PolicyUnfit",
    "Question",
    "Recovered",
    "Recovery",
    "Reject",
    "RequestUnfit",
    "Sampling",
    "ToolsListed",
    "Wake",
    "refusal",
]
