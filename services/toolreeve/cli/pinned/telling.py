"""How a tool's definition is shown: what changed, with everything visible that a model would read.

Descriptions come from servers that may be hostile. What a terminal would obey or not show, such as
escape sequences, characters of no width and letters that run backwards, is written out.
"""

from __future__ import annotations

import difflib
import json
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.times import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolreeve.enforcement.definition import Definition
    from toolreeve.enforcement.pins import Pin

COLUMNS_MAX = 96
DIGEST_CHARACTERS = 12
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
_LOOKS = {"-": "red", "+": "green"}


def plain_text(text: str) -> str:
    """Return text in which every character is seen and none is obeyed."""
    return "".join(
        one if unicodedata.category(one) not in _UNSEEN else f"<U+{ord(one):04X}>" for one in text
    )


def short(digest: str) -> str:
    """Return the beginning of a digest, for tables; a dash where there is none."""
    return digest.removeprefix("sha256:")[:DIGEST_CHARACTERS] or "-"


def row_of(server: str, pin: Pin) -> dict[str, Any]:
    """Return what is known of a tool, as plain values."""
    return {
        "server": server,
        "tool": pin.tool,
        "state": pin.state.value,
        "digest": pin.offered or None,
        "approved_digest": pin.approved or None,
        "first_seen": written(pin.first_seen_at),
        "offered_since": written(pin.offered_at),
        "approved": written(pin.approved_at),
        "approved_by": (pin.approved_by or "being seen first") if pin.approved else None,
        "reason": pin.reason or None,
        "looks_like": pin.looks_like or None,
        "definition": _plain(pin.definition_offered),
    }


def difference_of(server: str, pin: Pin) -> dict[str, Any]:
    """Return a tool that waits, with both of its definitions, as plain values."""
    from toolreeve.enforcement.definition import members_changed

    approved = approved_definition(pin)
    row = row_of(server, pin)
    return {
        **row,
        "members": list(members_changed(approved, pin.definition_offered)),
        "approved_definition": _plain(approved),
    }


def approved_definition(pin: Pin) -> Definition:
    """Return what is approved; with an empty digest where nothing is."""
    from toolreeve.enforcement.definition import Definition

    return Definition(pin.tool, pin.approved, pin.approved_json)


def print_difference(server: str, pin: Pin) -> None:
    """Print what changed in a tool, or all of it where it is new."""
    offered, approved = pin.definition_offered, approved_definition(pin)
    click.echo(f"{server} {plain_text(pin.tool)}: {_what(pin)}")
    if pin.looks_like:
        click.echo(f"  its name can be taken for that of {plain_text(pin.looks_like)}")
    if approved.digest:
        by = plain_text(pin.approved_by) or "being seen first"
        click.echo(f"  approved {approved.digest} by {by}, {written(pin.approved_at)}")
    if offered.digest:
        click.echo(f"  offered  {offered.digest} since {written(pin.offered_at)}")
    for line in _lines(approved, offered):
        colour = _LOOKS.get(line[:1])
        click.echo("  " + (click.style(line, fg=colour) if colour else line))
    click.echo()


def _what(pin: Pin) -> str:
    from toolreeve.enforcement.pins import CHANGES_MAX

    if not pin.approved:
        return "new, and not approved"
    if pin.changes >= CHANGES_MAX:
        return f"changed {pin.changes} times since it was approved, and no longer compared"
    return "changed since it was approved" if pin.offered != pin.approved else "as approved"


def _lines(before: Definition, after: Definition) -> Iterator[str]:
    from toolreeve.enforcement.definition import members_of

    if (before.digest and not before.json) or (after.digest and not after.json):
        yield "(too long to be kept: only the digests can be compared)"
        return
    old, new = members_of(before), members_of(after)
    for member in dict.fromkeys([*old, *new]):
        if member == "name" or old.get(member) == new.get(member):
            continue
        yield f"{member}:"
        lines = difflib.unified_diff(
            _written(old.get(member)), _written(new.get(member)), lineterm="", n=2
        )
        for line in lines:
            if not line.startswith(("---", "+++", "@@")):
                yield f"{line[:1]} {line[1:]}"


def _written(member: object) -> list[str]:
    """Return a member in lines: text wrapped at sentences' ends, all else as indented JSON."""
    if member is None:
        return []
    if not isinstance(member, str):
        text = json.dumps(member, indent=2, sort_keys=True, ensure_ascii=False)
        return [plain_text(line) for line in text.split("\n")]
    lines: list[str] = []
    for line in member.split("\n"):
        for sentence in plain_text(line).replace(". ", ".\n").split("\n"):
            lines += textwrap.wrap(sentence, COLUMNS_MAX, break_on_hyphens=False) or [""]
    return lines


def _plain(definition: Definition) -> dict[str, object] | None:
    from toolreeve.enforcement.definition import members_of

    return members_of(definition) or None
