"""Who belongs to a stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.policy.cohort import BUCKETS, Cohort, CohortTextError, bound_of, bucket_of

words = st.text("abcABC019_./-", min_size=1, max_size=12)
cohorts = st.builds(
    Cohort,
    salt=words,
    below=st.integers(0, BUCKETS),
    canary=st.lists(st.tuples(words, words), max_size=4, unique=True).map(
        lambda pairs: tuple(sorted(pairs))
    ),
)


@given(cohorts)
def test_a_cohort_is_read_as_it_was_written(cohort: Cohort) -> None:
    assert Cohort.parse(cohort.text) == cohort


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all",
        "below:1",
        "below:-1 salt:s",
        "below:01 salt:s",
        f"below:{BUCKETS + 1} salt:s",
        "below:1 salt:s ",
        "below:1  salt:s",
        "below:1 salt:s canary:a",
        "below:1 salt:s canary:=b",
        "below:1 salt:s canary:b=1 canary:a=1",
        "below:1 salt:s canary:a=1 canary:a=1",
        "below:1 salt:s canary:a=1=2",
        "below:1 salt:s\n",
        "below:\u0661 salt:s",
    ],
)
def test_what_is_not_in_the_one_form_is_no_cohort(text: str) -> None:
    with pytest.raises(CohortTextError):
        Cohort.parse(text)


@given(words, words, st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_larger_share_never_loses_anybody(salt: str, name: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    if Cohort(salt=salt, below=bound_of(small)).includes(name, {}):
        assert Cohort(salt=salt, below=bound_of(large)).includes(name, {})


def test_all_of_the_fleet_is_everybody_and_none_of_it_is_nobody() -> None:
    names = [f"gw-{number}" for number in range(200)]
    assert all(Cohort(salt="s", below=bound_of(10_000)).includes(name, {}) for name in names)
    assert not any(Cohort(salt="s", below=bound_of(0)).includes(name, {}) for name in names)


def test_a_share_of_a_large_fleet_is_about_that_share() -> None:
    quarter = Cohort(salt="rollout-1", below=bound_of(2_500))
    inside = sum(quarter.includes(f"gw-{number}", {}) for number in range(10_000))
    assert 2_300 < inside < 2_700


def test_another_salt_draws_others() -> None:
    names = [f"gw-{number}" for number in range(100)]
    assert min(names, key=lambda name: bucket_of("one", name)) != min(
        names, key=lambda name: bucket_of("two", name)
    )
