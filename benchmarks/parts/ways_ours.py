"""The direct way and our own, for each scene."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from parts.load import Target
from parts.ours import gateway, wrap
from parts.policies import ALLOW_ALL, truenas_policy
from parts.way import Running, Scene, StartHttp, StartStdio, StdioStart, Upstream, Way

Policy = Mapping[str, object]
FULL = "toolreeve, full policy"
OBSERVE = "observe"
WITH_BUS = "toolreeve, full policy and NATS"


def ways(scene: Scene, upstream_pid: int, nats_url: Callable[[], str]) -> list[Way]:
    """Direct first, then ours: everything allowed, the full policy, without waiting, the bus."""
    full = truenas_policy()
    if scene.client == "stdio":
        found = [Way(name="direct", kind="direct", stdio=_direct_stdio)]
        if scene.server == "http":
            direct = Way(name="direct", kind="direct", http=_direct(upstream_pid))
            why = "not offered: `toolreeve wrap` starts a server, it does not connect to one"
            return [direct, Way(name="toolreeve wrap", kind="ours", why_not=why)]
        found.append(Way(name="toolreeve wrap, allow all", kind="ours", stdio=_wrap(ALLOW_ALL)))
        found.append(Way(name="toolreeve wrap, full policy", kind="ours", stdio=_wrap(full)))
        name = "toolreeve wrap, full policy, observe"
        found.append(Way(name=name, kind="ours", stdio=_wrap(full, OBSERVE)))
        return found
    if scene.server == "stdio":
        direct = Way(name="direct (stdio)", kind="direct", stdio=_direct_stdio)
    else:
        direct = Way(name="direct", kind="direct", http=_direct(upstream_pid))
    found = [
        direct,
        Way(name="toolreeve, allow all", kind="ours", http=_gateway(ALLOW_ALL)),
        Way(name=FULL, kind="ours", http=_gateway(full)),
        Way(name=f"{FULL}, observe", kind="ours", http=_gateway(full, audit=OBSERVE)),
    ]
    if scene.server == "http" and scene.upstream == "raw":
        found.append(Way(name=WITH_BUS, kind="ours", http=_gateway(full, nats_url)))
    return found


def _direct(pid: int) -> StartHttp:
    @contextmanager
    def start(folder: Path, upstream: Upstream) -> Generator[Running]:
        del folder
        port = int(upstream.url.rpartition(":")[2].partition("/")[0])
        yield Running(target=Target(port=port), pid=pid)

    return start


def _direct_stdio(folder: Path, upstream: Upstream) -> StdioStart:
    del folder
    return StdioStart(command=list(upstream.command))


def _wrap(policy: Policy, audit: str = "required") -> StartStdio:
    def start(folder: Path, upstream: Upstream) -> StdioStart:
        return StdioStart(command=wrap(folder, policy, list(upstream.command), audit=audit))

    return start


def _gateway(
    policy: Policy, nats_url: Callable[[], str] | None = None, audit: str = "required"
) -> StartHttp:
    @contextmanager
    def start(folder: Path, upstream: Upstream) -> Generator[Running]:
        url = nats_url() if nats_url is not None else None
        with gateway(folder, policy, {"bench": upstream.settings()}, url, audit=audit) as (
            port,
            pid,
        ):
            yield Running(target=Target(port=port, path="/bench/mcp"), pid=pid)

    return start
