"""Who may come in, over orders of the control plane and restarts."""

import asyncio
from pathlib import Path

import pytest

from toolreeve.decision import Instant
from toolreeve.decision.grant import Grant, Holder, Token, TurnedAway
from toolreeve.gateway.admission import (
    EVERYBODY,
    Everybody,
    FleetGrants,
    Granted,
    admission_of,
    hash_of,
)
from toolreeve.gateway.settings import ControlSettings, GatewaySettings, GrantSettings
from toolreeve.runtime.settings import SettingsError
from toolreeve.wire.grants import GrantOrder

NOW = Instant(1)


def grant(name: str, *, server: str = "vm", revoked: bool = False) -> Grant:
    return Grant(
        grant=name,
        agent="agent",
        servers=(server,),
        tokens=(Token(hash_of(name)),),
        revoked=revoked,
        actor="ops",
        reason="why",
    )


def order(sequence: int, *grants: Grant, snapshot: bool = False) -> GrantOrder:
    return GrantOrder(sequence=sequence, snapshot=snapshot, grants=grants)


def hear(door: FleetGrants, *orders: GrantOrder) -> list[tuple[str, bool]]:
    async def all_of_them() -> list[tuple[str, bool]]:
        return [(one.grant, one.revoked) for said in orders for one in await door.carry_out(said)]

    return asyncio.run(all_of_them())


def is_in(door: Granted, token: str) -> bool:
    return isinstance(door.admit("vm", f"Bearer {token}", NOW), Holder)


def test_what_was_heard_is_in_force_after_a_restart(tmp_path: Path) -> None:
    door = FleetGrants(tmp_path, ("vm",))
    assert not is_in(door, "night")
    assert hear(door, order(1, grant("night"), grant("day"), snapshot=True)) == [
        ("night", False),
        ("day", False),
    ]
    assert hear(door, order(2, grant("day", revoked=True))) == [("day", True)]
    again = FleetGrants(tmp_path, ("vm",))
    assert (is_in(again, "night"), is_in(again, "day")) == (True, False)


def test_an_order_from_before_the_last_one_brings_nobody_back(tmp_path: Path) -> None:
    door = FleetGrants(tmp_path, ("vm",))
    hear(door, order(5, grant("night", revoked=True), snapshot=True))
    assert hear(door, order(4, grant("night"))) == []
    assert hear(door, order(4, grant("night"), snapshot=True)) == []
    assert hear(door, order(5, grant("night"))) == []
    assert not is_in(door, "night")


def test_a_snapshot_with_the_last_sequence_is_taken_because_a_new_stream_begins_so(
    tmp_path: Path,
) -> None:
    door = FleetGrants(tmp_path, ("vm",))
    hear(door, order(5, grant("night"), snapshot=True))
    assert hear(door, order(5, grant("night"), grant("day"), snapshot=True)) == [("day", False)]


def test_grants_for_other_servers_are_not_kept(tmp_path: Path) -> None:
    door = FleetGrants(tmp_path, ("vm",))
    assert hear(door, order(1, grant("disks", server="disks"))) == []
    assert "disks" not in (tmp_path / "grants.json").read_text()


def test_no_token_stands_on_the_disk_and_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    hear(FleetGrants(tmp_path, ("vm",)), order(1, grant("a-secret-token")))
    file = tmp_path / "grants.json"
    assert hash_of("a-secret-token") in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_file_that_cannot_be_read_stops_the_start_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "grants.json").write_text("{")
    with pytest.raises(SettingsError, match="nobody is let in"):
        FleetGrants(tmp_path, ("vm",))


def test_a_disk_that_takes_nothing_keeps_a_revoked_grant_out_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    door = FleetGrants(folder, ("vm",))
    hear(door, order(1, grant("night")))
    (folder / "grants.json").unlink()
    folder.rmdir()
    assert hear(door, order(2, grant("night", revoked=True))) == [("night", True)]
    assert not is_in(door, "night")
    assert hear(door, order(1, grant("night"), snapshot=True)) == []


def test_over_stdio_the_token_of_the_environment_is_presented(tmp_path: Path) -> None:
    door = FleetGrants(tmp_path, ("vm",), presented="night")
    hear(door, order(1, grant("night")))
    assert isinstance(door.admit("vm", None, NOW), Holder)
    without = FleetGrants(tmp_path, ("vm",))
    assert isinstance(without.admit("vm", None, NOW), TurnedAway)


def test_settings_say_who_lets_in(tmp_path: Path) -> None:
    alone = admission_of(GatewaySettings(data=tmp_path))
    assert isinstance(alone, Everybody)
    assert alone.admit("vm", None, NOW) == EVERYBODY
    named = GrantSettings(grant="night", agent="a", token_sha256=hash_of("night"))
    granted = admission_of(GatewaySettings(data=tmp_path, grants=(named,)))
    assert isinstance(granted, Granted)
    assert is_in(granted, "night")
    assert isinstance(granted.admit("vm", "Basic bmlnaHQ=", NOW), TurnedAway)
    control = ControlSettings(address="127.0.0.1:1", keys=("ed25519:x",))
    joined = GatewaySettings(data=tmp_path, control=control, grants_from="control")
    assert isinstance(admission_of(joined), FleetGrants)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (GatewaySettings(grants_from="control"), "there is no control plane"),
        (
            GatewaySettings(
                grants_from="control",
                control=ControlSettings(address="127.0.0.1:1", keys=("ed25519:x",)),
                grants=(GrantSettings(grant="g", agent="a", token_sha256="0" * 64),),
            ),
            "grants come from the settings and from the control plane",
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(
    settings: GatewaySettings, problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        settings.check("gateway.toml")
