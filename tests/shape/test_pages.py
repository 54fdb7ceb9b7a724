"""The pages people read: their links lead somewhere, and a change is told in the right form."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}
LINK = re.compile(r"\]\((?!\w+:)(?P<file>[^)#\s]*)(?:#(?P<heading>[^)\s]+))?\)")


def pages() -> list[Path]:
    """Every Markdown file outside docs/, which has tests of its own."""
    folders = ("deploy", "benchmarks", ".changelog")
    below = [page for folder in folders for page in (REPOSITORY / folder).rglob("*.md")]
    return sorted([*REPOSITORY.glob("*.md"), *below])


def anchors(page: Path) -> set[str]:
    """What a link into this page may name: its headings, as web pages of repositories name them."""
    headings = re.findall(r"^#+ +(.+?) *#*$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading)).strip().lower().replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken: list[str] = []
    for link in LINK.finditer(text):
        target = (page.parent / link["file"]).resolve() if link["file"] else page
        heading = link["heading"]
        into_a_page = heading and target.suffix == ".md" and target.exists()
        if not target.exists() or (into_a_page and heading not in anchors(target)):
            broken.append(link.group())
    assert not broken


def test_a_fragment_of_the_changelog_is_named_for_its_kind() -> None:
    fragments = {path.name for path in (REPOSITORY / ".changelog").iterdir()} - {"README.md"}
    form = re.compile(rf"[a-z0-9]+(-[a-z0-9]+)*\.({'|'.join(sorted(KINDS))})\.md")
    assert not [name for name in fragments if not form.fullmatch(name)]


def test_scripts_can_be_run() -> None:
    for name in (".ci/run", ".ci/venv"):
        assert (REPOSITORY / name).stat().st_mode & 0o111, f"{name} is not executable"
