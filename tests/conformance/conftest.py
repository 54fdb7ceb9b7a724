"""Servers of every kind behind one gateway, and runs of the suite against them.

The servers: one that speaks both protocol eras, one that speaks with sessions only, one that knows
no sessions, each over HTTP and on stdio, and an older one that is not ours.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.conformance import suite
from tests.conformance.sites import (
    Command,
    Served,
    everything_http,
    everything_warm,
    gateway,
    stdio_upstream,
)

Reports = Callable[[str, str], suite.Report]
Address = Callable[[str], str]

BOTH: Final = suite.REVISIONS
# A server with sessions asks one question after the other and gives them no names, so the names
# under which a client is asked are the enforcer's and not those that these scenarios know.
NO_NAMES: Final = {
    "input-required-result-basic-elicitation",
    "input-required-result-ignore-extra-params",
    "input-required-result-multiple-input-requests",
}
# The ways to a server, and the revisions that the suite is run with on each.
WAYS: Final = {
    "bridge": BOTH,
    "gateway": BOTH,
    "direct": BOTH,
    "session": ("2026-07-28",),
    "stateless": ("2025-11-25",),
    "session-stdio": ("2026-07-28",),
    "stateless-stdio": ("2025-11-25",),
}


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder with the suite and the older SDK."""
    return suite.fetched(suite.node())


@pytest.fixture(scope="session")
def older(packages: Path) -> Command:
    """The start of a command that runs the older server; "stdio" or "http" ends it."""
    script = Path(__file__).with_name("older_server.mjs")
    return (str(suite.node().program), str(script), str(packages))


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers behind the gateway write down the calls that have reached them."""
    path = tmp_path_factory.mktemp("seen") / "seen.txt"
    path.touch()
    return path


@pytest.fixture(scope="session")
def address(
    tmp_path_factory: pytest.TempPathFactory, seen: Path, older: Command
) -> Iterator[Address]:
    """The address of a server behind the gateway, by the name of its upstream."""
    folder = tmp_path_factory.mktemp("conformance")
    environment = {"SEEN_FILE": str(seen)}
    with ExitStack() as running:
        served, warm = everything_warm(folder / "warm")
        started = {"warm": served, "gateway": everything_http(environment)}
        started["older"] = Served((*older, "http"), environment)
        for era in ("session", "stateless"):
            started[era] = everything_http({**environment, "ERA": era})
        for one in started.values():
            running.enter_context(one)
        assert started.pop("warm").said
        upstreams: dict[str, dict[str, object]] = {
            "bridge": stdio_upstream(warm, environment),
            "older-stdio": stdio_upstream((*older, "stdio"), environment),
        }
        for name, one in started.items():
            upstreams[name] = {"url": one.url}
            if name in ("session", "stateless"):
                upstreams[f"{name}-stdio"] = stdio_upstream(warm, {**environment, "ERA": name})
        for name in ("session", "session-stdio"):
            upstreams[name]["offer_stateless"] = True
        url = running.enter_context(gateway(folder / "gateway", upstreams))
        yield lambda name: f"{url}/{name}/mcp"


@pytest.fixture(scope="session")
def reports(address: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reports]:
    """What the suite found: `reports("gateway", "2026-07-28")`, the ways as in WAYS."""
    out = tmp_path_factory.mktemp("suite")
    with ExitStack() as running:
        alone = running.enter_context(everything_http()).url
        pool = running.enter_context(ThreadPoolExecutor(2))
        made: dict[tuple[str, str], Future[suite.Report]] = {}
        for way, revisions in WAYS.items():
            url = alone if way == "direct" else address(way)
            for revision in revisions:
                folder = out / way / revision
                fails = NO_NAMES if way.startswith("session") else set[str]()
                made[way, revision] = pool.submit(suite.run, url, revision, folder, fails)
        yield lambda way, revision: made[way, revision].result()
