"""Ways to an upstream, and the scenes in which they are measured side by side."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct, field

from parts.load import Target


class Upstream(Struct, frozen=True, kw_only=True):
    """What stands at the end of every way of a scene: a server over HTTP, or one on stdio."""

    url: str = ""
    command: tuple[str, ...] = ()

    def settings(self) -> dict[str, object]:
        """Its table in the gateway's settings."""
        return {"url": self.url} if self.url else {"command": list(self.command)}


class Running(Struct, frozen=True, kw_only=True):
    """A way that has been started: where it takes calls, and its first process (0: none)."""

    target: Target
    pid: int = 0
    alive: Callable[[], bool] = lambda: True


class StdioStart(Struct, frozen=True, kw_only=True):
    """How a way on stdio is started."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict[str, str])
    folder: Path | None = None
    tool: str = "truenas"


StartHttp = Callable[[Path, Upstream], AbstractContextManager[Running]]
StartStdio = Callable[[Path, Upstream], StdioStart]
Prepare = Callable[[Path, Upstream], Awaitable[None]]


class Way(Struct, frozen=True, kw_only=True):
    """One way. `kind` is direct, ours or peer.

    `prepare` is done once before anything is timed; `why_not` says why it cannot be measured.
    """

    name: str
    kind: str
    http: StartHttp | None = None
    stdio: StartStdio | None = None
    prepare: Prepare | None = None
    why_not: str | None = None


class Scene(Struct, frozen=True, kw_only=True):
    """What is the same for all ways of one table.

    `client` and `server` say how each end speaks: http or stdio. `upstream` is raw or sdk.
    """

    name: str
    title: str
    client: str = "http"
    server: str = "http"
    upstream: str = "raw"
    answers: str = "json"
    tools: int = 3
    padding: int = 1_000
    stateless: bool = False


KB_100 = 100_000
SCENES = (
    Scene(name="http", title="HTTP, 1 kB, 3 tools"),
    Scene(name="http-sse", title="HTTP, 1 kB, 3 tools, answers as events", answers="sse"),
    Scene(name="http-100kB", title="HTTP, 100 kB each way, 3 tools", padding=KB_100),
    Scene(name="http-300-tools", title="HTTP, 1 kB, 300 tools", tools=300),
    Scene(name="stateless", title="HTTP, revision 2026-07-28, 1 kB, 3 tools", stateless=True),
    Scene(name="sdk-json", title="HTTP to a server of the MCP SDK, JSON", upstream="sdk"),
    Scene(
        name="sdk-sse",
        title="HTTP to a server of the MCP SDK, events",
        upstream="sdk",
        answers="sse",
    ),
    Scene(name="bridge", title="HTTP to a stdio server, 1 kB, 3 tools", server="stdio"),
    Scene(name="stdio", title="stdio, 1 kB, 3 tools", client="stdio", server="stdio"),
    Scene(
        name="stdio-100kB",
        title="stdio, 100 kB each way, 3 tools",
        client="stdio",
        server="stdio",
        padding=KB_100,
    ),
    Scene(
        name="stdio-300-tools",
        title="stdio, 1 kB, 300 tools",
        client="stdio",
        server="stdio",
        tools=300,
    ),
    Scene(name="stdio-to-http", title="stdio to a server over HTTP, 1 kB, 3 tools", client="stdio"),
)
