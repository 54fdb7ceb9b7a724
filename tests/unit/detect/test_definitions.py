"""A changed definition is one alert for a whole fleet, and is over when somebody saw to it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit import AlertRaised, Event, ToolApproved, ToolChanged, ToolPinned
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.detect import DefinitionDetector, DefinitionRule, Ended, Finding, sighting_of

START = 1_768_000_000 * SECOND


def event(body: Any, at: int = 0, enforcer: str = "edge-1") -> Event:
    return Event(enforcer=enforcer, epoch=1, sequence=1, at=Instant(START + at), body=body)


def changed(
    digest: str, before: str = "a", approved: str = "a", tool: str = "vm_stop", together: int = 1
) -> ToolChanged:
    return ToolChanged(
        server="truenas",
        tool=tool,
        digest=digest,
        previous_digest=before,
        approved_digest=approved,
        members=("description",),
        together=together,
    )


def approved(digest: str, tool: str = "vm_stop") -> ToolApproved:
    return ToolApproved(server="truenas", tool=tool, digest=digest, actor="ann", reason="r")


def findings(*events: Event) -> list[Finding]:
    detector = DefinitionDetector(DefinitionRule())
    found: list[Finding] = []
    for one in events:
        sighting = sighting_of(one)
        assert sighting is not None
        found += detector.observe(sighting)
    return found


def test_a_change_raises_an_alert_that_says_what_changed() -> None:
    (raised,) = findings(event(changed("b")))
    assert isinstance(raised, AlertRaised)
    assert (raised.rule, raised.severity) == ("tool-definition-changed", "critical")
    assert raised.summary == "vm_stop of truenas changed since approved: description"
    assert dict(raised.labels)["digest"] == "b"
    assert "tool_changes" in raised.query


def test_a_whole_fleet_that_sees_one_change_is_one_alert() -> None:
    seen = [event(changed("b"), at, f"edge-{at}") for at in range(50)]
    assert len(findings(*seen)) == 1


def test_tools_that_changed_in_one_listing_share_an_alert() -> None:
    three = [event(changed("b", tool=name, together=3)) for name in ("x", "y", "z")]
    (raised,) = findings(*three)
    assert isinstance(raised, AlertRaised)
    assert raised.summary == "x and 2 other tools of truenas changed since approved: description"
    assert raised.observed == 3
    later = event(changed("b", tool="w"), at=SECOND)
    assert len(findings(*three, later)) == 2
    settled = [event(approved("b", name), at=2 * SECOND) for name in ("x", "y", "z")]
    *_, over = findings(*three, *settled)
    assert over == Ended(raised.alert_id, Instant(START + 2 * SECOND), "approved")
    assert len(findings(*three, *settled[:2])) == 1, "one of them still waits"


def test_it_is_over_when_the_tool_changes_back_and_anew_when_it_changes_again() -> None:
    back = changed("a", before="b")
    raised, over, again = findings(
        event(changed("b")), event(back, SECOND), event(changed("b"), 2 * SECOND)
    )
    assert isinstance(raised, AlertRaised)
    assert over == Ended(raised.alert_id, Instant(START + SECOND), "changed back")
    assert isinstance(again, AlertRaised)
    assert again.alert_id != raised.alert_id


def test_a_change_upon_a_change_ends_one_alert_and_raises_the_next() -> None:
    raised, over, second = findings(event(changed("b")), event(changed("c", before="b"), SECOND))
    assert isinstance(raised, AlertRaised)
    assert over == Ended(raised.alert_id, Instant(START + SECOND), "changed again")
    assert isinstance(second, AlertRaised)


def test_an_approval_of_something_else_ends_nothing() -> None:
    assert len(findings(event(changed("b")), event(approved("c"), SECOND))) == 1


def test_a_name_made_to_be_mistaken_is_an_alert_and_other_new_tools_are_none() -> None:
    plain = ToolPinned(server="truenas", tool="vm_stop", digest="a")
    alike = ToolPinned(
        server="truenas", tool="vm_5top", digest="b", approved=False, looks_like="vm_stop"
    )
    (raised,) = findings(event(plain), event(alike), event(alike, SECOND, "edge-2"))
    assert isinstance(raised, AlertRaised)
    assert raised.rule == "tool-name-looks-alike"
    assert raised.summary == "vm_5top of truenas can be taken for vm_stop"
    *_, over = findings(event(alike), event(approved("b", "vm_5top"), SECOND))
    assert isinstance(over, Ended)


def test_names_with_quotes_stay_inside_the_query() -> None:
    (raised,) = findings(event(changed("b", tool="x' OR '1'='1")))
    assert isinstance(raised, AlertRaised)
    assert "tool = 'x'' OR ''1''=''1'" in raised.query


DIGESTS = st.sampled_from("abc")
TOOLS = st.sampled_from(["x", "y"])
BODIES = st.one_of(
    st.builds(changed, DIGESTS, DIGESTS, DIGESTS, TOOLS), st.builds(approved, DIGESTS, TOOLS)
)


@given(st.lists(st.tuples(BODIES, st.integers(0, 2), st.sampled_from(["e1", "e2"])), max_size=40))
def test_in_every_history_an_alert_ends_once_after_it_was_raised(steps: list[Any]) -> None:
    at, events = 0, list[Event]()
    for body, pause, enforcer in steps:
        at += pause * SECOND
        events.append(event(body, at, enforcer))
    found = findings(*events)
    assert findings(*events) == found
    live: set[str] = set()
    for one in found:
        if isinstance(one, AlertRaised):
            assert one.alert_id not in live
            live.add(one.alert_id)
        else:
            live.remove(one.alert_id)
