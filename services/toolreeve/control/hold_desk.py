"""Holds, as operators place, release and list them."""

import structlog

from toolreeve.control.desk import Methods, Submitting
from toolreeve.control.store import Store
from toolreeve.control.translate import read_command
from toolreeve.fleet import CommandReusedError, HoldAnswer, hold_id_of, place_hold, release_hold
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.wire.read_body import read_hold
from toolreeve.wire.write_body import write_hold

log = structlog.get_logger()


class HoldDesk:
    """Holds go into the log; the streams bring them to the fleet."""

    def __init__(self, store: Store, submitting: Submitting, clock: Clock) -> None:
        self._store = store
        self._submitting = submitting
        self._clock = clock

    def methods(self) -> Methods:
        """What is answered here."""
        return {
            "PlaceHold": self.place_hold,
            "ReleaseHold": self.release_hold,
            "ListHolds": self.list_holds,
        }

    async def place_hold(self, request: pb.PlaceHoldRequest) -> pb.PlaceHoldResponse:
        """Stop what the hold names, everywhere, now."""
        command = read_command(request.command)
        if not request.hold.hold_id:
            request.hold.hold_id = hold_id_of(command)
        hold = read_hold(request.hold)
        answer, changed = await self._submitting.submit(
            lambda state, at: place_hold(state, command, hold=hold, at=at)
        )
        if not isinstance(answer, HoldAnswer):
            raise CommandReusedError(command.command_id)
        if changed:
            log.info("hold.placed", hold_id=answer.hold.hold_id, actor=command.actor)
        return pb.PlaceHoldResponse(hold=write_hold(answer.hold))

    async def release_hold(self, request: pb.ReleaseHoldRequest) -> pb.ReleaseHoldResponse:
        """Let through again what a hold stopped."""
        command = read_command(request.command)
        _, changed = await self._submitting.submit(
            lambda state, at: release_hold(state, command, hold_id=request.hold_id, at=at)
        )
        if changed:
            log.info("hold.released", hold_id=request.hold_id, actor=command.actor)
        return pb.ReleaseHoldResponse()

    async def list_holds(self, _: pb.ListHoldsRequest) -> pb.ListHoldsResponse:
        """The holds in force."""
        standing = self._store.state.standing_holds(self._clock.now())
        return pb.ListHoldsResponse(holds=[write_hold(hold) for hold in standing])
