"""An outbox that vouches for what it holds: its head signed once a second while it grows."""

import asyncio
from collections.abc import Callable

import structlog

from toolreeve.audit import Draft, HeadSealed, Position
from toolreeve.audit.seal import sealed_text
from toolreeve.decision import Instant
from toolreeve.outbox.error import OutboxError
from toolreeve.outbox.outbox import Outbox

log = structlog.get_logger()

SECONDS = 1.0

Sign = Callable[[bytes], bytes]


class Sealer:
    """Seals what `name` appends to `outbox` in this epoch.

    `signer` gives the means to sign. It is asked at the first seal, on a thread of its own: to
    load a key takes longer than a process that must start fast can wait.
    """

    def __init__(
        self,
        name: str,
        outbox: Outbox[Draft],
        *,
        epoch: int,
        now: Callable[[], Instant],
        signer: Callable[[], Sign],
    ) -> None:
        self._name = name
        self._outbox = outbox
        self._epoch = epoch
        self._now = now
        self._signer = signer
        self._sign: Sign | None = None
        self._newest: Position | None = None

    async def run(self) -> None:
        """Seal for ever. What could not be recorded is sealed by the next one that can."""
        failing = False
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self.seal()
                failing = False
            except OutboxError as error:
                if not failing:
                    log.error("seal.not_recorded", error=str(error))
                failing = True

    async def seal(self) -> None:
        """Vouch for all that is durable, where something has come since the last seal.

        Raises OutboxError, and what `signer` raises.
        """
        standing = self._outbox.status()
        last = standing.last
        if last is None or last.epoch != self._epoch or last == self._newest:
            return
        if self._sign is None:
            self._sign = await asyncio.to_thread(self._signer)
        signature = self._sign(sealed_text(self._name, last, standing.head))
        sealed = HeadSealed(sequence=last.sequence, head=standing.head, signature=signature)
        self._newest = await self._outbox.append(Draft(self._now(), sealed), lingers=True)
