"""The fleet, as operators see it."""

from toolreeve.control.desk import Context, Methods
from toolreeve.control.streams import Streams
from toolreeve.v1 import operator_pb2 as pb


class FleetDesk:
    """The roster: now, and as it changes."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def methods(self) -> Methods:
        """What is answered here, once; `watch_fleet` is a stream."""
        return {"GetFleet": self.get_fleet}

    async def get_fleet(self, _: pb.GetFleetRequest) -> pb.GetFleetResponse:
        """The roster."""
        summaries = map(self._streams.summary, self._streams.enforcers())
        return pb.GetFleetResponse(enforcers=[one for one in summaries if one is not None])

    async def watch_fleet(self, _: pb.WatchFleetRequest, context: Context) -> None:
        """The roster, then each enforcer that changed; for ever."""
        with self._streams.watch() as watcher:
            while True:
                for enforcer_id in watcher.take():
                    summary = self._streams.summary(enforcer_id)
                    if summary is not None:
                        await context.write(pb.WatchFleetResponse(enforcer=summary))
                await watcher.wait()
