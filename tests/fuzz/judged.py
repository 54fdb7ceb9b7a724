"""Whether the published JSON Schema and the parser judge a policy's text alike.

Draft-07 has no words for some rules. Each such class is named in `schema.BEYOND`, and here by the
words of its complaints; in everything else the two must agree.
"""

from collections.abc import Iterable, Sequence

import jsonschema_rs

from toolreeve.policy import Complaint, PolicyTextError, parse
from toolreeve.policy import schema as schemas
from toolreeve.policy import text as texts

VALIDATOR = jsonschema_rs.Draft7Validator(schemas.policy_schema())

BEYOND_WORDS = {
    "counter": ("means something else at",),
    "pattern": ("not a pattern: ",),
    "arguments": ("not a JSON Schema: ", "points outside the schema"),
    "duration": ("not a length of time",),
    "approvers": ("must approve, and ",),
    "whole": ("expected a whole number, found the number ",),
    "finite": ("too many digits", "not a finite number"),
    "text": ("nested too deep", "half of a surrogate pair"),
}


def complaints(text: bytes | str) -> Sequence[Complaint]:
    """What the parser says against a policy's text."""
    try:
        parse(text, source="p.json")
    except PolicyTextError as error:
        return error.complaints
    return ()


def classes_beyond(found: Iterable[Complaint]) -> set[str]:
    """The class of each complaint that the schema need not share; "" for all others."""
    return {
        next(
            (
                name
                for name, words in BEYOND_WORDS.items()
                if any(word in complaint.problem for word in words)
            ),
            "",
        )
        for complaint in found
    }


def disagreement(text: bytes | str) -> str:
    """What the schema and the parser disagree on; empty where they do not.

    Only a text that can be read as a value is judged: the schema sees no other.
    """
    try:
        value = texts.read(text, "p.json").value
    except PolicyTextError:
        return ""
    found = complaints(text)
    if not VALIDATOR.is_valid(value):
        return "" if found else "the schema refuses what the parser takes"
    if "" not in classes_beyond(found):
        return ""
    return f"the schema takes what the parser refuses: {[str(one) for one in found]}"
