"""One text of a policy to its canonical layout."""

from toolreeve.policy import text as texts
from toolreeve.policy.canonical import canonical_json
from toolreeve.policy.layout.json_text import write_json
from toolreeve.policy.layout.yaml_text import YamlLayoutError, write_yaml
from toolreeve.policy.parse import parse


class LayoutError(ValueError):
    """A policy is good, but its text cannot be laid out. As text: FILE:LINE: problem; remedy."""

    def __init__(self, source: str, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"{source}:{line}: {problem}; {remedy}")


def tidy(text: bytes | str, *, source: str) -> str:
    """Lay out a policy: JSON stays JSON, YAML stays YAML and keeps its comments.

    The revision stays what it was. Raises PolicyTextError on what is no policy, and LayoutError
    where a comment could not keep its place.
    """
    parse(text, source=source)
    document = texts.read(text, source)
    if document.is_json:
        return write_json(document.value)
    try:
        written = write_yaml(document.text)
    except YamlLayoutError as error:
        raise LayoutError(source, error.line, error.problem, error.remedy) from error
    if not _same(document, written):
        remedy = "bring the keys into order yourself, or write JSON"
        raise LayoutError(source, 1, "this YAML cannot be laid out", remedy)
    return written


def _same(document: texts.Document, written: str) -> bool:
    """Whether a text still means the document and has lost no line but by its place."""
    try:
        again = texts.read(written, document.source)
    except ValueError:
        return False
    lines = [sorted(_lines(text)) for text in (document.text, written)]
    return canonical_json(again.value) == canonical_json(document.value) and lines[0] == lines[1]


def _lines(text: str) -> list[str]:
    """Comments, in no order."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
