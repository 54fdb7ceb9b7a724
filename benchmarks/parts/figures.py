"""What is kept of a run: every round of every way, and what is said of them in the end."""

from statistics import median

from msgspec import Struct, field


class Seen(Struct, kw_only=True):
    """One way in one scene: a figure for each round, and why it went no further if it did not.

    Latencies are of one agent, calls a second and processor time of `agents` at once.
    """

    name: str
    kind: str
    start_ms: list[float] = field(default_factory=list[float])
    p50_us: list[float] = field(default_factory=list[float])
    p99_us: list[float] = field(default_factory=list[float])
    calls_per_second: list[float] = field(default_factory=list[float])
    busy_p50_us: list[float] = field(default_factory=list[float])
    cpu_us: list[float] = field(default_factory=list[float])
    list_ms: list[float] = field(default_factory=list[float])
    calls: int = 0
    tools_listed: int = 0
    idle_mb: float = 0.0
    loaded_mb: float = 0.0
    processes: int = 0
    error: str | None = None


class SceneSeen(Struct, kw_only=True):
    """All ways of one scene, the direct one first."""

    name: str
    title: str
    agents: int
    ways: list[Seen]


class Point(Struct, frozen=True, kw_only=True):
    """One way with so many agents; an error instead of figures where it did not keep up."""

    way: str
    kind: str
    agents: int
    calls_per_second: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    error: str | None = None


class Run(Struct, kw_only=True):
    """A whole run."""

    machine: str
    fsync_p50_us: float
    rounds: int
    turn_seconds: float
    peers: dict[str, str]
    scenes: list[SceneSeen]
    growth: list[Point]
    load_average: float = 0.0


class Row(Struct, frozen=True, kw_only=True):
    """One way's figures: medians over the rounds; `ratio` and `of_direct` within each round."""

    name: str
    kind: str
    p50_us: float
    p99_us: float
    added_p50_us: float
    added_p99_us: float
    ratio: float
    calls_per_second: float
    of_direct: float
    cpu_us: float
    start_ms: float
    idle_mb: float
    loaded_mb: float
    list_ms: float
    error: str | None

    @property
    def calls_per_core_second(self) -> float:
        """What one core does in a second, by the processor time a call takes."""
        return 1e6 / self.cpu_us if self.cpu_us else 0.0


def row(seen: Seen, direct: Seen) -> Row:
    """What is said of a way. Figures that were never taken are 0."""
    p50, p99 = _median(seen.p50_us), _median(seen.p99_us)
    return Row(
        name=seen.name,
        kind=seen.kind,
        p50_us=p50,
        p99_us=p99,
        added_p50_us=p50 - _median(direct.p50_us) if p50 else 0.0,
        added_p99_us=p99 - _median(direct.p99_us) if p99 else 0.0,
        ratio=_ratio(seen.p50_us, direct.p50_us),
        calls_per_second=_median(seen.calls_per_second),
        of_direct=_ratio(seen.calls_per_second, direct.calls_per_second),
        cpu_us=_median(seen.cpu_us),
        start_ms=_median(seen.start_ms),
        idle_mb=seen.idle_mb,
        loaded_mb=seen.loaded_mb,
        list_ms=_median(seen.list_ms),
        error=seen.error,
    )


def _median(values: list[float]) -> float:
    return median(values) if values else 0.0


def _ratio(ours: list[float], theirs: list[float]) -> float:
    both = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
    return _median(both)
