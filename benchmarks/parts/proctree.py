"""What a process and everything it has started take: processor time, memory, descriptors.

Processor time of children that have ended is in it as soon as their parent has waited for them.
Memory is the resident memory of the first process and, of each other, what it shares with nobody:
a library that a whole tree has loaded is counted once.
"""

import os
from collections import defaultdict
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and its descendants that live now, itself first."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children[int(fields[1])].append(int(entry.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time the tree has used so far, user and system."""
    ticks = 0
    for one in tree(pid):
        fields = _stat(one)
        if fields:
            ticks += sum(int(field) for field in fields[11:15])  # with children waited for
    return ticks / TICKS


def memory_mb(pid: int, *, without: str = "\n") -> float:
    """Memory of the tree in MiB, less the processes whose command names `without`."""
    first, *all_others = tree(pid)
    others = [one for one in all_others if without not in command(one)]
    kilobytes = _smaps(first, ("Rss",))
    kilobytes += sum(_smaps(one, ("Private_Clean", "Private_Dirty")) for one in others)
    return kilobytes / 1024


def command(pid: int) -> str:
    """The command line of a process, its parts joined; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def descriptors(pid: int) -> int:
    """Open files, sockets and pipes of this one process; 0 where it has ended."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def threads(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _smaps(pid: int, keys: tuple[str, ...]) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in keys)
