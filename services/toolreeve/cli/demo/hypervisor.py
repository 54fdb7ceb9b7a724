"""A hypervisor that exists only in memory: machines that start, stop, restart, clone and vanish."""

from __future__ import annotations

from enum import Enum

import msgspec


class Power(Enum):
    """Whether a machine runs."""

    RUNNING = "running"
    STOPPED = "stopped"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual machine."""

    id: int
    name: str
    power: Power
    memory_mib: int
    restarts: int = 0


class HypervisorError(Exception):
    """The hypervisor cannot do what was asked; nothing has changed."""


class NoSuchMachineError(HypervisorError):
    """No machine has that id or name."""


class WrongPowerError(HypervisorError):
    """The machine is running where it must be stopped, or the other way round."""


class Hypervisor(msgspec.Struct, frozen=True):
    """The machines of one host, in order of their ids. Every change gives a new value."""

    machines: tuple[Machine, ...]

    def find(self, machine_id: int) -> Machine:
        """Return the machine with this id, or raise NoSuchMachineError."""
        for machine in self.machines:
            if machine.id == machine_id:
                return machine
        raise NoSuchMachineError(f"there is no VM with id {machine_id}")

    def named(self, name: str) -> Machine:
        """Return the machine with this name, or raise NoSuchMachineError."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise NoSuchMachineError(f"there is no VM named {name!r}")

    def start(self, machine_id: int) -> Hypervisor:
        """Start a stopped machine."""
        machine = self.find(machine_id)
        if machine.power is Power.RUNNING:
            raise WrongPowerError(f"{machine.name} is running already")
        return self._with(msgspec.structs.replace(machine, power=Power.RUNNING))

    def stop(self, machine_id: int) -> Hypervisor:
        """Stop a running machine."""
        machine = self._running(machine_id)
        return self._with(msgspec.structs.replace(machine, power=Power.STOPPED))

    def restart(self, machine_id: int) -> Hypervisor:
        """Restart a running machine and count it."""
        machine = self._running(machine_id)
        return self._with(msgspec.structs.replace(machine, restarts=machine.restarts + 1))

    def clone(self, machine_id: int, name: str | None = None) -> Hypervisor:
        """Add a stopped copy under a new id; without a name it is called after the original."""
        original = self.find(machine_id)
        new_id = max(machine.id for machine in self.machines) + 1
        copy = msgspec.structs.replace(
            original,
            id=new_id,
            name=name or f"{original.name}-clone-{new_id}",
            power=Power.STOPPED,
            restarts=0,
        )
        return Hypervisor((*self.machines, copy))

    def delete(self, machine_id: int) -> Hypervisor:
        """Remove a machine for good."""
        gone = self.find(machine_id)
        return Hypervisor(tuple(machine for machine in self.machines if machine.id != gone.id))

    def _running(self, machine_id: int) -> Machine:
        machine = self.find(machine_id)
        if machine.power is Power.STOPPED:
            raise WrongPowerError(f"{machine.name} is stopped")
        return machine

    def _with(self, changed: Machine) -> Hypervisor:
        return Hypervisor(
            tuple(changed if machine.id == changed.id else machine for machine in self.machines)
        )


def small_host() -> Hypervisor:
    """Return the host both demo servers begin with."""
    return Hypervisor(
        (
            Machine(id=1, name="web-1", power=Power.RUNNING, memory_mib=4096),
            Machine(id=2, name="web-2", power=Power.RUNNING, memory_mib=4096),
            Machine(id=3, name="db-1", power=Power.RUNNING, memory_mib=16384),
            Machine(id=4, name="build-1", power=Power.STOPPED, memory_mib=8192),
        )
    )
