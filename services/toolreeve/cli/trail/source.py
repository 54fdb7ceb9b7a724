"""Where an export's groups come from: an enforcer's own outbox, or the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from toolreeve.cli.failure import CommandError
from toolreeve.cli.reach import Place, channel
from toolreeve.wire import WireError, unpack
from toolreeve.wire.lines import any_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


class Wanted(Struct, frozen=True, kw_only=True):
    """From when to when, in nanoseconds since 1970; the end is not part of it. And whose."""

    since: int | None = None
    until: int | None = None
    enforcer: str = ""

    def takes(self, owner: str, raws: Iterable[bytes]) -> bool:
        """Whether this is the enforcer's that is wanted, and one of its events lies inside."""
        if self.enforcer and owner != self.enforcer:
            return False
        return any_between(raws, self.since, self.until)


def of_outbox(folder: Path, wanted: Wanted) -> Iterator[bytes]:
    """Groups of an enforcer's own history, straight from its disk. Raises CommandError."""
    from toolreeve.outbox import OutboxError, peek

    try:
        for group in peek(folder):
            read = unpack(group.payload)
            if wanted.takes(read.enforcer, read.raws):
                yield group.payload
    except OutboxError as error:
        raise CommandError(f"{error}", "nothing was exported") from error
    except WireError as error:
        raise CommandError(
            f"a group of the outbox cannot be read: {error}",
            "export with the toolreeve that wrote it",
        ) from error


def of_worker(place: Place, wanted: Wanted, expect: Callable[[int], None]) -> Iterator[bytes]:
    """Groups of everybody's history, as the worker has them. Raises CommandError.

    `expect` hears how many events there will be, or at most.
    """
    from toolreeve.v1 import query_pb2, query_pb2_grpc

    request = query_pb2.ExportGroupsRequest(
        since_unix_nano=wanted.since or 0,
        until_unix_nano=wanted.until or 0,
        enforcer_id=wanted.enforcer,
    )
    with channel(place) as opened:
        for answer in query_pb2_grpc.QueryServiceStub(opened).ExportGroups(request):
            expect(answer.events_expected)
            yield from answer.groups
