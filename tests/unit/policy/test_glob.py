"""Patterns over tool names."""

import re

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.policy.glob import literal_prefix, matches


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_a_pattern_means_what_its_regular_expression_means(pattern: str, name: str) -> None:
    expression = pattern.replace("*", ".*").replace("?", ".")
    assert matches(pattern, name) == (re.fullmatch(expression, name) is not None)


def test_a_hostile_pattern_ends() -> None:
    assert not matches("*a" * 100 + "b", "a" * 256)


def test_what_stands_before_the_first_wildcard_is_literal() -> None:
    assert literal_prefix("vm_*_?") == "vm_"
    assert literal_prefix("vm_?_*") == "vm_"
    assert literal_prefix("vm_restart") == "vm_restart"
    assert literal_prefix("*") == ""
