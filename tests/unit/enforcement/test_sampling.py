"""Refused requests: each is in the sum of the counts, few of a flood are events of their own."""

from msgspec.structs import replace

from toolreeve.audit import Draft, Redaction, RequestRefused
from toolreeve.decision import SECOND, Counters, Instant
from toolreeve.enforcement import Append, CountsDue, Enforcer, RequestUnfit, Sampling
from toolreeve.enforcement.sampling import MANY, SUMMARIES_MAX, UPSTREAM, RefusalSampler

KNOCK = RequestRefused(
    server="vm",
    code="unauthenticated",
    reason="no grant",
    transport="http",
    http_status=401,
    method="tools/call",
    wire_tool="x",
    request_bytes=10,
)
TIGHT = Sampling(per_second=1, burst=5, strangers_per_second=2, strangers_burst=8)


def at(seconds: float) -> Instant:
    return Instant(int(seconds * SECOND))


def knocks(sampler: RefusalSampler, peer: str, times: int, seconds: float) -> int:
    """How many of so many knocks at one moment become events."""
    return sum(sampler.takes(KNOCK, peer, at(seconds)) for _ in range(times))


def test_a_few_refusals_are_all_recorded() -> None:
    sampler = RefusalSampler(Sampling())
    assert knocks(sampler, "192.0.2.1", 50, 0) == 50
    assert sampler.summaries() == []
    assert not sampler.counts


def test_of_a_flood_a_burst_is_recorded_and_then_so_many_a_second() -> None:
    sampler = RefusalSampler(TIGHT)
    assert knocks(sampler, "192.0.2.1", 1_000, 0) == 5
    assert [knocks(sampler, "192.0.2.1", 1_000, second) for second in (1, 2, 3)] == [1, 1, 1]


def test_what_is_not_recorded_is_counted_to_the_last_one() -> None:
    sampler = RefusalSampler(TIGHT)
    recorded = knocks(sampler, "192.0.2.1", 1_000, 0) + knocks(sampler, "192.0.2.2", 500, 0)
    summaries = sampler.summaries()
    assert recorded + sum(one.count for one in summaries) == 1_500
    assert {one.request_bytes for one in summaries} == {10 * one.count for one in summaries}
    assert sampler.summaries() == []


def test_a_summary_says_who_it_was_and_nothing_of_a_single_request() -> None:
    sampler = RefusalSampler(TIGHT)
    knocks(sampler, "192.0.2.1", 100, 0)
    (summary,) = sampler.summaries()
    assert summary.reason == ("no grant (counted, not recorded one by one; from 192.0.2.1)")
    assert (summary.code, summary.http_status, summary.server) == ("unauthenticated", 401, "vm")
    assert (summary.method, summary.wire_tool) == ("", "")


def test_the_first_of_a_kind_is_recorded_in_the_middle_of_a_flood() -> None:
    sampler = RefusalSampler(TIGHT)
    knocks(sampler, "192.0.2.1", 10_000, 0)
    assert sampler.takes(replace(KNOCK, code="slow"), "192.0.2.1", at(0))
    assert not sampler.takes(replace(KNOCK, code="slow"), "192.0.2.1", at(0))


def test_strangers_together_have_one_allowance_however_many_they_are() -> None:
    sampler = RefusalSampler(replace(TIGHT, strangers_max=100))
    recorded = sum(knocks(sampler, f"192.0.2.{number}", 10, 0) for number in range(200))
    assert recorded == 8
    assert sum(one.count for one in sampler.summaries()) == 2_000 - 8
    assert sum(knocks(sampler, f"192.0.2.{number}", 1, 10) for number in range(200)) == 8


def test_strangers_beyond_those_told_apart_are_counted_together() -> None:
    sampler = RefusalSampler(replace(TIGHT, strangers_max=2, strangers_burst=1))
    for number in range(50):
        knocks(sampler, f"192.0.2.{number}", 2, 0)
    senders = {one.reason.rpartition(" from ")[2] for one in sampler.summaries()}
    assert senders == {"192.0.2.0)", "192.0.2.1)", f"{MANY})"}


