"""Texts made up from a pattern."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.decision.pattern_texts import TEXTS_MAX, texts_of


@pytest.mark.parametrize(
    "pattern",
    [
        "abc", "[a-z]{3}-[0-9]+", "(prod|test)-vm", "a|b|c", r"\d+\.\d+", "^x$", "(?i)abc",
        "a?b*c+", "(?:ab){2,3}", "[^a]", "", r"/srv/\w+(/\w+)*",
    ],
)  # fmt: skip
def test_the_first_text_matches_a_plain_pattern(pattern: str) -> None:
    assert re.fullmatch(pattern, texts_of(pattern)[0])


def test_each_alternative_and_each_bound_of_a_count_has_its_text() -> None:
    assert {"a", "root"} <= set(texts_of("[a-z]|root"))
    assert {"aa", "aaa", "aaaa", "a"} <= set(texts_of("a{2,3}"))


@given(st.text(alphabet="ab1()[]{}|*+?^$.\\,-:", max_size=40))
def test_no_pattern_is_too_odd_to_read(pattern: str) -> None:
    assert 0 < len(texts_of(pattern)) <= TEXTS_MAX


@pytest.mark.parametrize("pattern", ["(" * 500 + ")" * 500, "((((a{9}){9}){9}){9}){9}", "[" * 900])
def test_a_hostile_pattern_costs_little(pattern: str) -> None:
    assert max(map(len, texts_of(pattern))) <= 20_000
