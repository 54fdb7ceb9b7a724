"""The rules that are looked for where nobody says otherwise."""

from toolreeve.detect.failures import FailureDetector, FailureRule
from toolreeve.detect.first_seen import FirstSeenDetector, FirstSeenRule
from toolreeve.detect.flapping import FlappingDetector, FlappingRule
from toolreeve.detect.hours import HoursDetector, HoursRule
from toolreeve.detect.rate import RateDetector, RateRule
from toolreeve.detect.reach import ReachDetector, ReachRule
from toolreeve.detect.seen import Detector
from toolreeve.detect.volume import VolumeDetector, VolumeRule

RESTARTS = ("*restart*", "*reset*", "*reboot*")
CLONES = ("*clone*", "*create*vm*", "*vm*create*", "*provision*", "*deploy_vm*")

RESTART_RATE = RateRule(name="vm-restart-rate", tools=RESTARTS, by="target", p_max=1e-7)
CLONE_STORM = RateRule(name="clone-storm", tools=CLONES, by="agent", calls_min=8)
DENIAL_SPIKE = RateRule(
    name="denial-spike",
    severity="warning",
    of="refused",
    by="agent",
    window_seconds=300,
    calls_min=8,
)
FAN_OUT = ReachRule(name="fan-out", of="targets", things_min=12)
PROBING = ReachRule(name="probing", of="refused tools", things_min=3, p_max=1e-3)
FIRST_SEEN = FirstSeenRule(p_max_target=0.0)
FIRST_TARGET = FirstSeenRule(
    name="first-seen-target",
    p_max_server=0.0,
    p_max_tool=0.0,
    p_max_target=0.08,
    p_max_argument=0.0,
)


def standard() -> list[Detector]:
    """New detectors of all standard rules."""
    return [
        RateDetector(RESTART_RATE),
        RateDetector(CLONE_STORM),
        RateDetector(DENIAL_SPIKE),
        FlappingDetector(FlappingRule()),
        ReachDetector(FAN_OUT),
        ReachDetector(PROBING),
        FirstSeenDetector(FIRST_SEEN),
        FirstSeenDetector(FIRST_TARGET),
        FailureDetector(FailureRule()),
        HoursDetector(HoursRule()),
        VolumeDetector(VolumeRule()),
    ]
