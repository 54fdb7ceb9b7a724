"""The installation of one test."""

from pathlib import Path

import pytest
from tests.integration.identity.scene import Place


@pytest.fixture
def place(tmp_path: Path, nats_url: str, prefix: str) -> Place:
    return Place(tmp_path, nats_url, prefix)
