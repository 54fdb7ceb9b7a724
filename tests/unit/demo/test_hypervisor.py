"""The demo's hypervisor is small, pure and never half changed."""

import pytest

from toolreeve.cli.demo.hypervisor import (
    NoSuchMachineError,
    Power,
    WrongPowerError,
    small_host,
)


def test_a_restart_is_counted_and_leaves_the_machine_running() -> None:
    host = small_host().restart(3).restart(3)
    assert host.find(3).restarts == 2
    assert host.find(3).power is Power.RUNNING


def test_a_change_leaves_the_value_before_as_it_was() -> None:
    before = small_host()
    before.stop(1)
    assert before.find(1).power is Power.RUNNING


def test_a_stopped_machine_can_be_started_but_not_restarted() -> None:
    host = small_host()
    with pytest.raises(WrongPowerError, match="build-1 is stopped"):
        host.restart(4)
    assert host.start(4).find(4).power is Power.RUNNING


def test_a_running_machine_cannot_be_started() -> None:
    with pytest.raises(WrongPowerError, match="web-1 is running already"):
        small_host().start(1)


def test_a_clone_is_stopped_has_a_new_id_and_the_name_it_was_given() -> None:
    host = small_host().restart(3).clone(3, "db-copy").clone(3)
    copy, unnamed = host.machines[-2:]
    assert (copy.id, copy.name, copy.power, copy.restarts) == (5, "db-copy", Power.STOPPED, 0)
    assert (unnamed.id, unnamed.name) == (6, "db-1-clone-6")


def test_a_deleted_machine_is_gone_and_the_others_stay() -> None:
    host = small_host().delete(2)
    assert [machine.id for machine in host.machines] == [1, 3, 4]
    with pytest.raises(NoSuchMachineError, match="no VM with id 2"):
        host.find(2)


def test_a_machine_is_found_by_its_name() -> None:
    assert small_host().named("db-1").id == 3
    with pytest.raises(NoSuchMachineError, match="no VM named 'db-9'"):
        small_host().named("db-9")
