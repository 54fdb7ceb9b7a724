"""What detectors are shown, and how they keep it."""

import pytest

from toolreeve.audit import Arguments, Completed, Decided, Effect, Event, KeptArgument, Outcome
from toolreeve.decision import Instant
from toolreeve.detect import Attempt, attempt_of, ending_of
from toolreeve.detect.seen import KEY_POINTERS, Shelf, target_of
from toolreeve.detect.touched import Days, Touched

DECIDED = Decided(
    server="hypervisor",
    grant="nights",
    agent="night-shift",
    request_id="1",
    tool="vm_restart",
    wire_tool="vm_restart",
    effect=Effect.ALLOW,
    code="allowed",
    arguments=Arguments(names=("force", "id"), kept=(KeptArgument("/id", "7"),)),
)


def event(body: Decided | Completed) -> Event:
    return Event(enforcer="e", epoch=1, sequence=1, at=Instant(1_234_567), body=body)


def completed(outcome: Outcome) -> Event:
    return event(Completed(decision_id="e:1:1", outcome=outcome))


def test_an_attempt_names_its_target_and_all_its_arguments() -> None:
    attempt = attempt_of(event(DECIDED))
    assert attempt is not None
    assert (attempt.at, attempt.values) == (1_234_000, (("/id", "7"),))
    assert attempt.names == ("force", "id")
    assert target_of(attempt, KEY_POINTERS) == ("/id", "7")


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        (Outcome.SUCCESS, False),
        (Outcome.INPUT_REQUIRED, False),
        (Outcome.TOOL_ERROR, True),
        (Outcome.RPC_ERROR, True),
        (Outcome.TIMEOUT, True),
        (Outcome.NOT_SENT, True),
    ],
)
def test_an_ending_says_whose_call_it_was_and_whether_it_failed(
    outcome: Outcome, failed: bool
) -> None:
    ending = ending_of(completed(outcome), DECIDED)
    assert ending is not None
    assert (ending.server, ending.tool, ending.agent) == ("hypervisor", "vm_restart", "night-shift")
    assert (ending.at, ending.failed) == (1_234_000, failed)


def test_a_call_of_which_nobody_knows_how_it_ended_is_no_ending() -> None:
    assert ending_of(completed(Outcome.UNKNOWN), DECIDED) is None
    assert ending_of(event(DECIDED), DECIDED) is None


def test_the_first_pointer_whose_value_was_kept_is_the_target() -> None:
    kept = (("/vm", "b"), ("/vm_id", "a"), ("/reason", "c"))
    call = Attempt(
        at=Instant(0), server="s", tool="t", grant="g", agent="a", admitted=True, values=kept
    )
    assert target_of(call, KEY_POINTERS) == ("/vm_id", "a")
    assert target_of(call, ("/host",)) is None


def test_a_shelf_lets_go_what_was_quiet_the_longest() -> None:
    shelf: Shelf[str, list[int]] = Shelf(list, keys_max=2)
    shelf["a"].append(1)
    shelf["b"].append(2)
    assert shelf["a"] == [1]
    shelf["c"].append(3)
    assert [name for name, _ in shelf.all()] == ["a", "c"]
    assert shelf.find("b") is None


def test_a_name_is_new_again_after_its_days_and_not_a_day_before() -> None:
    touched = Touched(3, things_max=10)
    assert touched.touch("a", 100)
    assert not touched.touch("a", 103)
    assert touched.knows("a", 106)
    assert not touched.knows("a", 107)
    assert touched.touch("a", 107)
    assert touched.since("a") == 107


def test_of_too_many_names_the_one_that_was_not_touched_for_the_longest_is_forgotten() -> None:
    touched = Touched(3, things_max=2)
    for name in ("a", "b", "a", "c"):
        touched.touch(name, 100)
    assert len(touched) == 2
    assert touched.knows("a", 100)
    assert not touched.knows("b", 100)


def test_days_are_remembered_for_as_long_as_was_asked() -> None:
    days = Days(3)
    for day in (100, 101, 101, 99, 103):
        days.note(day)
    assert days.first == 100
    days.note(110)
    assert days.first == 110
