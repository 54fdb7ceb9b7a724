"""What operators may ask, and what they are told when they may not."""

import pytest

from toolreeve.decision import Hold, Instant
from toolreeve.fleet import (
    Activated,
    Command,
    CommandError,
    CommandReusedError,
    Commit,
    HistoryError,
    Nacked,
    Observation,
    Running,
    Seen,
    State,
    Unchanged,
    UnknownHoldError,
    apply,
    observe,
    place_hold,
    publish,
    release_hold,
    served,
)
from toolreeve.policy import Policy, parse
from toolreeve.policy.sign import SigningKey

KEY = SigningKey.generate()
NOW = Instant(1_000)
STRICT = parse('{"version": "1", "name": "lab", "default": "deny", "tools": {}}', source="")
OPEN = parse('{"version": "1", "name": "lab", "default": "allow", "tools": {}}', source="")


def command(command_id: str, *, reason: str = "because") -> Command:
    return Command(command_id=command_id, actor="ada", reason=reason)


def after(state: State, outcome: Commit | Unchanged) -> State:
    assert isinstance(outcome, Commit)
    return apply(state, outcome, bytes([outcome.index]) * 32)


def published(state: State, policy: Policy, command_id: str) -> State:
    return after(
        state, publish(state, command(command_id), policy=policy, server="vm", key=KEY, at=NOW)
    )


def hold(**members: str) -> Hold:
    named = {"hold_id": "", "tool": "", "server": "", "argument_pointer": "", "value": ""} | members
    return Hold(
        hold_id=named["hold_id"],
        tool=named["tool"],
        server=named["server"],
        argument_pointer=named["argument_pointer"],
        argument_value_json=named["value"],
        actor="",
        reason="",
    )


def seen(*running: Running) -> Seen:
    return Seen(enforcer_id="e1", host="h", software_version="1", servers=("vm",), running=running)


def test_a_body_is_written_down_once_however_often_it_is_wanted() -> None:
    state = published(State(), STRICT, "one")
    state = published(state, OPEN, "two")
    outcome = publish(state, command("three"), policy=STRICT, server="vm", key=KEY, at=NOW)
    assert isinstance(outcome, Commit)
    assert [type(event).__name__ for event in outcome.events] == ["ManifestIssued"]
    assert after(state, outcome).wanted["vm"].manifest_sequence == 3


def test_a_command_id_that_was_used_for_something_else_is_an_error() -> None:
    state = published(State(), STRICT, "one")
    with pytest.raises(CommandReusedError):
        publish(state, command("one"), policy=OPEN, server="vm", key=KEY, at=NOW)
    with pytest.raises(CommandReusedError):
        place_hold(state, command("one"), hold=hold(tool="t"), at=NOW)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (hold(), "names a server"),
        (hold(argument_pointer="/id"), "go together"),
        (hold(argument_pointer="id", value="7"), "not a JSON Pointer"),
        (hold(argument_pointer="/id", value="web-1"), "not a JSON value"),
        (hold(argument_pointer="/id", value="NaN"), "not a JSON value"),
        (hold(tool="a\nb"), "control characters"),
    ],
)
def test_a_hold_that_would_stop_nothing_for_sure_is_an_error(given: Hold, problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        place_hold(State(), command("one"), hold=given, at=NOW)


def test_a_hold_needs_a_reason_and_a_time_that_is_not_over() -> None:
    with pytest.raises(CommandError, match="reason"):
        place_hold(State(), command("one", reason=" "), hold=hold(tool="t"), at=NOW)
    over = Hold(hold_id="h", tool="t", actor="", reason="", expires_at=NOW)
    with pytest.raises(CommandError, match="over already"):
        place_hold(State(), command("one"), hold=over, at=NOW)


def test_a_held_value_is_kept_as_canonical_json() -> None:
    given = hold(argument_pointer="/vm", value=' {"b": 1, "a": 123456789012345678901234567890} ')
    state = after(State(), place_hold(State(), command("one"), hold=given, at=NOW))
    (standing,) = state.standing_holds(NOW)
    assert standing.argument_value_json == '{"a":123456789012345678901234567890,"b":1}'
    assert (standing.actor, standing.reason) == ("ada", "because")
    assert standing.hold_id.startswith("hold-")


def test_only_a_standing_hold_can_be_released() -> None:
    with pytest.raises(UnknownHoldError):
        release_hold(State(), command("one"), hold_id="h", at=NOW)


def test_a_hold_that_has_run_out_stands_no_more() -> None:
    given = Hold(hold_id="h", tool="t", actor="", reason="", expires_at=Instant(2_000))
    state = after(State(), place_hold(State(), command("one"), hold=given, at=NOW))
    assert state.standing_holds(Instant(1_999))
    assert not state.standing_holds(Instant(2_000))


def test_what_the_roster_knows_is_not_written_again() -> None:
    state = after(State(), observe(State(), [seen(), seen()], command_id="f1", at=NOW))
    assert len(state.roster) == 1
    assert isinstance(observe(state, [seen()], command_id="f2", at=NOW), Unchanged)


def test_an_ack_that_comes_late_does_not_undo_a_newer_one() -> None:
    newer = Running(server="vm", revision="b", manifest_sequence=2)
    older = Running(server="vm", revision="a", manifest_sequence=1)
    state = after(State(), observe(State(), [seen(newer)], command_id="f1", at=NOW))
    late = Activated(enforcer_id="e1", running=older)
    assert isinstance(observe(state, [late], command_id="f2", at=NOW), Unchanged)


def test_a_refusal_shows_until_what_is_wanted_runs() -> None:
    state = published(State(), STRICT, "one")
    refused = Nacked(
        enforcer_id="e1",
        server="vm",
        revision=STRICT.revision,
        manifest_sequence=1,
        code="hash",
        reason="torn",
    )
    state = after(state, observe(state, [seen(), refused], command_id="f1", at=NOW))
    (shown,) = served(state, state.roster["e1"])
    assert (shown.refusal, shown.settled) == ("hash: torn", False)
    running = Running(server="vm", revision=STRICT.revision, manifest_sequence=1)
    activated = Activated(enforcer_id="e1", running=running)
    state = after(state, observe(state, [activated], command_id="f2", at=NOW))
    (shown,) = served(state, state.roster["e1"])
    assert (shown.refusal, shown.settled) == ("", True)


def test_words_about_a_server_that_is_not_behind_the_enforcer_are_ignored() -> None:
    state = after(State(), observe(State(), [seen()], command_id="f1", at=NOW))
    elsewhere = Running(server="other", revision="a", manifest_sequence=1)
    said: list[Observation] = [
        Activated(enforcer_id="e1", running=elsewhere),
        Activated(enforcer_id="nobody", running=elsewhere),
        Nacked(
            enforcer_id="e1",
            server="other",
            revision="a",
            manifest_sequence=1,
            code="hash",
            reason="",
        ),
    ]
    assert isinstance(observe(state, said, command_id="f2", at=NOW), Unchanged)


def test_a_commit_that_does_not_follow_is_not_folded() -> None:
    outcome = publish(State(), command("one"), policy=STRICT, server="vm", key=KEY, at=NOW)
    assert isinstance(outcome, Commit)
    state = apply(State(), outcome, b"a" * 32)
    with pytest.raises(HistoryError, match="expected commit 2"):
        apply(state, outcome, b"a" * 32)
    forged = publish(state, command("two"), policy=OPEN, server="vm", key=KEY, at=NOW)
    assert isinstance(forged, Commit)
    with pytest.raises(HistoryError, match="hash chain"):
        apply(apply(State(), outcome, b"b" * 32), forged, b"c" * 32)
