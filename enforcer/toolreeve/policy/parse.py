"""A policy's text to a policy: everything that is wrong is said at once."""

from toolreeve.policy import text as texts
from toolreeve.policy.canonical import canonical_json
from toolreeve.policy.complaint import Complaint, PolicyTextError
from toolreeve.policy.document import read_policy
from toolreeve.policy.model import Policy
from toolreeve.policy.pointer import write_pointer
from toolreeve.policy.reader import Found, Reader


def parse(text: bytes | str, *, source: str) -> Policy:
    """Read a policy from JSON or YAML.

    `source` is the file's name for complaints. Raises PolicyTextError, which carries all
    complaints, each with line, column, JSON Pointer and remedy.
    """
    document, complaints = texts.read_all(text, source)
    reader = Reader()
    policy = read_policy(reader, document.value, canonical_json(document.value))
    if complaints or reader.found or policy is None:
        place = texts.places(document)
        said = {(one.line, one.column) for one in complaints}
        found = [_placed(document, place, one) for one in reader.found]
        # What could not be read is complained of once, not again for being missing there.
        found = [one for one in found if (one.line, one.column) not in said]
        raise PolicyTextError([*complaints, *found])
    return policy


def _placed(document: texts.Document, place: texts.Place, found: Found) -> Complaint:
    line, column = place(found.path, found.at_key)
    return Complaint(
        source=document.source,
        line=line,
        column=column,
        pointer=write_pointer(found.path),
        problem=found.problem,
        remedy=found.remedy,
    )
