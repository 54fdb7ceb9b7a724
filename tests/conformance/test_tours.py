"""The SDK's own client sees the same of a server, whatever stands between and speaks what era."""

import asyncio
import copy
from pathlib import Path
from typing import Final

import pytest
from tests.conformance.conftest import Address
from tests.conformance.sites import direct, wrapped
from tests.conformance.tour import Seen, tour, until, waiting_call

pytestmark = pytest.mark.timeout(180)

VERSIONS: Final = {"auto": "2026-07-28", "legacy": "2025-11-25", "2026-07-28": "2026-07-28"}
# Which client goes to which server: the servers speak both eras, or the one they are called after.
ROUTES: Final = [
    ("wrap", "auto"),
    ("wrap", "legacy"),
    ("gateway", "auto"),
    ("gateway", "legacy"),
    ("bridge", "auto"),
    ("bridge", "legacy"),
    ("session", "auto"),
    ("session", "legacy"),
    ("session", "2026-07-28"),
    ("session-stdio", "2026-07-28"),
    ("stateless", "auto"),
    ("stateless", "legacy"),
    ("stateless-stdio", "legacy"),
]
# Those on which a cancellation goes another way than on the rest.
CANCELLING: Final = [
    ("wrap", "auto"),
    ("wrap", "legacy"),
    ("gateway", "auto"),
    ("gateway", "legacy"),
    ("bridge", "auto"),
    ("bridge", "legacy"),
    ("session", "2026-07-28"),
    ("stateless", "legacy"),
]


@pytest.fixture(scope="module")
def alone() -> dict[str, Seen]:
    """What each kind of client sees of the server with nothing between."""
    return {mode: asyncio.run(tour(direct(), mode)) for mode in ("auto", "legacy", "2026-07-28")}


def as_shown(seen: Seen, route: str) -> Seen:
    """The same with the one thing that an enforcer changes in a list of tools."""
    shown = copy.deepcopy(seen)
    if seen["version"] >= "2026":
        shown["tools"]["cacheScope"] = "private"
        if route.startswith("session"):
            shown["tools"]["ttlMs"] = 0  # its server cannot say how long
    return shown


@pytest.mark.parametrize(("route", "mode"), ROUTES)
def test_a_tour_of_everything_sees_the_same_as_without_an_enforcer(
    alone: dict[str, Seen], address: Address, tmp_path: Path, route: str, mode: str
) -> None:
    server = wrapped(tmp_path) if route == "wrap" else address(route)
    found, expected = asyncio.run(tour(server, mode)), as_shown(alone[mode], route)
    assert found["version"] == VERSIONS[mode]
    assert {step: found.get(step) for step in expected} == expected
    assert found.keys() == expected.keys()


@pytest.mark.parametrize(("route", "mode"), CANCELLING)
def test_a_call_that_its_client_cancels_is_cancelled_at_the_server(
    address: Address, seen: Path, tmp_path: Path, route: str, mode: str
) -> None:
    def cancelled() -> int:
        return seen.read_text().count("test_waits was cancelled")

    async def story(before: int) -> None:
        server = address(route) if route != "wrap" else wrapped(tmp_path, {"SEEN_FILE": str(seen)})
        async with asyncio.timeout(30), waiting_call(server, mode) as call:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: cancelled() > before)

    asyncio.run(story(cancelled()))
