"""The documentation's examples do what the text beside them says.

A fence marked `policy` holds a policy that must be taken. A fence marked `broken-policy` holds one
that must not, and the next fence marked `complaints` is what its author is told. A fence marked
`sql` is given to DuckDB's parser, where DuckDB is installed, by the warehouse's own tests.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from toolreeve.policy import PolicyTextError, parse

REPOSITORY = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<marks>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<title>.+)$", re.MULTILINE)


class Fence(Struct, frozen=True):
    """One example: the words behind its opening line, its text and where it stands."""

    page: Path
    line: int
    marks: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def pages() -> list[Path]:
    """Every page that is written for readers."""
    tops = [
        page for name in ("README", "CONTRIBUTING") if (page := REPOSITORY / f"{name}.md").exists()
    ]
    return [*tops, *sorted((REPOSITORY / "docs").rglob("*.md"))]


def fences(page: Path) -> Iterator[Fence]:
    """The examples of a page, in their order."""
    whole = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(whole):
        line = whole.count("\n", 0, found.start()) + 2
        yield Fence(page, line, tuple(found["marks"].split()), found["text"])


def marked(mark: str) -> list[Fence]:
    """The examples with this mark, on all pages."""
    return [fence for page in pages() for fence in fences(page) if mark in fence.marks]


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#` on a page."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = (found["title"].lower() for found in HEADING.finditer(prose))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("example", marked("policy"), ids=str)
def test_a_policy_in_the_docs_is_taken(example: Fence) -> None:
    policy = parse(example.text, source=str(example))
    assert policy.revision.startswith("sha256:")


@pytest.mark.parametrize("example", marked("broken-policy"), ids=str)
def test_a_broken_policy_in_the_docs_is_refused_in_the_words_that_follow_it(example: Fence) -> None:
    following = [fence for fence in fences(example.page) if fence.line > example.line]
    said = next(fence for fence in following if "complaints" in fence.marks)
    source = said.text.partition(":")[0]
    with pytest.raises(PolicyTextError) as refused:
        parse(example.text, source=source)
    assert str(refused.value) == said.text.rstrip("\n")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_link_from_the_docs_leads_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for found in LINK.finditer(prose):
        target = found["target"]
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}, which is not there"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}: no such heading"


def test_every_page_can_be_reached_from_the_map() -> None:
    todo = [REPOSITORY / "docs" / "index.md"]
    reached: set[Path] = set()
    while todo:
        page = todo.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        prose = FENCE.sub("", page.read_text(encoding="utf-8"))
        for found in LINK.finditer(prose):
            path = found["target"].partition("#")[0]
            if path.endswith(".md") and "://" not in path:
                todo.append((page.parent / path).resolve())
    missing = {
        str(page.relative_to(REPOSITORY))
        for page in (REPOSITORY / "docs").rglob("*.md")
        if page not in reached
    }
    assert not missing, f"no link leads to {sorted(missing)}"