def test_summaries_are_no_flood_themselves() -> None:
    sampler = RefusalSampler(replace(TIGHT, strangers_burst=1))
    for number in range(1_000):
        for code in ("slow", "host", "unauthenticated"):
            one = replace(KNOCK, code=code, server=f"server {number % 10}")
            sampler.takes(one, f"192.0.2.{number}", at(0))
            sampler.takes(one, f"192.0.2.{number}", at(0))
    summaries = sampler.summaries()
    assert len(summaries) <= SUMMARIES_MAX + 3
    first_of_their_kind = 3 * 10
    assert sum(one.count for one in summaries) == 6_000 - first_of_their_kind
    together = [one for one in summaries if one.reason.endswith(f"from {MANY})")]
    assert {one.code for one in together} == {"slow", "host", "unauthenticated"}
    assert {one.server for one in together} == {""}


def test_a_stranger_who_was_quiet_makes_place_for_another() -> None:
    sampler = RefusalSampler(replace(TIGHT, strangers_max=1, strangers_burst=1))
    knocks(sampler, "192.0.2.1", 3, 0)
    sampler.summaries()
    knocks(sampler, "192.0.2.2", 100, 60)
    assert [one.reason.endswith("from 192.0.2.2)") for one in sampler.summaries()] == [True]


def test_a_flood_of_strangers_takes_nothing_from_those_who_have_a_grant() -> None:
    sampler = RefusalSampler(TIGHT)
    knocks(sampler, "192.0.2.1", 10_000, 0)
    mine = replace(KNOCK, grant="night-shift", code="parse")
    assert [sampler.takes(mine, "", at(0)) for _ in range(7)] == [True] * 5 + [False] * 2
    theirs = replace(mine, grant="day-shift")
    assert sampler.takes(theirs, "", at(0))


def test_a_server_that_misbehaves_takes_nothing_from_the_grant_that_called_it() -> None:
    sampler = RefusalSampler(TIGHT)
    stray = replace(KNOCK, transport=UPSTREAM, grant="night-shift", code="stray_answer")
    assert sum(sampler.takes(stray, "", at(0)) for _ in range(100)) == 5
    assert sampler.takes(replace(KNOCK, grant="night-shift"), "", at(0))
    assert sampler.takes(replace(KNOCK, grant="night-shift"), "", at(0))
    (summary,) = sampler.summaries()
    assert (summary.count, summary.reason.endswith("from server vm)")) == (95, True)


def test_the_enforcer_appends_what_is_recorded_and_sums_up_the_rest_when_asked() -> None:
    enforcer = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)),
        counters=Counters(),
        stopwatch=lambda: 0,
        sampling=TIGHT,
    )
    appended = [len(enforcer.receive(RequestUnfit(KNOCK, "192.0.2.1"), at(0))) for _ in range(100)]
    assert sum(appended) == 5
    (action,) = enforcer.receive(CountsDue(), at(1))
    assert isinstance(action, Append)
    assert action.draft == Draft(at(1), action.draft.body)
    assert isinstance(action.draft.body, RequestRefused)
    assert action.draft.body.count == 95
    assert enforcer.receive(CountsDue(), at(2)) == []


def test_of_denied_calls_a_burst_is_recorded_and_the_rest_is_counted() -> None:
    sampler = RefusalSampler(Sampling(denied_per_second=2, denied_burst=10))
    recorded = sum(sampler.takes_denied("vm", "ops", at(0)) for _ in range(1_000))
    assert recorded == 10
    assert sum(sampler.takes_denied("vm", "ops", at(3)) for _ in range(100)) == 6
    assert sampler.takes_denied("vm", "another", at(3)), "each grant has an allowance of its own"
    (summary,) = sampler.summaries()
    assert (summary.code, summary.transport, summary.grant) == ("denied_often", "call", "ops")
    assert summary.count == 990 + 94
