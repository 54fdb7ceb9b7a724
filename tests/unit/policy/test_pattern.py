"""Patterns answer as RE2 does, however the question is put to it."""

import gc
from importlib import import_module
from itertools import product
from random import Random
from time import perf_counter
from typing import Any
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolreeve.policy.pattern import PROGRAM_MAX, Pattern, PatternError, pattern
from toolreeve.policy.plain_pattern import plain_match

RE2: Any = import_module("re2")  # has no types
OPTIONS: Any = RE2.Options()
OPTIONS.log_errors = False

ATOMS = st.sampled_from(
    ["a", "b", "é", "ß", ".", r"\d", r"\w", r"\s", r"\pL", r"\.", "[ab]", "[^a]", "[a-z0-9-]", "^",
     "$", r"\A", r"\z", r"\b", r"\B", "(?i)a", "(?s).", "(?m)^", "\\n", "\n", "\x00", "(?-s:.)"]
)  # fmt: skip
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map("".join)
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,3}", "*?", "{1,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        )
        | st.lists(inner, min_size=2, max_size=3).map(lambda ways: f"({'|'.join(ways)})")
    ),
    max_leaves=8,
)
TEXTS = st.text(alphabet="abAB09-.é ß\n\r\x00中", max_size=12) | st.text(max_size=8)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=8))
def test_a_pattern_says_what_re2_says_of_the_whole_text(text: str, asked: list[str]) -> None:
    try:
        expression = RE2.compile(text, OPTIONS)
    except RE2.error:
        with pytest.raises(PatternError):
            Pattern(text)
        return
    ours = Pattern(text)
    for one in asked:
        assert ours.matches(one) is (expression.fullmatch(one) is not None), (text, one)


SOUP = st.lists(
    st.sampled_from(
        [*"abc09-_./ ~&\t\n|*+?^$[](){}", "(?:", ")?", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S",
         r"\.", r"\-", r"\A", r"\z", "\\", "[a-c]", "[^a]", "[a-c0-9]", "[-a]", "[a-]", "[.]",
         "[^-]", r"[\d_]", r"[\w.-]", "{2}", "{0,2}", "{1,}", "{01}", "{,2}", "{0}", "{1001}", "&&",
         "--"]
    ),
    max_size=7,
).map("".join)  # fmt: skip
SHORT = ["".join(word) for length in range(4) for word in product("ab0-.\n _", repeat=length)]


@settings(max_examples=500, deadline=None)
@given(
    SOUP, st.lists(st.text(alphabet="abcz09-_./ ~&\n\t{,}", max_size=9), max_size=20), st.randoms()
)
def test_what_python_answers_for_re2_re2_answers_alike(
    text: str, asked: list[str], chance: Random
) -> None:
    ours = plain_match(text)
    if ours is None:
        return
    expression = RE2.compile(text, OPTIONS)
    for one in (*asked, *chance.sample(SHORT, 60)):
        assert (ours(one) is None) is (expression.fullmatch(one) is None), (text, one)


@pytest.mark.parametrize(
    "text",
    [".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", "[^a]", "[a-]", "[-a]", r"[\w.-]", r"[^\s]",
     "[!-/]", r"[\d\-+]", "[.*$]", r"\$", " ", "-", "~", "a?", "[ -~]", r"[\]\\]"],
)  # fmt: skip
def test_a_set_of_characters_has_the_members_that_re2_gives_it(text: str) -> None:
    ours, expression = plain_match(text), RE2.compile(text, OPTIONS)
    assert ours is not None
    for one in map(chr, range(128)):
        assert (ours(one) is None) is (expression.fullmatch(one) is None), (text, one)


@pytest.mark.parametrize(
    "text",
    ["[a-z][a-z0-9-]{0,30}", r"^vm-\d+$", "/srv/data/.*", "(prod|stage)-[0-9]+", "a|b|", "",
     r"\w+@\w+\.com", "[^/]+/[^/]+", "(?:eu|us)-(?:west|east)(?:-[1-3])?"],
)  # fmt: skip
def test_patterns_as_policies_have_them_are_plain(text: str) -> None:
    assert plain_match(text) is not None


@pytest.mark.parametrize(
    "text",
    [".*foo.*", "[a-z]+x", "(a|aa)+", "(a*)*", "(?i)a", "é", r"\pL", "a*a*", "a*b?a", "a*(b|)a",
     "[a-c-e]", "a?{2}", "a{2}{3}", "(a)*", "(ab){2}", "[[:alpha:]]",
     "(a|b)" * 5, "a{600}b{600}", "a$b", "a^", "a(^b)", "(a$)b", r"\b", "(?P<n>a)", "a+?", "x{01}",
     "(" * 400 + ")" * 400],
)  # fmt: skip
def test_where_python_would_have_a_choice_or_another_meaning_re2_is_asked(text: str) -> None:
    assert plain_match(text) is None


@pytest.mark.parametrize(
    "text", ["[a-z]+[0-9]+-", "[^/]*/[^/]*/", "(a|b|[c-z])*", "a{0,900}b{0,9}c"]
)
def test_a_plain_pattern_takes_no_longer_than_its_text_is_long(text: str) -> None:
    ours = Pattern(text)
    begun = perf_counter()
    for one in ("a" * 200_000, "a" * 100_000 + "9" * 100_000, "/" + "a" * 200_000, "ab" * 100_000):
        ours.matches(one)
    assert perf_counter() - begun < 5  # what goes back for each character would take minutes


@pytest.mark.parametrize("text", [".*a.{20}", ".*a.{200}", "(?:a?){300}a{300}", "(a|ab|é)*c?"])
def test_a_pattern_whose_automaton_is_large_answers_all_the_same(text: str) -> None:
    ours, expression = Pattern(text), RE2.compile(text, OPTIONS)
    for one in (
        "ab" * 3_000,
        "é" * 301,
        "b" * 300 + "a" + "b" * 200,
        "a" * 300,
        "ba" * 10 + "b" * 19,
    ):
        assert ours.matches(one) is (expression.fullmatch(one) is not None)


def test_an_expression_too_large_for_an_automaton_alone_is_asked_itself() -> None:
    letters = Pattern(r"\pL{200}")
    assert RE2.compile(r"\pL{200}", OPTIONS).programsize > PROGRAM_MAX
    assert letters.matches("é" * 200) is True
    assert letters.matches("é" * 199 + "1") is False


def test_of_half_a_surrogate_pair_nothing_can_be_said() -> None:
    assert Pattern(".*").matches("\ud800") is None


def test_one_text_is_compiled_once_for_all_who_hold_it_and_forgotten_after_them() -> None:
    held = pattern("[q]{3}-held")
    assert pattern("[q]{3}-held") is held
    seen = ref(held)
    del held
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize(
    "wrong", ["(", "(?=a)", r"(a)\1", "a**", "\\", "[b-a]", "a{3,2}", r"\pL{500}"]
)
def test_what_is_no_expression_is_refused_and_said(wrong: str) -> None:
    with pytest.raises(PatternError, match=r"."):
        Pattern(wrong)
