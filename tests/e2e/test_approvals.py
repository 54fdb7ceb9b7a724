"""Approvals as agents and operators meet them, on a whole `toolreeve up`."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
from mcp import Client
from tests.e2e.waiting import HELD_SECONDS, META_KEY, Calling, Installation, installed, told

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("up")) as made:
        yield made


def test_a_call_is_held_until_somebody_approves_it_and_is_then_made_once(
    installation: Installation,
) -> None:
    calling = Calling(installation, "vm_delete", 1)
    asked = installation.pending(1)
    assert (asked["state"], asked["tool"], asked["agent"]) == ("pending", "vm_delete", "local")
    assert not installation.reached("vm_delete", 1)
    decided = installation.done("approvals", "approve", asked["approval"], "--reason", "agreed")
    assert decided["state"] in {"approved", "used"}
    result = calling.answer()
    assert META_KEY not in result.get("_meta", {}), result
    assert installation.reached("vm_delete", 1) == 1
    shown = installation.done("approvals", "show", asked["approval"])
    assert (shown["state"], [one["reason"] for one in shown["votes"]]) == ("used", ["agreed"])
    assert shown["used_by"]
    again = installation.run("approvals", "approve", asked["approval"])
    assert again.returncode == 1
    assert "is used; there is nothing left to decide" in again.stderr


def test_a_call_that_nobody_decides_is_told_to_come_back_and_finds_the_same_approval(
    installation: Installation,
) -> None:
    began = time.monotonic()
    first = told(installation.call("vm_delete", 2))
    assert HELD_SECONDS - 0.5 < time.monotonic() - began < HELD_SECONDS + 5
    assert (first["code"], first["retryable"]) == ("approval_required", True)
    approval = first["approval"]
    assert approval["state"] == "pending"
    assert 0 < approval["expires_in_ms"] <= 60_000
    installation.done("approvals", "approve", approval["id"])
    began = time.monotonic()
    result = installation.call("vm_delete", 2)
    assert META_KEY not in result.get("_meta", {}), result
    assert time.monotonic() - began < HELD_SECONDS - 1
    assert installation.reached("vm_delete", 2) == 1
    Calling(installation, "vm_delete", 2)  # and the next one needs another approval
    assert installation.pending(2)["approval"] != approval["id"]
    assert installation.reached("vm_delete", 2) == 1


def test_a_denied_call_is_told_why_and_is_not_asked_about_again(
    installation: Installation,
) -> None:
    calling = Calling(installation, "vm_delete", 3)
    asked = installation.pending(3)
    assert installation.run("approvals", "deny", asked["approval"]).returncode == 2
    installation.done("approvals", "deny", asked["approval"], "--reason", "vm 3 is needed")
    result = calling.answer()
    assert told(result)["approval"] == {
        "state": "denied",
        "id": asked["approval"],
        "expires_in_ms": told(result)["approval"]["expires_in_ms"],
    }
    assert not told(result)["retryable"]
    assert "vm 3 is needed" in result["content"][0]["text"]
    began = time.monotonic()
    assert told(installation.call("vm_delete", 3))["approval"]["id"] == asked["approval"]
    assert time.monotonic() - began < HELD_SECONDS - 1
    assert not installation.reached("vm_delete", 3)


def test_equal_calls_are_one_question_and_one_of_them_is_made(installation: Installation) -> None:
    both = [Calling(installation, "vm_delete", 4) for _ in range(2)]
    asked = installation.pending(4)
    installation.done("approvals", "approve", asked["approval"])
    results = [one.answer() for one in both]
    refused = [one for one in results if META_KEY in one.get("_meta", {})]
    assert len(refused) == 1
    assert told(refused[0])["approval"]["state"] in {"used", "not_asked"}
    assert installation.reached("vm_delete", 4) == 1
    listed = installation.done("approvals", "list", "--all")
    assert len([one for one in listed if one["kept"].get("/id") == "4"]) == 1


def test_other_arguments_need_another_approval(installation: Installation) -> None:
    with installation.post("vm_delete", 5, progress=True) as leaving:
        leaving.readline()
        approval = installation.pending(5)["approval"]
    installation.done("approvals", "approve", approval)
    other = told(installation.call("vm_delete", 5, confirm=True))["approval"]
    assert other["id"] != approval
    assert other["state"] == "pending"
    assert not installation.reached("vm_delete", 5)


def test_a_hold_that_is_placed_meanwhile_stops_the_call_and_the_permit_waits(
    installation: Installation,
) -> None:
    calling = Calling(installation, "vm_delete", 6)
    asked = installation.pending(6)
    hold = installation.done(
        "hold", "place", "--tool", "vm_delete", "--argument", "/id", "6", "--reason", "stop"
    )["hold"]
    assert told(calling.answer())["code"] == "held"  # at once, not when its time is over
    installation.done("approvals", "approve", asked["approval"])
    assert told(installation.call("vm_delete", 6))["code"] == "held"
    assert not installation.reached("vm_delete", 6)
    assert installation.run("hold", "release", hold, "--reason", "go on").returncode == 0
    deadline = time.monotonic() + 10
    while "isError" in (result := installation.call("vm_delete", 6)) and META_KEY in result.get(
        "_meta", {}
    ):
        assert time.monotonic() < deadline, result
    assert installation.reached("vm_delete", 6) == 1


def test_a_limit_counts_when_the_permit_is_used(installation: Installation) -> None:
    for vm in (21, 22):
        asking = Calling(installation, "vm_restart", vm)
        installation.done("approvals", "approve", installation.pending(vm)["approval"])
        result = asking.answer()
    assert told(result)["code"] == "limited"
    assert installation.reached("vm_restart", 21) == 1
    assert not installation.reached("vm_restart", 22)


def test_what_nobody_decides_in_time_expires_and_is_asked_anew(installation: Installation) -> None:
    result = installation.call("vm_clone", 1, name="copy")
    assert told(result)["approval"]["state"] == "expired"
    late = installation.run("approvals", "approve", told(result)["approval"]["id"])
    assert late.returncode == 1
    assert "is expired" in late.stderr
    assert not installation.reached("vm_clone", 1)


def test_who_is_not_named_by_the_policy_cannot_approve(installation: Installation) -> None:
    calling = Calling(installation, "vm_stop", 23)
    asked = installation.pending(23)
    refused = installation.run("approvals", "approve", asked["approval"])
    assert refused.returncode == 1
    assert "none of those who may approve it: nobody-here" in refused.stderr
    assert told(calling.answer())["approval"]["state"] == "pending"


def test_a_client_that_wants_to_know_hears_what_its_call_waits_for(
    installation: Installation,
) -> None:
    with installation.post("vm_delete", 7, progress=True) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        approval = installation.pending(7)["approval"]
        installation.done("approvals", "approve", approval)
        events = [
            json.loads(line.removeprefix(b"data: "))
            for line in answer.read().splitlines()
            if line.startswith(b"data: ")
        ]
    *notes, result = events
    assert notes
    for note in notes:
        assert note["method"] == "notifications/progress"
        assert note["params"]["progressToken"] == "of 7"
        assert approval in note["params"]["message"]
    steps = [note["params"]["progress"] for note in notes]
    assert steps == sorted(set(steps))
    assert result["id"] == 7
    assert META_KEY not in result["result"].get("_meta", {}), result
    assert installation.reached("vm_delete", 7) == 1


def test_a_client_with_a_session_waits_and_hears_of_it_too(installation: Installation) -> None:
    heard: list[str | None] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        assert progress < 1
        assert total is None
        heard.append(message)

    async def story() -> None:
        url = installation.record["servers"]["lab"]
        async with asyncio.timeout(60), Client(url, mode="legacy") as client:
            calling = asyncio.create_task(
                client.call_tool("vm_delete", {"id": 11}, progress_callback=progressed)
            )
            approval = (await asyncio.to_thread(installation.pending, 11))["approval"]
            await asyncio.to_thread(installation.done, "approvals", "approve", approval)
            result = await calling
            assert META_KEY not in (result.meta or {}), result
            assert any(approval in (message or "") for message in heard)

    asyncio.run(story())
    assert installation.reached("vm_delete", 11) == 1


def test_the_audit_history_says_who_asked_who_approved_and_which_call_it_was_used_for(
    installation: Installation,
) -> None:
    sql = (
        "SELECT state, tool, actor, reason, used_decision_id FROM approvals WHERE reason = 'agreed'"
    )
    deadline = time.monotonic() + 20
    while not (rows := installation.done("audit", "query", sql)):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert [(row["state"], row["tool"]) for row in rows] == [("used", "vm_delete")]
    decision = rows[0]["used_decision_id"]
    found = installation.done(
        "audit", "query", f"SELECT effect, code FROM decisions WHERE decision_id = '{decision}'"
    )
    assert found == [{"effect": "allow", "code": "allowed"}]
