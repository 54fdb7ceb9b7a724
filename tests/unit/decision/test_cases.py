"""Cases beside a policy: how they are read, how they are run, and what they reach."""

import json
from typing import Any

import pytest

from toolreeve.decision import compile_policy
from toolreeve.decision.case_parts import Part, coverage_of
from toolreeve.decision.case_run import Result, run_cases
from toolreeve.decision.case_times import MIDNIGHT, read_length, read_time
from toolreeve.decision.cases import CaseFile, read_cases
from toolreeve.policy import Policy, PolicyTextError, parse

POLICY: dict[str, Any] = {
    "version": "1",
    "default": "deny",
    "hide": ["vm_delete"],
    "dispatch": {"meta": {"name": "/action", "arguments": "/params"}},
    "tools": {
        "vm_restart": {
            "require": [{"conditions": [{"path": "args.id", "op": "lt", "value": 100}]}],
            "limits": [
                {"counter": "r", "window": "minute", "max": 2, "refund_on": ["not_sent"]},
                {"counter": "h", "window": "hour", "align": "calendar", "max": 3},
            ],
        }
    },
}


def policy(document: dict[str, Any] = POLICY) -> Policy:
    return parse(json.dumps(document), source="policy")


def cases(text: str) -> CaseFile:
    return read_cases("policy: p.json\ncases:\n" + text, source="c")


def run(text: str) -> Result:
    results, _ = run_cases(compile_policy(policy()), cases(text).cases)
    (result,) = results
    return result


def complaints(text: str) -> list[str]:
    with pytest.raises(PolicyTextError) as wrong:
        read_cases(text, source="c")
    return str(wrong.value).splitlines()


def test_a_sequence_sees_the_edge_of_a_window() -> None:
    result = run(
        """
- name: two a minute
  at: "12:00:00"
  tool: vm_restart
  arguments: {id: 1}
  repeat: 2
  expect: allow
  then:
    - {after: 59.999999999s, expect: {code: limited, retry_after_ms: 1}}
    - {at: "12:01:00", expect: allow}
"""
    )
    assert result.failure is None
    assert result.calls == 4


def test_calls_that_repeat_can_lie_apart() -> None:
    result = run(
        """
- {name: calm, tool: vm_restart, arguments: {id: 1}, repeat: 3, every: 30s, expect: allow,
   then: [{after: 1h, expect: allow}]}
"""
    )
    assert result.failure is None


def test_a_calendar_window_ends_with_the_hour() -> None:
    result = run(
        """
- name: three an hour
  at: "12:58:00"
  tool: vm_restart
  arguments: {id: 1}
  repeat: 3
  every: 30s
  expect: allow
  then:
    - {at: "12:59:59.9", expect: {counter: h, retry_after_ms: 100}}
    - {at: "13:00:00.1", expect: allow}
"""
    )
    assert result.failure is None


def test_an_ending_gives_back_where_the_limit_says_so() -> None:
    result = run(
        """
- {name: free, tool: vm_restart, arguments: {id: 1}, repeat: 2, ending: not_sent, expect: allow,
   then: [{expect: {code: limited, counter: r}}]}
"""
    )
    assert result.failure is not None
    assert result.failure.differences[0].came == "allowed"


def test_a_call_gives_back_when_it_ends_and_not_after_its_window() -> None:
    """Two a minute; the first call ends in vain after 30 s, and again after 90 s."""
    text = """
- name: free
  tool: vm_restart
  arguments: {{id: 1}}
  at: "12:00:00"
  ending: not_sent
  took: {took}
  expect: allow
  then:
    - {{expect: allow}}
    - {{after: 29.999s, expect: limited}}
    - {{at: "12:00:30", expect: {later}}}
    - {{at: "12:00:30", expect: limited}}
"""
    assert run(text.format(took="30s", later="allow")).failure is None
    assert run(text.format(took="90s", later="limited")).failure is None


def test_an_ending_that_no_limit_names_gives_nothing_back() -> None:
    result = run(
        """
- {name: not free, tool: vm_restart, arguments: {id: 1}, repeat: 2, ending: tool_error,
   expect: allow, then: [{expect: {code: limited, counter: r}}]}
"""
    )
    assert result.failure is None


def test_a_call_on_the_wire_goes_through_dispatch() -> None:
    arguments = "{action: vm_restart, params: {id: 100}}"
    rule = "/tools/vm_restart/require/0"
    result = run(
        f"- {{name: m, wire_tool: meta, arguments: {arguments}, "
        f"expect: {{code: require_failed, rule: {rule}}}}}"
    )
    assert result.failure is None


