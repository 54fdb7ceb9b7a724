"""Policies from files: read at the start, and again when they change."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from toolreeve.enforcement import PolicyOffered, PolicyUnfit
from toolreeve.policy import PolicyTextError, parse
from toolreeve.runtime.settings import SettingsError

log = structlog.get_logger()

ORIGIN = "file"
LOOK_SECONDS = 0.5


def read_policy_file(server: str, path: Path) -> PolicyOffered | PolicyUnfit:
    """What the file says now."""
    try:
        policy = parse(path.read_bytes(), source=str(path))
    except PolicyTextError as error:
        return PolicyUnfit(server=server, code="invalid", reason=str(error), origin=ORIGIN)
    except OSError as error:
        reason = f"{path}: {error.strerror or error}"
        return PolicyUnfit(server=server, code="unreadable", reason=reason, origin=ORIGIN)
    return PolicyOffered(server=server, policy=policy, origin=ORIGIN)


def policy_of_file(server: str, path: Path) -> PolicyOffered:
    """What the file says at the start, where there is nothing else to go on with.

    Raises PolicyTextError, or SettingsError where the file cannot be read.
    """
    try:
        policy = parse(path.read_bytes(), source=str(path))
    except OSError as error:
        problem = f"the policy cannot be read: {error.strerror or error}"
        raise SettingsError(str(path), problem, "check --policy") from error
    return PolicyOffered(server=server, policy=policy, origin=ORIGIN)


async def watch(
    files: dict[str, Path], hear: Callable[[PolicyOffered | PolicyUnfit], Awaitable[None]]
) -> None:
    """Offer each file's policy again whenever the file has changed, for ever.

    A file that cannot be taken leaves the policy before it in force, and is complained of once
    for each change. Looks every half second: editors replace files, and watching the name is what
    works with all of them.
    """
    seen = {path: _fingerprint(path) for path in files.values()}
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for path in set(files.values()):
            now = _fingerprint(path)
            if now == seen[path]:
                continue
            seen[path] = now
            for server, file in files.items():
                if file == path:
                    read = await asyncio.to_thread(read_policy_file, server, path)
                    if isinstance(read, PolicyUnfit):
                        log.error("policy.refused", server=server, reason=read.reason)
                    else:
                        log.info("policy.read", server=server, revision=read.policy.revision)
                    await hear(read)


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
