"""Of every detector by key: the same history, the same alerts, wherever a watcher restarts."""

import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE, SECOND
from toolreeve.detect import Attempt, Change, Ended, Finding, Known, Sighting
from toolreeve.detect.counts import Baseline
from toolreeve.detect.failures import FailureDetector, FailureRule
from toolreeve.detect.first_seen import FirstSeenDetector, FirstSeenRule
from toolreeve.detect.flapping import FlappingDetector, FlappingRule
from toolreeve.detect.hours import HoursDetector, HoursRule
from toolreeve.detect.rate import RateDetector, RateRule
from toolreeve.detect.reach import ReachDetector, ReachRule
from toolreeve.detect.seen import Detector, Ending, Seen
from toolreeve.detect.standard import standard
from toolreeve.detect.volume import VolumeDetector, VolumeRule

START = 1_750_000_000 * SECOND
SHORT = Baseline(days=2)

# Lines so low that alerts are raised all the time, baselines that decide, and short memories.
DETECTORS: dict[str, Callable[[], Detector]] = {
    "rate by target": lambda: RateDetector(
        RateRule(name="r", by="target", calls_min=2, p_max=0.003, baseline=SHORT, quiet_seconds=900)
    ),
    "rate of refusals": lambda: RateDetector(
        RateRule(name="r", of="refused", calls_min=2, p_max=0.003, baseline=SHORT)
    ),
    "flapping": lambda: FlappingDetector(
        FlappingRule(turns_min=3, stops_min=1, p_max=0.003, baseline=SHORT)
    ),
    "fan-out": lambda: ReachDetector(
        ReachRule(name="f", things_min=2, p_max=0.003, warm_days=1, baseline=SHORT)
    ),
    "probing": lambda: ReachDetector(
        ReachRule(
            name="p", of="refused tools", things_min=1, p_max=0.5, warm_days=1, baseline=SHORT
        )
    ),
    "first seen": lambda: FirstSeenDetector(
        FirstSeenRule(
            p_max_server=0.9, p_max_tool=0.9, p_max_target=0.9, days=3, warm_days=1, peers_min=2
        )
    ),
    "failures": lambda: FailureDetector(
        FailureRule(failures_min=2, tools_min=2, p_max=0.05, days=2, quiet_seconds=900)
    ),
    "hours": lambda: HoursDetector(
        HoursRule(p_max=0.6, strange_max=0.6, calls_min=1, days=4, warm_days=1, days_min=1)
    ),
    "volume": lambda: VolumeDetector(
        VolumeRule(days=4, days_min=1, carry_days=2, calls_min=1, alpha=0.5, quiet_seconds=100_000)
    ),
}
STEPS = [0, 1_000, SECOND, 5 * MINUTE, 10 * MINUTE, 10 * MINUTE + 1_000, 30 * MINUTE]
LEAPS = [HOUR, 7 * HOUR, 20 * HOUR, DAY, 3 * DAY]
TOOLS = ["vm_stop", "vm_start", "vm_restart", "vm_get", "ticket_get"]


