"""Escapes in YAML are the characters they are in JSON."""

import pytest

from toolreeve.policy import PolicyTextError, parse

HEAD = 'version: "1"\ndefault: deny\n'


def test_two_escapes_of_one_character_are_that_character() -> None:
    from_yaml = parse(HEAD + r'name: "\ud83d\ude42"', source="p")
    from_json = parse(r'{"version": "1", "default": "deny", "name": "\ud83d\ude42"}', source="p")
    assert from_yaml.name == "\U0001f642"
    assert from_yaml.revision == from_json.revision


def test_half_of_a_surrogate_pair_is_complained_of_where_it_stands() -> None:
    with pytest.raises(PolicyTextError) as refused:
        parse(HEAD + 'name: "\\ud83d"\ntools: {"\\ude42": {}}', source="p")
    assert {
        "p:3:7: a string holds half of a surrogate pair; write the whole character",
        "p:4:9: a string holds half of a surrogate pair; write the whole character",
    } <= set(str(refused.value).splitlines())
