"""Keeps the enforcer told that its control plane is there, also over restarts.

When it was last heard of is the time of a file, touched every few seconds: an enforcer that starts
anew while it is cut off is as stale as before.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import structlog

from toolreeve.decision import Instant
from toolreeve.enforcement import Enforcer
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

FILE = "control.heard"
LOOK_SECONDS = 1.0
TOUCH_EVERY = 10


class Heard:
    """When the control plane was last heard of, in the enforcer and in `folder`."""

    def __init__(self, enforcer: Enforcer, clock: Clock, folder: Path) -> None:
        self._enforcer = enforcer
        self._clock = clock
        self._file = folder / FILE
        self._stale: dict[str, str] = {}

    def begin(self) -> None:
        """Go on from what was known when this enforcer ended."""
        try:
            known = self._file.stat().st_mtime_ns
        except OSError:
            known = 0
        now = self._clock.now()
        self._enforcer.freshness.heard(Instant(min(known, now)))

    async def run(self, servers: tuple[str, ...], connected: Callable[[], bool]) -> NoReturn:
        """Look every second whether the control plane is there, and log what follows."""
        looks = 0
        while True:
            if connected():
                self._enforcer.freshness.heard(self._clock.now())
                if looks % TOUCH_EVERY == 0:
                    await asyncio.to_thread(self._touch)
                looks += 1
            for server in servers:
                self._tell(server)
            await asyncio.sleep(LOOK_SECONDS)

    def _touch(self) -> None:
        try:
            self._file.touch(mode=0o600)
        except OSError as error:
            log.error("control.heard_not_kept", file=str(self._file), error=error.strerror)

    def _tell(self, server: str) -> None:
        policy = self._enforcer.policy_of(server)
        stale = self._enforcer.freshness.of(policy, self._clock.now())
        if stale == self._stale.get(server, ""):
            return
        self._stale[server] = stale
        if stale:
            log.error("policy.stale", server=server, on_stale=stale)
        else:
            log.info("policy.fresh", server=server)
