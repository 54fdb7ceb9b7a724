"""The settings files we write are read back as they were meant."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.cli.launch.toml import Value, write_toml

# TOML has no lone surrogates, and its integers end at 64 bits.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_what_is_written_reads_back_alike(table: dict[str, Value]) -> None:
    assert tomllib.loads(write_toml(table)) == table
