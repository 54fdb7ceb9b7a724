"""Lengths of time and instants as a command line speaks of them."""

import click
import pytest

from toolreeve.cli.times import span, written


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("24h", 86_400), ("7d", 604_800)]
)
def test_a_length_of_time_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert span(text) == seconds * 10**9


@pytest.mark.parametrize("text", ["", "10", "m", "-1s", "1.5h", "1w", "1h30m", "٣s"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 90s, 10m, 24h or 7d"):
        span(text)


def test_an_instant_is_written_in_utc_with_milliseconds() -> None:
    assert written(1_795_194_245_123_456_789) == "2026-11-20T17:04:05.123Z"


def test_zero_means_never() -> None:
    assert written(0) is None
