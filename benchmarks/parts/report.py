"""A run as text for a terminal and as tables for the docs; both say what failed, and why."""

from collections.abc import Iterable, Sequence

from parts.figures import Point, Row, Run, SceneSeen, row

HEADS = (
    *("way", "p50 added", "p99 added", "of direct", "calls/s"),
    *("of direct", "CPU a call", "calls/s a core", "start", "MiB idle", "MiB after"),
)
LIST_HEAD = "tools/list"
FULL_POLICY = ("toolreeve, full policy", "toolreeve wrap, full policy")
GOALS = {
    "sdk-json": ("toolreeve, full policy", 4.0),
    "sdk-sse": ("toolreeve, full policy", 2.75),
}


def tables(run: Run, *, markdown: bool) -> str:
    """Everything a run has seen. `markdown` gives what docs/performance.md holds."""
    parts: list[str] = []
    for scene in run.scenes:
        title = f"### {scene.title}" if markdown else f"\n{scene.title}"
        parts += [title, "", _scene(scene, markdown=markdown), ""]
        parts += [line for line in _goals(scene) if not markdown]
        notes = [*_faults(scene), *_ahead(scene)]
        parts += [*notes, ""] if notes else []
    if run.growth:
        title = "From 1 to 1,000 agents"
        parts += [f"### {title}" if markdown else f"\n{title}", ""]
        parts += [_growth(run.growth, markdown=markdown), ""]
        parts += [
            f"- {point.way}, {point.agents:,} agents: {_short(point.error)}"
            for point in run.growth
            if point.error is not None
        ]
    parts.append("")
    parts.append(_footing(run))
    return "\n".join(parts)


def load_is_the_limit(scene: SceneSeen) -> bool:
    """Whether the load or the upstream kept a way from doing more, rather than the way itself."""
    direct, *others = (row(way, scene.ways[0]) for way in scene.ways)
    fastest = max((one.calls_per_second for one in others), default=0.0)
    return bool(direct.calls_per_second) and fastest > 0.7 * direct.calls_per_second


def _scene(scene: SceneSeen, *, markdown: bool) -> str:
    direct, *others = scene.ways
    rows = [_direct_cells(row(direct, direct))]
    rows += [_cells(row(way, direct)) for way in others]
    heads = [*HEADS]
    if direct.tools_listed > 3:
        heads.append(LIST_HEAD)
        for cells, way in zip(rows, scene.ways, strict=True):
            listed = f"{row(way, direct).list_ms:,.1f} ms" if way.list_ms else ""
            other = way.list_ms and way.tools_listed != direct.tools_listed
            cells.append(f"{listed} ({way.tools_listed} tools)" if other else listed)
    return _grid(heads, rows, markdown=markdown)


def _direct_cells(one: Row) -> list[str]:
    if not one.p50_us:
        return [one.name, _short(one.error) or "", *[""] * (len(HEADS) - 2)]
    start = _time(one.start_ms * 1e3) if one.start_ms else ""
    return [
        *(one.name, f"({_time(one.p50_us)})", f"({_time(one.p99_us)})", ""),
        *(f"{one.calls_per_second:,.0f}", "", "", "", start, "", ""),
    ]


def _cells(one: Row) -> list[str]:
    if not one.p50_us:
        return [one.name, "see below", *[""] * (len(HEADS) - 2)]
    mark = " *" if one.error is not None else ""
    return [
        one.name + mark,
        _time(one.added_p50_us),
        _time(one.added_p99_us),
        f"{one.ratio:,.1f} x",
        f"{one.calls_per_second:,.0f}",
        f"{one.of_direct:.2f}" if one.of_direct >= 0.1 else f"{one.of_direct:.3f}",
        _time(one.cpu_us),
        f"{one.calls_per_core_second:,.0f}",
        _time(one.start_ms * 1e3),
        f"{one.idle_mb:,.0f}",
        f"{one.loaded_mb:,.0f}" if one.loaded_mb else "",
    ]


