"""The same history gives the same alerts, however it is cut and wherever a watcher restarts."""

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import MINUTE, SECOND
from toolreeve.detect import Attempt, BurstDetector, BurstRule, Ended, Finding, Known

START = 1_750_000_000 * SECOND
RULE = BurstRule(
    window_seconds=60,
    quiet_seconds=120,
    late_seconds_max=300,
    calls_min=3,
    grant_calls_min=5,
    baseline_days=1,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Attempt]:
    """Attempts around the bounds of windows and quiet times, some of them late."""
    now = START
    attempts: list[Attempt] = []
    steps = [0, 1, SECOND, 20 * SECOND, 60 * SECOND, 60 * SECOND + 1_000, 120 * SECOND]
    more = [120 * SECOND + 1_000, 10 * MINUTE, 90 * MINUTE]
    for _ in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from([*steps, *more]))
        late = draw(st.sampled_from([0, 0, 0, 0, 30 * SECOND, 299 * SECOND, 400 * SECOND]))
        vm = draw(st.sampled_from([None, "a", "a", "b"]))
        attempts.append(
            Attempt(
                at=Instant((now - late) // 1_000 * 1_000),
                server="s",
                tool="vm_restart",
                grant=draw(st.sampled_from(["g", "g", "h"])),
                agent="x",
                admitted=draw(st.booleans()),
                values=() if vm is None else (("/id", vm),),
            )
        )
    return attempts


def run(detector: BurstDetector, attempts: Sequence[Attempt]) -> list[Finding]:
    return [finding for attempt in attempts for finding in detector.observe(attempt)]


def known(findings: Sequence[Finding]) -> Iterator[Known]:
    over = {finding.alert_id for finding in findings if isinstance(finding, Ended)}
    for finding in findings:
        if isinstance(finding, AlertRaised):
            yield Known(finding, finding.alert_id in over)


@given(histories())
@settings(max_examples=80)
def test_the_same_history_gives_the_same_alerts(history: list[Attempt]) -> None:
    assert run(BurstDetector(RULE), history) == run(BurstDetector(RULE), history)


@given(histories(), st.data())
@settings(max_examples=150)
def test_a_watcher_that_restarts_anywhere_says_what_one_that_did_not_would_say(
    history: list[Attempt], data: st.DataObject
) -> None:
    whole = run(BurstDetector(RULE), history)
    cut = data.draw(st.integers(0, len(history)))
    before = run(BurstDetector(RULE), history[:cut])
    newest = max((attempt.at for attempt in history[:cut]), default=START)
    second = BurstDetector(RULE)
    run(second, [each for each in history[:cut] if each.at >= newest - RULE.memory_ns])
    second.restore(known(before))
    assert before + run(second, history[cut:]) == whole


@given(histories(), st.data())
@settings(max_examples=80)
def test_an_alert_that_was_said_before_the_mark_was_set_is_not_said_again(
    history: list[Attempt], data: st.DataObject
) -> None:
    """The crash lies behind the alert and before the mark: the last attempts are shown twice."""
    whole = run(BurstDetector(RULE), history)
    mark = data.draw(st.integers(0, len(history)))
    said = data.draw(st.integers(mark, len(history)))
    on_record = run(BurstDetector(RULE), history[:said])
    second = BurstDetector(RULE)
    run(second, history[:mark])
    second.restore(known(on_record))
    again = run(second, history[mark:])
    raised = [f.alert_id for f in [*on_record, *again] if isinstance(f, AlertRaised)]
    assert len(raised) == len(set(raised))
    assert set(raised) == {f.alert_id for f in whole if isinstance(f, AlertRaised)}


@given(histories())
@settings(max_examples=80)
def test_every_alert_is_raised_once_and_ends_at_most_once(history: list[Attempt]) -> None:
    detector = BurstDetector(RULE)
    findings = run(detector, history)
    findings += detector.advance(Instant(START + 10**18))
    raised = [f.alert_id for f in findings if isinstance(f, AlertRaised)]
    ended = [f.alert_id for f in findings if isinstance(f, Ended)]
    assert len(raised) == len(set(raised))
    assert sorted(ended) == sorted(raised)
    for finding in findings:
        if isinstance(finding, AlertRaised):
            assert finding.observed >= finding.threshold >= 3
            assert finding.since_at <= finding.crossed_at <= finding.since_at + 60 * SECOND
