"""A call, the rules, the counters and the holds make a verdict.

Pure: `decide` takes values and a time. The only state is in `Counters`, which its owner keeps.
"""

from toolreeve.decision.call import Call, EffectiveTool, NamelessCall, effective_tool
from toolreeve.decision.compile import CompiledPolicy, compile_policy
from toolreeve.decision.counters import (
    BadAmount,
    Counters,
    Exceeded,
    KeptBucket,
    prepare_limits,
)
from toolreeve.decision.decide import decide, unlisted
from toolreeve.decision.hold import Hold, Holds
from toolreeve.decision.instant import (
    DAY,
    HOUR,
    MILLISECOND,
    MINUTE,
    SECOND,
    Instant,
    milliseconds_until,
)
from toolreeve.decision.rule import CompiledRule
from toolreeve.decision.verdict import Code, Effect, Reservation, Verdict

__all__ = [
    "DAY",
    "HOUR",
    "MILLISECOND",
    "MINUTE",
    "SECOND",
    "BadAmount",
    "Call",
    "Code",
    "CompiledPolicy",
    "CompiledRule",
    "Counters",
    "Effect",
    "EffectiveTool",
    "Exceeded",
    "Hold",
    "Holds",
    "Instant",
    "KeptBucket",
    "NamelessCall",
    "Reservation",
    "Verdict",
    "compile_policy",
    "decide",
    "effective_tool",
    "milliseconds_until",
    "prepare_limits",
    "unlisted",
]