def _time(microseconds: float) -> str:
    size = abs(microseconds)
    if size < 995:
        return f"{microseconds:,.0f} µs"
    if size < 995_000:
        digits = 1 if size < 99_500 else 0
        return f"{microseconds / 1e3:,.{digits}f} ms"
    return f"{microseconds / 1e6:,.1f} s"


def _faults(scene: SceneSeen) -> list[str]:
    found = [way for way in scene.ways if way.error is not None]
    return [f"- {way.name}: {_short(way.error)}" for way in found]


def _ahead(scene: SceneSeen) -> Iterable[str]:
    """Every figure in which a peer is better than we are under the full policy."""
    rows = [row(way, scene.ways[0]) for way in scene.ways]
    mine = next((one for one in rows if one.name in FULL_POLICY and one.p50_us), None)
    for one in rows if mine is not None else []:
        if one.kind != "peer" or not one.p50_us or mine is None:
            continue
        better = [
            f"{what} {shown(theirs)} against {shown(ours)}"
            for what, theirs, ours, shown in (
                ("p50 added", one.added_p50_us, mine.added_p50_us, _time),
                ("p99 added", one.added_p99_us, mine.added_p99_us, _time),
                ("CPU a call", one.cpu_us, mine.cpu_us, _time),
                ("start", one.start_ms * 1e3, mine.start_ms * 1e3, _time),
                ("memory idle", one.idle_mb, mine.idle_mb, _mebibytes),
                ("memory after", one.loaded_mb or mine.loaded_mb, mine.loaded_mb, _mebibytes),
            )
            if theirs < ours
        ]
        if one.calls_per_second > mine.calls_per_second:
            theirs, ours = one.calls_per_second, mine.calls_per_second
            better.append(f"calls/s {theirs:,.0f} against {ours:,.0f}")
        if better:
            yield f"- Ahead of us: {one.name}, {'; '.join(better)}."


def _mebibytes(size: float) -> str:
    return f"{size:,.0f} MiB"


def _short(error: str | None, length: int = 240) -> str:
    line = " ".join((error or "").split()).replace("|", "/")
    return line if len(line) <= length else line[:length] + " ..."


def _goals(scene: SceneSeen) -> Iterable[str]:
    """What the product has promised of itself here, beside what was seen."""
    if load_is_the_limit(scene) and scene.name in ("http", "stateless", "http-sse"):
        yield "the load or the upstream is near its own limit here: calls/s say too little"
    if scene.name in GOALS:
        name, most = GOALS[scene.name]
        for way in scene.ways:
            ratio = row(way, scene.ways[0]).ratio
            if way.name == name and ratio:
                verdict = "kept" if ratio <= most else "MISSED"
                yield f"goal: at most {most} x direct at one agent: {ratio:.2f} x, {verdict}"


def _growth(points: Sequence[Point], *, markdown: bool) -> str:
    """Calls a second and the median a call, one column for each number of agents."""
    counts = sorted({point.agents for point in points if point.agents})
    names = list(dict.fromkeys(point.way for point in points))
    rows: list[list[str]] = []
    for name in names:
        cells = [name]
        for agents in counts:
            found = [one for one in points if one.way == name and one.agents == agents]
            if not found or found[0].error is not None:
                cells.append("failed" if found else "")
            else:
                one = found[0]
                cells.append(f"{one.calls_per_second:,.0f}, {_time(one.p50_us)}")
        rows.append(cells)
    heads = ["calls/s and p50, agents:", *(f"{agents:,}" for agents in counts)]
    return _grid(heads, rows, markdown=markdown)


def _footing(run: Run) -> str:
    peers = ", ".join(f"{name} {version}" for name, version in run.peers.items())
    return (
        f"{run.machine}; load average {run.load_average:.1f} before it began; fdatasync of 1 kB "
        f"{run.fsync_p50_us:.0f} µs at the median; {run.rounds} rounds of {run.turn_seconds:.1f} s "
        f"a way{'; peers: ' + peers if peers else ''}."
    )


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    if markdown:
        lines = [heads, ["---"] * len(heads), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (heads, *rows)
    )
