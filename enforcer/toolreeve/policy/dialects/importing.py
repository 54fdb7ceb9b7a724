"""A policy's text in whichever dialect to the canonical form."""

from typing import cast

from msgspec import Struct

from toolreeve.policy import text as texts
from toolreeve.policy.complaint import Complaint, PolicyTextError
from toolreeve.policy.dialects.faq import read_faq
from toolreeve.policy.dialects.intercept import read_intercept
from toolreeve.policy.dialects.outcome import Difference, Draft
from toolreeve.policy.layout import write_json
from toolreeve.policy.parse import parse
from toolreeve.policy.pointer import write_pointer
from toolreeve.policy.reader import Found

DIALECTS = ("policylayer", "faq", "intercept")


class Imported(Struct, frozen=True, kw_only=True):
    """A policy in the canonical form, and everything that means something else than before.

    The differences stand in the order of the text.
    """

    dialect: str
    policy_document: object
    canonical_text: str
    differences: tuple[Difference, ...]


def import_policy(text: bytes | str, source: str, dialect: str = "auto") -> Imported:
    """Read a policy of another product. `dialect` is `auto` or one of DIALECTS.

    Raises PolicyTextError: unknown keys, and what cannot be said here, with their places.
    """
    document = texts.read(text, source)
    chosen = detect(document.value) if dialect == "auto" else dialect
    if chosen == "policylayer":
        parse(text, source=source)
        return Imported(
            dialect=chosen,
            policy_document=document.value,
            canonical_text=write_json(document.value),
            differences=(),
        )
    draft = Draft()
    translated = {"faq": read_faq, "intercept": read_intercept}[chosen](draft, document.value)
    place = texts.places(document)
    if draft.reader.found:
        found = draft.reader.found
        raise PolicyTextError([_complaint(source, place, complaint) for complaint in found])
    written = write_json(translated)
    try:
        parse(written, source=source)
    except PolicyTextError as error:
        raise PolicyTextError(
            [_second_hand(source, found) for found in error.complaints]
        ) from error
    differences = [
        Difference(pointer=write_pointer(path), line=line, column=column, what=what, why=why)
        for path, (what, why) in draft.notes
        for line, column in [place(path, False)]
    ]
    return Imported(
        dialect=chosen,
        policy_document=translated,
        canonical_text=written,
        differences=tuple(sorted(differences, key=lambda one: (one.line, one.column))),
    )


def detect(document: object) -> str:
    """Which dialect a document is written in, by the keys that only one of them has.

    A document that could be ours is taken as PolicyLayer's hosted form, which is a part of ours.
    """
    members = _members(document)
    rules: list[dict[str, object]] = []
    intercept = False
    for entry in map(_members, _members(members.get("tools")).values()):
        if "rate_limit" in entry:
            return "faq"
        intercept = intercept or "rules" in entry
        listed = entry.get("rules")
        if isinstance(listed, list):
            rules += map(_members, cast("list[object]", listed))
    if "rules" in members or any(isinstance(rule.get("rate_limit"), dict) for rule in rules):
        return "faq"
    return "intercept" if intercept else "policylayer"


def _members(value: object) -> dict[str, object]:
    """The members of an object; none of anything else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _complaint(source: str, place: texts.Place, found: Found) -> Complaint:
    line, column = place(found.path, found.at_key)
    return Complaint(
        source=source,
        line=line,
        column=column,
        pointer=write_pointer(found.path),
        problem=found.problem,
        remedy=found.remedy,
    )


def _second_hand(source: str, found: Complaint) -> Complaint:
    """What is wrong only with the translation, whose places are not those of the text."""
    return Complaint(
        source=source,
        line=1,
        column=1,
        pointer="",
        problem=f"{found.pointer} of what this becomes: {found.problem}",
        remedy=found.remedy,
    )
