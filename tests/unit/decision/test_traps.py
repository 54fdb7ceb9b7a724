"""Ways around a policy that worked elsewhere: one test for each."""

import json
from typing import Any

import pytest

from toolreeve.decision import (
    DAY,
    SECOND,
    Call,
    Code,
    CompiledPolicy,
    Counters,
    Holds,
    Instant,
    Reservation,
    compile_policy,
    decide,
)
from toolreeve.policy import parse

NOON = Instant(20_000 * DAY + DAY // 2)


def compiled(rule: dict[str, Any]) -> CompiledPolicy:
    document = {"version": "1", "default": "deny", "tools": {"t": rule}}
    return compile_policy(parse(json.dumps(document), source="test"))


def code(rule: dict[str, Any], arguments: str) -> Code:
    """What a fresh policy says of a call with these arguments, as they stand on the wire."""
    return Calls(rule).code(arguments)


class Calls:
    """One history of calls under one rule."""

    def __init__(self, rule: dict[str, Any]) -> None:
        self.policy = compiled(rule)
        self.counters = Counters()
        self.reserved: tuple[Reservation, ...] = ()

    def code(self, arguments: str = "{}", at: float = 0.0) -> Code:
        call = Call(server="s", grant="g", tool="t", arguments=json.loads(arguments))
        instant = Instant(NOON + round(at * SECOND))
        verdict = decide(self.policy, Holds(), self.counters, call, instant)
        self.reserved = verdict.reservations
        return verdict.code


def require(op: str, value: object) -> dict[str, Any]:
    return {"require": [{"conditions": [{"path": "args.x", "op": op, "value": value}]}]}


def deny_if(op: str, value: object, **more: object) -> dict[str, Any]:
    return {"deny_if": [{"conditions": [{"path": "args.x", "op": op, "value": value, **more}]}]}


def limit(**members: object) -> dict[str, Any]:
    return {"limits": [{"counter": "c", "window": "minute", "max": 3, **members}]}


def test_a_boolean_is_no_integer() -> None:
    assert code(require("eq", 1), '{"x": true}') is Code.REQUIRE_FAILED
    assert code(require("in", [0, 1]), '{"x": false}') is Code.REQUIRE_FAILED
    assert code(require("lte", 1), '{"x": true}') is Code.CONDITION_ERROR
    assert code(deny_if("eq", 1), '{"x": true}') is Code.ALLOWED
    assert code(deny_if("gt", 0), '{"x": true}') is Code.CONDITION_ERROR
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    assert code({"arguments": schema}, '{"x": true}') is Code.BAD_ARGUMENTS
    assert code(limit(amount="/x"), '{"x": true}') is Code.BAD_AMOUNT


def test_a_text_that_looks_like_a_number_does_not_pass_below_a_bound() -> None:
    assert code(deny_if("gt", 100), '{"x": "500"}') is Code.CONDITION_ERROR
    assert code(require("lte", 100), '{"x": "5"}') is Code.CONDITION_ERROR
    assert code(deny_if("eq", 500), '{"x": "500"}') is Code.ALLOWED, "another type is not equal"
    assert code(require("eq", 500), '{"x": "500"}') is Code.REQUIRE_FAILED


@pytest.mark.parametrize("arguments", ["{}", '{"X": 500}', '{"y": {"x": 500}}', '{"x ": 500}'])
def test_an_argument_left_out_is_not_let_through(arguments: str) -> None:
    assert code(require("lte", 100), arguments) is Code.REQUIRE_FAILED
    assert code(deny_if("gt", 100), arguments) is Code.CONDITION_ERROR
    assert code(deny_if("gt", 100, on_missing="ignore"), arguments) is Code.ALLOWED


def test_null_is_there_and_is_not_missing() -> None:
    assert code(deny_if("gt", 100, on_missing="ignore"), '{"x": null}') is Code.CONDITION_ERROR
    assert code(require("exists", True), '{"x": null}') is Code.ALLOWED


def test_a_newline_at_the_end_is_not_overlooked_by_a_pattern() -> None:
    for pattern in ("[a-z]+", "^[a-z]+$"):
        assert code(require("regex", pattern), '{"x": "web"}') is Code.ALLOWED
        assert code(require("regex", pattern), '{"x": "web\\n"}') is Code.REQUIRE_FAILED
        assert code(require("regex", pattern), '{"x": "web\\nroot"}') is Code.REQUIRE_FAILED


@pytest.mark.parametrize("key", ["__proto__", "__class__", "constructor", "toString", "__dict__"])
def test_keys_that_mean_something_elsewhere_are_plain_keys(key: str) -> None:
    condition = {"path": f"args.{key}.admin", "op": "eq", "value": True}
    rule = {"deny_if": [{"conditions": [{**condition, "on_missing": "ignore"}]}]}
    assert code(rule, f'{{"{key}": {{"admin": true}}}}') is Code.DENY_IF_HELD
    assert code(rule, f'{{"{key}": {{"admin": false}}}}') is Code.ALLOWED
    assert code(rule, "{}") is Code.ALLOWED, "nothing stands there that nobody has sent"
    exists = {"path": f"args.{key}", "op": "exists", "value": True}
    assert code({"require": [{"conditions": [exists]}]}, "{}") is Code.REQUIRE_FAILED


def test_integers_beyond_two_to_the_53_are_compared_exactly() -> None:
    most = 2**53
    assert code(require("lte", most), f'{{"x": {most + 1}}}') is Code.REQUIRE_FAILED
    assert code(deny_if("gt", most), f'{{"x": {most + 1}}}') is Code.DENY_IF_HELD
    assert code(require("eq", most), f'{{"x": {most + 1}}}') is Code.REQUIRE_FAILED
    assert code(require("eq", most + 1), f'{{"x": {most + 1}}}') is Code.ALLOWED
    huge = 10**40
    assert code(require("lt", huge), f'{{"x": {huge - 1}}}') is Code.ALLOWED
    assert code(require("lt", huge), f'{{"x": {huge}}}') is Code.REQUIRE_FAILED


def test_a_negative_amount_is_refused_and_gives_nothing_back() -> None:
    calls = Calls(limit(amount="/usd", max=10))
    assert calls.code('{"usd": 10}') is Code.ALLOWED
    for refill in ("-10", "-0.01", "-1e300"):
        assert calls.code(f'{{"usd": {refill}}}') is Code.BAD_AMOUNT
    assert calls.code('{"usd": 0.01}') is Code.LIMITED


def test_a_storm_of_failing_retries_is_not_free() -> None:
    calls = Calls(limit())
    seen = [calls.code(at=number / 10) for number in range(20)]  # each of them fails upstream
    assert seen == [Code.ALLOWED] * 3 + [Code.LIMITED] * 17


def test_a_storm_of_failing_retries_is_free_only_where_the_limit_says_so() -> None:
    calls = Calls(limit(refund_on=["tool_error"]))
    for number in range(20):
        assert calls.code(at=number / 10) is Code.ALLOWED
        (one,) = calls.reserved
        assert calls.counters.refund(one, Instant(NOON + round(number / 10 * SECOND)))


def test_around_the_edge_of_a_calendar_minute_each_minute_holds_its_own() -> None:
    calls = Calls(limit(align="calendar"))
    assert [calls.code(at=59.9) for _ in range(4)] == [Code.ALLOWED] * 3 + [Code.LIMITED]
    assert [calls.code(at=60.1) for _ in range(4)] == [Code.ALLOWED] * 3 + [Code.LIMITED]


def test_around_the_full_minute_a_sliding_window_holds_no_more_than_anywhere() -> None:
    calls = Calls(limit())
    assert [calls.code(at=59.9) for _ in range(4)] == [Code.ALLOWED] * 3 + [Code.LIMITED]
    assert calls.code(at=60.1) is Code.LIMITED
    assert calls.code(at=59.9 + 59.999) is Code.LIMITED
    assert [calls.code(at=59.9 + 60) for _ in range(4)] == [Code.ALLOWED] * 3 + [Code.LIMITED]


def test_a_limit_by_value_is_not_walked_around_by_writing_the_value_otherwise() -> None:
    calls = Calls(limit(by=["/id"], max=1))
    assert calls.code('{"id": 7}') is Code.ALLOWED
    assert calls.code('{"id": 7.0}') is Code.LIMITED
    assert calls.code('{"id": 7e0}') is Code.LIMITED