def history(seed: int, length: int) -> list[Seen]:
    """Calls, endings and sightings around the bounds of windows, quiet times and days; some late.

    The seed makes it, as a long list drawn one by one would take most of the time.
    """
    chance = random.Random(seed)
    now = START
    seen: list[Seen] = []
    for _ in range(length):
        now += chance.choice(STEPS if chance.random() < 0.9 else LEAPS)
        late = chance.choice([0] * 12 + [30 * SECOND, 20 * MINUTE, 26 * HOUR])
        at = Instant((now - late) // 1_000 * 1_000)
        agent, tool = chance.choice("aab"), chance.choice(TOOLS)
        server = "tickets" if tool == "ticket_get" else "hypervisor"
        kind = chance.random()
        if kind < 0.7:
            vm = chance.choice(["", *(f"vm-{number}" for number in range(8))])
            seen.append(
                Attempt(
                    at=at,
                    server=server,
                    tool=tool,
                    grant=f"grant of {agent}",
                    agent=agent,
                    admitted=chance.random() < 0.7,
                    values=(("/id", vm),) if vm else (),
                    names=tuple(chance.sample(["id", "force", "since"], chance.randint(0, 2))),
                )
            )
        elif kind < 0.98:
            failed = chance.random() < 0.4
            seen.append(Ending(at=at, server=server, tool=tool, agent=agent, failed=failed))
        else:
            seen.append(
                Sighting(
                    at=at,
                    enforcer="e",
                    change=Change.PINNED,
                    server=server,
                    tool=tool,
                    digest="d",
                )
            )
    return seen


def run(detector: Detector, seen: Sequence[Seen]) -> list[Finding]:
    return [finding for one in seen for finding in detector.observe(one)]


def known(findings: Sequence[Finding]) -> Iterator[Known]:
    over = {finding.alert_id for finding in findings if isinstance(finding, Ended)}
    for finding in findings:
        if isinstance(finding, AlertRaised):
            yield Known(finding, finding.alert_id in over)


@pytest.mark.parametrize("name", DETECTORS)
@given(seed=st.integers(0, 10**9), length=st.integers(1, 400), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_watcher_that_restarts_anywhere_says_what_one_that_did_not_would_say(
    name: str, seed: int, length: int, share: float
) -> None:
    restart(name, history(seed, length), int(share * length))


@pytest.mark.parametrize(
    ("name", "seed", "length", "cut"),
    [
        ("failures", 31, 56, 30),  # the failure that crossed the line had come late
        ("failures", 70, 110, 37),
        ("rate by target", 83, 304, 235),  # two alerts end at once
        ("hours", 177, 160, 127),
        ("first seen", 1010, 393, 309),  # a sighting settles for longer than uses are known
        ("first seen", 1187, 216, 198),
    ],
)
def test_a_restart_that_once_told_another_story_does_not(
    name: str, seed: int, length: int, cut: int
) -> None:
    restart(name, history(seed, length), cut)


def restart(name: str, seen: Sequence[Seen], cut: int) -> None:
    """Once without a restart, and once with one that is shown as much as it asks for."""
    whole = run(DETECTORS[name](), seen)
    before = run(DETECTORS[name](), seen[:cut])
    newest = max((one.at for one in seen[:cut]), default=START)
    second = DETECTORS[name]()
    run(second, [one for one in seen[:cut] if one.at >= newest - second.memory_ns])
    second.restore(known(before))
    assert before + run(second, seen[cut:]) == whole


@pytest.mark.parametrize("name", DETECTORS)
@given(seed=st.integers(0, 10**9), length=st.integers(1, 300))
@settings(max_examples=15, deadline=None)
def test_every_alert_is_raised_once_and_ends_at_most_once(
    name: str, seed: int, length: int
) -> None:
    detector = DETECTORS[name]()
    findings = run(detector, history(seed, length))
    findings += detector.advance(Instant(START + 10**18))
    raised = [found.alert_id for found in findings if isinstance(found, AlertRaised)]
    ended = [found.alert_id for found in findings if isinstance(found, Ended)]
    assert len(raised) == len(set(raised))
    assert sorted(ended) == sorted(raised)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_histories_of_these_tests_raise_alerts(name: str) -> None:
    findings = [found for seed in range(20) for found in run(DETECTORS[name](), history(seed, 300))]
    raised = [found for found in findings if isinstance(found, AlertRaised)]
    assert len(raised) >= 5
    for alert in raised:
        assert alert.since_at <= alert.crossed_at
        assert alert.summary
        assert alert.query.startswith("SELECT ")


@pytest.mark.parametrize("name", DETECTORS)
def test_an_open_alert_that_nobody_was_told_of_is_told_after_a_restart(name: str) -> None:
    """As where a rule is new: what crosses the line next raises what the history did not."""
    for seed in range(100):
        seen = history(seed, 200)
        whole = [found for found in run(DETECTORS[name](), seen) if isinstance(found, AlertRaised)]
        second, place = DETECTORS[name](), 0
        while place < len(seen) and not second.observe(seen[place]):
            place += 1
        second.restore([])
        later = run(second, seen[place + 1 :])
        ids = {alert.alert_id for alert in whole}
        if any(isinstance(one, AlertRaised) and one.alert_id not in ids for one in later):
            return
    pytest.fail("what was forgotten never came again")


def test_memory_is_bounded_whatever_agents_call_themselves_and_whatever_they_touch() -> None:
    detectors: list[Detector] = [
        RateDetector(RateRule(name="r", by="target", keys_max=50, calls_kept_max=20)),
        FlappingDetector(FlappingRule(keys_max=50, turns_kept_max=20)),
        ReachDetector(ReachRule(name="f", keys_max=50, things_max=40)),
        FirstSeenDetector(FirstSeenRule(keys_max=50, things_max=40)),
        FailureDetector(FailureRule(keys_max=50, calls_kept_max=20)),
        HoursDetector(HoursRule(keys_max=50)),
        VolumeDetector(VolumeRule(keys_max=50)),
    ]
    chance = random.Random(7)
    most = [0] * len(detectors)
    for number in range(12_000):
        at = Instant(START + number * MINUTE)
        name = f"agent-{chance.randrange(400)}"
        vm = f"vm-{chance.randrange(5_000)}"
        tool = chance.choice(["vm_stop", "vm_start", f"tool-{chance.randrange(1_000)}"])
        call = Attempt(
            at=at,
            server="hypervisor",
            tool=tool,
            grant=name,
            agent=name,
            admitted=True,
            values=(("/id", vm),),
            names=("id", f"name-{chance.randrange(1_000)}"),
        )
        ending = Ending(at=at, server="hypervisor", tool=tool, agent=name, failed=True)
        for place, detector in enumerate(detectors):
            detector.observe(call)
            detector.observe(ending)
            if number % 500 == 0:
                keys, things = detector.held()
                assert keys <= 100
                most[place] = max(most[place], things)
    assert max(most) < 15_000, most


def test_the_standard_rules_have_names_of_their_own_and_say_nothing_of_an_empty_fleet() -> None:
    detectors = standard()
    names = [detector.name for detector in detectors]
    assert len(names) == len(set(names))
    for detector in detectors:
        assert detector.advance(Instant(START)) == []
        assert detector.held() == (0, 0)
        assert detector.memory_ns >= DAY
