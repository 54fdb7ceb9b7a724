"""What the audit history gives away: pure detectors over calls and tools, and their alerts.

Time is event time: detectors know no clock, so the same history always gives the same alerts,
however it was cut into batches and wherever the process that follows it was restarted.
"""

from toolreeve.detect.attempt import Attempt, attempt_of, text_of
from toolreeve.detect.burst import BurstDetector, BurstRule, Ended, Finding, Known
from toolreeve.detect.definitions import (
    Change,
    DefinitionDetector,
    DefinitionRule,
    Sighting,
    sighting_of,
)
from toolreeve.detect.poisson import tail, threshold
from toolreeve.detect.seen import Detector, Ending, Seen, ending_of
from toolreeve.detect.standard import standard

__all__ = [
    "Attempt",
    "BurstDetector",
    "BurstRule",
    "Change",
    "DefinitionDetector",
    "DefinitionRule",
    "Detector",
    "Ended",
    "Ending",
    "Finding",
    "Known",
    "Seen",
    "Sighting",
    "attempt_of",
    "ending_of",
    "sighting_of",
    "standard",
    "tail",
    "text_of",
    "threshold",
]
