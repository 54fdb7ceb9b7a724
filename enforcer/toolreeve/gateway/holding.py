"""Carrying out what the control plane orders to be held: on disk first, then in force."""

import asyncio
from collections.abc import Sequence

import structlog

from toolreeve.audit import Hold
from toolreeve.enforcement import HoldLifted, HoldOrdered, HoldsReplaced
from toolreeve.gateway.holdfile import HeldState, HoldFile
from toolreeve.gateway.station import Station
from toolreeve.wire.hold_order import HoldOrder

log = structlog.get_logger()


async def carry_out(order: HoldOrder, station: Station, file: HoldFile) -> None:
    """Carry out an order: on disk first, so that a restart does not undo it."""
    if order.snapshot is not None:
        if order.sequence >= file.state.sequence:
            await _keep(file, order.sequence, order.snapshot)
            await station.attempt(HoldsReplaced(order.snapshot))
        return
    by_id = {hold.hold_id: hold for hold in file.state.holds}
    sequence = max(order.sequence, file.state.sequence)
    if order.place is not None:
        # Whatever its sequence: to stop once too often harms less than once too little.
        by_id[order.place.hold_id] = order.place
        await _keep(file, sequence, tuple(by_id.values()))
        await station.attempt(HoldOrdered(order.place))
    if order.release is not None and order.sequence > file.state.sequence:
        by_id.pop(order.release.hold_id, None)
        await _keep(file, order.sequence, tuple(by_id.values()))
        lifted = HoldLifted(
            hold_id=order.release.hold_id,
            actor=order.release.actor,
            reason=order.release.reason,
        )
        await station.attempt(lifted)


async def _keep(file: HoldFile, sequence: int, holds: Sequence[Hold]) -> None:
    state = HeldState(sequence=sequence, holds=tuple(holds))
    try:
        await asyncio.to_thread(file.keep, state)
    except OSError as error:  # it is carried out all the same; the next hello brings it again
        log.error("hold.not_kept", error=str(error))
