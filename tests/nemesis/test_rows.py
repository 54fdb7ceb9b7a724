"""Rows of the fault matrix with real processes, in short; `make nemesis` goes on for long."""

from collections.abc import Iterator

import pytest
from tests.nemesis.course import Course
from tests.nemesis.faults import FAULTS
from tests.nemesis.rig import RESTARTS_MAX, wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    made = Course(tmp_path_factory.mktemp("nemesis"), seed=20_261_121)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_doubled_or_untold_when(course: Course, name: str) -> None:
    before = len(course.agents)
    verdict = course.suffer(name)
    assert verdict.faults == {}
    assert course.agents[before].answered, "the fault left nobody an answer"


def test_the_judge_says_what_is_wrong(course: Course) -> None:
    """What cannot be found broken was not tested: here every promise is, and each is named."""
    with course.at_work() as agents:
        wait_until("the limit is reached", lambda: "deny" in list(agents.answered.values()))
    assert course.verdict().faults == {}
    denied = next(name for name, said in agents.answered.items() if said == "deny")
    with course.rig.seen.open("a") as seen:
        seen.write(f"{denied}\n" + "call-0\n" * (RESTARTS_MAX + 1))
    agents.answered["call-never"] = "allow"
    agents.overdue.append("call-late")
    found = course.verdict()
    assert found.undecided == [denied, "call-0"]
    assert found.doubled == ["call-0"]
    assert found.lost == ["call-never"]
    assert found.overrun > 0
    assert found.unexplained == ["call-never"]
    assert found.overdue == ["call-late"]
