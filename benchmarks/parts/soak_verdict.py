"""What a soak has seen of a gateway from outside, and whether something leaked.

Memory is flat when a robust line through it rises by no more than the bound over the part that is
looked at. The line is Theil-Sen's: the median of the slopes between all pairs of samples, which a
quarter of odd samples do not move. The first third is left out: there caches, windows of limits
and what is kept of the outbox fill up to their bounds. When all agents have left, descriptors,
threads and children must be where they were before; so must the upstream's descriptors, or
connections to it were kept.
"""

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

from msgspec import Struct

from parts.proctree import descriptors, threads, tree

RISE_MB_MAX = 4.0
RISE_SHARE_MAX = 0.05
"""Memory may rise by the larger of both: 4 MiB, or a twentieth of itself."""
DESCRIPTORS_MORE_MAX = 2
"""A segment of the outbox and the spare one after it may be open or not."""
THREADS_MORE_MAX = (os.cpu_count() or 1) + 4
"""The event loop's pool makes a thread at need, up to this many, and keeps it."""
SAMPLES_MAX = 600


class Sample(Struct, frozen=True, kw_only=True):
    """A gateway at one moment, by what the kernel says of it."""

    second: float
    rss_mb: float
    descriptors: int
    threads: int
    children: int
    upstream_descriptors: int
    calls: int = 0


class Leak(Struct, frozen=True, kw_only=True):
    """Something that did not come back, or did not stop growing."""

    what: str
    seen: str


def sample(pid: int, upstream_pid: int, second: float, calls: int) -> Sample:
    return Sample(
        second=second,
        rss_mb=rss_mb(pid),
        descriptors=descriptors(pid),
        threads=threads(pid),
        children=len(tree(pid)) - 1,
        upstream_descriptors=descriptors(upstream_pid),
        calls=calls,
    )


def rss_mb(pid: int) -> float:
    """Resident memory of the one process; what a child has is its own affair."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil-Sen: the median slope over all pairs. 0 for fewer than two points."""
    step = max(1, len(points) // SAMPLES_MAX)
    thinned = points[::step]
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(thinned, 2) if x2 > x1]
    return median(slopes) if slopes else 0.0


def memory_rise_mb(samples: Sequence[Sample]) -> tuple[float, float]:
    """How much memory rose over the last two thirds by the robust line, and how much it may."""
    late = samples[len(samples) // 3 :]
    points = [(one.second, one.rss_mb) for one in late]
    span = points[-1][0] - points[0][0] if points else 0.0
    usual = median(one.rss_mb for one in late) if late else 0.0
    return slope(points) * span, max(RISE_MB_MAX, RISE_SHARE_MAX * usual)


def leaks(samples: Sequence[Sample], before: Sample, after: Sample) -> list[Leak]:
    """What leaked: memory under load, the rest once all agents had left."""
    found: list[Leak] = []
    rise, allowed = memory_rise_mb(samples)
    if rise > allowed:
        seen = f"rose by {rise:.1f} MiB over the last two thirds; {allowed:.1f} are allowed"
        found.append(Leak(what="memory", seen=seen))
    for what, was, now, more in (
        ("descriptors", before.descriptors, after.descriptors, DESCRIPTORS_MORE_MAX),
        ("threads", before.threads, after.threads, THREADS_MORE_MAX),
        ("children", before.children, after.children, 0),
        (
            "connections to the upstream",
            before.upstream_descriptors,
            after.upstream_descriptors,
            0,
        ),
    ):
        if now > was + more:
            seen = f"{was} before the agents came, {now} after they left"
            found.append(Leak(what=what, seen=seen))
    return found
