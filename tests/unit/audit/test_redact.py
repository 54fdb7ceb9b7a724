"""What is kept of arguments, and what is not."""

import json
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit import KeptArgument, Redaction, redact
from toolreeve.audit.redact import key_id, value_hash
from toolreeve.policy import canonical_json

KEY = b"k" * 32


def test_names_and_listed_values_stand_and_the_rest_is_a_hash() -> None:
    arguments = {"id": 7, "password": "hunter2", "force": True}
    kept = redact(arguments, Redaction(keep=("/id", "/missing"), key=KEY))
    assert kept.names == ("force", "id", "password")
    assert kept.kept == (KeptArgument("/id", "7"),)
    assert b"hunter2" not in repr(kept).encode()


def test_equal_arguments_have_equal_hashes_under_one_key_only() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    redaction = Redaction(keep=(), key=KEY)
    assert redact(one, redaction).keyed_hash == redact(other, redaction).keyed_hash
    assert redact(one, redaction).keyed_hash != redact({"a": 1}, redaction).keyed_hash
    foreign = Redaction(keep=(), key=b"x" * 32)
    assert redact(one, redaction).keyed_hash != redact(one, foreign).keyed_hash


def test_only_small_plain_values_are_kept() -> None:
    arguments: dict[str, object] = {
        "list": [1],
        "object": {},
        "long": "x" * 1000,
        "null": None,
        "text": 'a"b',
    }
    pointers = tuple("/" + name for name in arguments)
    kept = redact(arguments, Redaction(keep=pointers, key=KEY)).kept
    assert kept == (KeptArgument("/null", "null"), KeptArgument("/text", json.dumps('a"b')))


def test_each_value_has_a_hash_that_only_the_key_makes() -> None:
    redaction = Redaction(keep=(), key=KEY)
    kept = redact({"b": "Ada", "a": {"z": 1, "y": [2]}}, redaction)
    assert kept.names == ("a", "b")
    assert kept.value_hashes == value_hash(b'{"y":[2],"z":1}', KEY) + value_hash(b'"Ada"', KEY)
    assert value_hash(b'"Ada"', b"x" * 32) not in kept.value_hashes
    assert kept.key_id == key_id(KEY)
    assert KEY not in kept.key_id


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=3), max_size=5))
def test_the_hash_over_all_is_that_of_their_canonical_json(arguments: dict[str, object]) -> None:
    kept = redact(arguments, Redaction(keep=(), key=KEY))
    canonical = canonical_json(arguments)
    assert kept.size_bytes == len(canonical)
    if arguments:
        assert kept.keyed_hash == sha256(KEY + canonical).digest()[:16]
    else:
        assert kept.keyed_hash == b"", "nothing is told by nothing"
