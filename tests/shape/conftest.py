"""Where things stand in the repository."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder."""
    return Path(__file__).resolve().parents[2]
