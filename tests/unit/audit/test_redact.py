"""What is kept of arguments, and what is not."""

import json

from toolreeve.audit import KeptArgument, Redaction, redact

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