def test_a_case_fails_at_its_first_call_that_comes_out_otherwise() -> None:
    result = run(
        "- {name: n, tool: vm_restart, arguments: {id: 1}, repeat: 5, expect: allow,"
        " then: [{expect: deny}]}"
    )
    assert result.failure is not None
    assert (result.failure.call, result.calls) == (3, 3)
    (difference,) = result.failure.differences
    assert (difference.key, difference.expected, difference.came) == ("effect", "allow", "deny")


def test_each_case_begins_with_empty_counters() -> None:
    one = "- {{name: {}, tool: vm_restart, arguments: {{id: 1}}, repeat: 2, expect: allow}}\n"
    results, _ = run_cases(compile_policy(policy()), cases(one.format("a") + one.format("b")).cases)
    assert [result.failure for result in results] == [None, None]


def test_a_message_is_compared_whole() -> None:
    result = run("- {name: n, tool: other, expect: {message: No rule allows other}}")
    assert result.failure is not None
    assert result.failure.differences[0].came == "No rule allows other."


def test_what_no_case_reaches_is_named() -> None:
    text = "- {name: n, tool: vm_restart, arguments: {id: 1}, repeat: 3, expect: {rule: x}}"
    _, reached = run_cases(compile_policy(policy()), cases(text).cases)
    coverage = coverage_of(policy(), reached)
    assert coverage.reached == {Part("/tools/vm_restart", "rule")}
    assert [part.pointer for part in coverage.missed] == [
        "/default",
        "/hide/0",
        "/dispatch/meta",
        "/tools/vm_restart/require/0/conditions/0",
        "/tools/vm_restart/limits/0",
        "/tools/vm_restart/limits/1",
    ]
    assert round(coverage.percent) == 14


def test_everything_can_be_reached() -> None:
    text = """
- {name: a, tool: other, expect: deny, then: [{tool: vm_delete, expect: hidden}]}
- {name: b, wire_tool: meta, arguments: {action: vm_restart, params: {id: 1}}, repeat: 2,
   expect: allow, then: [{expect: limited}, {after: 1m, expect: allow}, {expect: limited}]}
- {name: c, tool: vm_restart, arguments: {id: 100}, expect: deny}
"""
    results, reached = run_cases(compile_policy(policy()), cases(text).cases)
    assert [result.failure for result in results] == [None] * 3
    assert coverage_of(policy(), reached).missed == ()


def test_everything_wrong_is_said_at_once_with_its_place() -> None:
    text = """policy: p.json
cases:
  - name: a
    tol: x
    expect: allow
  - {name: a, tool: t, wire_tool: t, expect: allowd}
  - {name: b, tool: t, after: 1s, expect: {}}
  - {name: c, tool: t, at: "25:00", expect: {retry_after_ms: -1}}
"""
    said = complaints(text)
    assert 'c:4:5: "tol" is not known here; did you mean "tool"?' in said
    assert len(said) == 9


def test_time_does_not_go_back_within_a_case() -> None:
    said = complaints(
        'policy: p\ncases: [{name: a, tool: t, at: "12:00", expect: deny,'
        ' then: [{at: "11:59:59.999", expect: deny}]}]'
    )
    assert "time does not go back" in said[0]


def test_a_file_without_a_policy_or_cases_says_what_is_missing() -> None:
    assert [line.split(": ")[1].split(";")[0] for line in complaints("{}")] == [
        '"policy" is missing',
        '"cases" is missing',
    ]


def test_times_are_read_to_the_nanosecond() -> None:
    noon = MIDNIGHT + 12 * 3_600 * 10**9
    assert read_time("12:00") == read_time(43_200) == noon
    assert read_time("12:00:00.000000001") == noon + 1
    assert read_time("2026-01-05T12:00:00Z") == noon
    assert read_time("2026-01-06 12:00:00") == noon + 86_400 * 10**9
    assert read_length("500ms") == read_length(0.5) == 5 * 10**8
    assert read_length("1d") == 86_400 * 10**9


@pytest.mark.parametrize(
    "wrong", ["24:00", "1:00", "noon", "", None, True, -1, [], "2026-02-30T12:00:00Z", "12:00:60"]
)
def test_what_is_no_time_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_time(wrong)


@pytest.mark.parametrize("wrong", ["1", "1w", "-1s", None, True, -1, [], "9999999d", "s"])
def test_what_is_no_length_of_time_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_length(wrong)
