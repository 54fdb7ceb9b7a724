"""What the audit history gives away: pure detectors over calls, and the alerts they raise.

Time is event time: detectors know no clock, so the same history always gives the same alerts,
however it was cut into batches and wherever the process that follows it was restarted.
"""

from toolreeve.detect.attempt import Attempt, attempt_of, text_of
from toolreeve.detect.burst import BurstDetector, BurstRule, Ended, Finding, Known
from toolreeve.detect.poisson import tail, threshold

__all__ = [
    "Attempt",
    "BurstDetector",
    "BurstRule",
    "Ended",
    "Finding",
    "Known",
    "attempt_of",
    "tail",
    "text_of",
    "threshold",
]
