"""The examples of the pages about imports are what the command says and prints.

A fence marked `foreign` is a policy of another product, the last one marked `policy` is what
becomes of it, and the console example on the page is what is said meanwhile.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to"
PAGES = {"coming-from-intercept": "intercept.yaml", "coming-from-policylayer": "rules.json"}


@pytest.mark.parametrize("page", PAGES)
def test_an_import_does_what_its_page_shows(page: str, tmp_path: Path) -> None:
    text = (HOW_TO / f"{page}.md").read_text(encoding="utf-8")
    (foreign,) = re.findall(r"^```\w+ foreign\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    policies = re.findall(r"^```json policy\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    said = re.search(
        r"^\$ toolreeve policy import [^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    assert said is not None
    (tmp_path / PAGES[page]).write_text(foreign, encoding="utf-8")
    command = [sys.executable, "-m", "toolreeve.cli", "policy", "import", PAGES[page]]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == policies[-1]
    assert done.stderr == said[1]
