"""Groups as their enforcers published them, asked of a worker."""

from collections.abc import Callable
from typing import Any

import grpc

from toolreeve.decision import Instant
from toolreeve.v1 import query_pb2 as pb
from toolreeve.v1.query_pb2_grpc import QueryServiceStub

Start = Callable[..., Any]


def test_every_group_comes_byte_for_byte_in_answers_of_less_than_a_megabyte(
    start_worker: Start, fleet: Any, now: Instant
) -> None:
    groups = fleet.calls("edge-1", 3_000, at=now)
    other = fleet.calls("edge-2", 5, at=now)
    fleet.publish("edge-1", groups[:2_000])
    worker = start_worker(archive={"seconds_max": 0.3})
    fleet.publish("edge-1", groups[2_000:])
    fleet.publish("edge-2", other)
    worker.wait_for("SELECT count(*) FROM decisions", [[3_005]])
    with grpc.insecure_channel(worker.address) as channel:
        ask = QueryServiceStub(channel).ExportGroups
        answers = list(ask(pb.ExportGroupsRequest(enforcer_id="edge-1"), timeout=20))
        assert [group for answer in answers for group in answer.groups] == groups
        assert max(answer.ByteSize() for answer in answers) < 1 << 20
        assert answers[0].events_expected == 6_000
        everybody = [group for answer in ask(pb.ExportGroupsRequest()) for group in answer.groups]
        assert everybody[: len(groups) + 5] == [*groups, *other], "the worker's own come behind"
        late = pb.ExportGroupsRequest(
            enforcer_id="edge-1",
            since_unix_nano=now + 10 * 10**6,
            until_unix_nano=now + 12 * 10**6,
        )
        some = [group for answer in ask(late) for group in answer.groups]
        assert some == groups[8:12], "outcomes come 2 ms after their decisions"
