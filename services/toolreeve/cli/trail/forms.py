"""The forms in which an export's events may stand. Each says an event twice: for readers, and as
the bytes that the chain runs over. What readers see is a pure function of those bytes, of what
stood beside them and of the head, so a verifier writes it again and compares.

    events.jsonl        one event a line, as `wire.lines` writes it
    events.ocsf.jsonl   one event a line, in the words of OCSF, for a SIEM
    events.parquet      the columns of events.jsonl, for a lake or a notebook
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from toolreeve.cli.trail import ocsf
from toolreeve.wire import lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolreeve.audit.details import Details

PARQUET = "parquet"


class Form(Struct, frozen=True):
    """A form of lines. `read` says where a line claims to stand; it raises WireError."""

    file: str
    write: Callable[[bytes, bytes, Details | None], bytes]
    read: Callable[[bytes], lines.Place]


JSONL = Form("events.jsonl", lines.write_line, lines.read_place)
OCSF = Form("events.ocsf.jsonl", ocsf.write_line, ocsf.read_place)
PARQUET_FILE = "events.parquet"

FORMS = {"jsonl": JSONL, "ocsf": OCSF}
NAMES = (*FORMS, PARQUET)
BY_FILE = {form.file: form for form in FORMS.values()}
