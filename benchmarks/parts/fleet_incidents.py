"""What goes wrong in a labelled history: twelve kinds of incidents, each in three strengths.

Every kind comes once in each strength among the days that are judged, and once, in any strength, in
the two weeks before, so that no baseline is clean. An agent or a VM is hit once in three days at
most. All but the ones at odd hours happen in working hours.
"""

from collections.abc import Callable, Sequence

from parts.fleet_history import GROUP, MONDAY, RARE, Fleet, Incident, Kind, Outage, Person
from toolreeve.decision.instant import DAY, MINUTE, SECOND

DAYS = 35
JUDGED_FROM = 14
STRENGTHS = ("weak", "plain", "strong")
APART_DAYS = 3
UNHEARD = ("vm_export", "vm_passthrough_set", "backup_purge", "share_mount", "vm_firmware_set")


def history(kind: Kind, seed: int) -> Fleet:
    """A fleet's five weeks with all incidents."""
    fleet = Fleet(kind, seed, days=DAYS)
    injury = _Injury(fleet)
    for strength in range(3):
        injury.volume(strength, 16 + fleet.rng.randrange(10))
    fleet.live()
    for name in KINDS:
        injury.strike(name, fleet.rng.randrange(3), 3 + fleet.rng.randrange(10))
        for strength in range(3):
            injury.strike(name, strength, JUDGED_FROM + 1 + fleet.rng.randrange(19))
    return fleet


class _Injury:
    """Puts incidents into a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._rng = fleet.rng
        self._hit: dict[str, list[int]] = {}

    def strike(self, name: str, strength: int, day: int) -> None:
        """One incident on about that day."""
        KINDS[name](self, strength, day)

    def volume(self, strength: int, day: int) -> None:
        """Seven days of more calls. To be called before the fleet lives."""
        times = (1.6, 2.5, 4.0)[strength]
        name = self._person(day, days=7).name
        for each in range(day, day + 7):
            self._fleet.more[name, each] = times
        begin = MONDAY + day * DAY
        self._note("volume", strength, begin, begin + 7 * DAY, agent=name)

    def restart_burst(self, strength: int, day: int) -> None:
        """One VM restarted over and over."""
        vm, at = self._vm(day), self._daytime(day)
        name = self._owner(vm)
        restarts, step = (
            (self._rng.randint(6, 8), 60),
            (self._rng.randint(9, 15), 25),
            (self._rng.randint(25, 60), 6),
        )[strength]
        end = self._series(at, name, "vm_restart", [vm] * restarts, step)
        self._note("restart_burst", strength, at, end, agent=name, target=vm)

    def flapping(self, strength: int, day: int) -> None:
        """One VM stopped and started over and over."""
        vm, at = self._vm(day), self._daytime(day)
        name = self._owner(vm)
        cycles = (4, self._rng.randint(6, 8), 15)[strength]
        end: float = at
        for _ in range(cycles):
            self._fleet.call(end, name, "vm_stop", vm)
            self._fleet.call(end + 30 * SECOND, name, "vm_start", vm)
            end += self._rng.uniform(0.7, 1.2) * (200, 120, 70)[strength] * SECOND
        self._note("flapping", strength, at, end, agent=name, target=vm)

    def fan_out(self, strength: int, day: int) -> None:
        """Somebody touches many VMs that are not theirs."""
        person, at = self._person(day), self._daytime(day)
        size = (self._rng.randint(13, 16), self._rng.randint(20, 30), self._rng.randint(60, 120))
        others = sorted({*self._fleet.vms} - {*person.vms})
        vms = self._rng.sample(others, min(len(others), size[strength]))
        end = self._series(at, person.name, "vm_get", vms, (28, 16, 4)[strength])
        self._note("fan_out", strength, at, end, agent=person.name)

    def clone_storm(self, strength: int, day: int) -> None:
        """Somebody clones VMs without end."""
        person, at = self._person(day), self._daytime(day)
        clones = (self._rng.randint(10, 13), self._rng.randint(15, 25), self._rng.randint(40, 90))
        vms = [self._rng.choice(person.vms) for _ in range(clones[strength])]
        end = self._series(at, person.name, "vm_clone", vms, (35, 20, 5)[strength])
        self._note("clone_storm", strength, at, end, agent=person.name)

    def first_seen(self, strength: int, day: int) -> None:
        """An agent does what it never did: once, three times, ten times."""
        clockwork = ["monitor", "inventory", "power-saver"]
        name, day = self._free([*clockwork, *(one.name for one in self._fleet.people)], day)
        number = len(self._fleet.incidents)
        tool, names = "vm_get", [f"unheard_{number}"]
        if name in clockwork and self._rng.random() < 0.5:
            tool, names = "ticket_get", []
        elif self._rng.random() < 0.5:
            tool, names = f"{self._rng.choice(UNHEARD)}_{number}", []
        at, vms = self._daytime(day), [self._known_vm(name)] * (1, 3, 10)[strength]
        end = self._series(at, name, tool, vms, 20, names=names)
        self._note("first_seen", strength, at, end, agent=name)

    def first_target(self, strength: int, day: int) -> None:
        """An agent with fixed habits looks at a VM that is not its own."""
        agents = [person.name for person in self._fleet.people if not person.roams]
        name, day = self._free(["monitor", "power-saver", *agents], day)
        at, vms = self._daytime(day), [self._strange_vm(name)] * (1, 3, 10)[strength]
        end = self._series(at, name, "vm_get", vms, 20)
        self._note("first_target", strength, at, end, agent=name)

    def denial_spike(self, strength: int, day: int) -> None:
        """The policy refuses somebody again and again."""
        person, at = self._person(day), self._daytime(day)
        calls = (self._rng.randint(9, 11), self._rng.randint(14, 20), self._rng.randint(40, 80))
        tool = RARE[sum(map(ord, person.name)) % len(RARE)]
        vms = [self._rng.choice(person.vms) for _ in range(calls[strength])]
        step = (20, 12, 3)[strength]
        end = self._series(at, person.name, tool, vms, step, admitted=False)
        self._note("denial_spike", strength, at, end, agent=person.name)

    def probing(self, strength: int, day: int) -> None:
        """Somebody tries what they are refused, one tool after the other."""
        person, at = self._person(day), self._daytime(day)
        end: float = at
        for number in range((4, 8, 16)[strength]):
            tool = f"vm_{('secret', 'console', 'host', 'disk')[number % 4]}_{number}"
            self._fleet.call(end, person.name, tool, person.vms[0], admitted=False)
            end += self._rng.uniform(0.5, 1.5) * (80, 40, 10)[strength] * SECOND
        self._note("probing", strength, at, end, agent=person.name)

    def failures(self, strength: int, day: int) -> None:
        """A server fails, or the tool that is called most."""
        server = "hypervisor"
        tool = self._rng.choice(["", "vm_get"])
        at = self._daytime(day)
        end = at + (30, 30, 60)[strength] * MINUTE
        share = (0.6, 0.8, 1.0)[strength]
        self._fleet.outages.append(Outage(server, tool, at, end, share))
        self._note("failures", strength, at, end, server=server)

    def off_hours(self, strength: int, day: int) -> None:
        """Somebody works in the middle of the night, on what they always work on."""
        people = [person.name for person in self._fleet.people if not person.on_call]
        name, day = self._free(people, day)
        person = next(one for one in self._fleet.people if one.name == name)
        hour = (person.end + self._rng.uniform(5, 8)) % 24
        at = MONDAY + day * DAY + int(hour * 3_600) * SECOND
        calls = (self._rng.randint(5, 7), self._rng.randint(12, 18), self._rng.randint(40, 60))
        vms = [self._rng.choice(person.vms) for _ in range(calls[strength])]
        end = self._series(at, name, "vm_get", vms, 40)
        self._note("off_hours", strength, at, end, agent=name)

    def _series(
        self,
        at: int,
        name: str,
        tool: str,
        vms: list[str],
        step: float,
        *,
        admitted: bool = True,
        names: Sequence[str] = (),
    ) -> float:
        """Calls one after the other, `step` seconds apart on average; when the last was."""
        when = last = float(at)
        for vm in vms:
            last = when
            self._fleet.call(when, name, tool, vm, admitted=admitted, more_names=names)
            when += self._rng.uniform(0.4, 1.6) * step * SECOND
        return last

    def _note(
        self,
        kind: str,
        strength: int,
        begin: float,
        end: float,
        *,
        agent: str = "",
        target: str = "",
        server: str = "",
    ) -> None:
        self._fleet.incidents.append(
            Incident(
                kind=kind,
                strength=strength,
                begin=int(begin),
                end=int(end),
                agent=agent,
                target=target,
                server=server,
            )
        )

    def _daytime(self, day: int) -> int:
        """A time of day at which people work, on the Friday where it would be a weekend."""
        day -= max(0, day % 7 - 4)
        return MONDAY + day * DAY + int(self._rng.uniform(9.5, 15) * 3_600) * SECOND

    def _person(self, day: int, *, days: int = 1) -> Person:
        name, _ = self._free([person.name for person in self._fleet.people], day, days=days)
        return next(person for person in self._fleet.people if person.name == name)

    def _owner(self, vm: str) -> str:
        owners = [person.name for person in self._fleet.people if vm in person.vms]
        return self._rng.choice(owners) if owners else "operator"

    def _known_vm(self, name: str) -> str:
        people = [person for person in self._fleet.people if person.name == name]
        return people[0].vms[0] if people else self._fleet.vms[{"monitor": 0}.get(name, 40)]

    def _strange_vm(self, name: str) -> str:
        known = {
            call.values[0][1] for call in self._fleet.calls if call.agent == name and call.values
        }
        return self._rng.choice(sorted({*self._fleet.vms} - known))

    def _vm(self, day: int) -> str:
        ordinary = [vm for vm in self._fleet.vms if vm not in self._fleet.tests]
        return self._free(ordinary, day)[0]

    def _free(self, names: list[str], day: int, *, days: int = 1) -> tuple[str, int]:
        """One of the names that nothing else happens to at the time; the day, if there is none."""
        name = self._rng.choice(names)
        while self._is_near(name, day, days) and self._rng.random() > 0.01:  # or everybody is
            name = self._rng.choice(names)
        self._hit.setdefault(name, []).extend(range(day, day + days))
        return name, day

    def _is_near(self, name: str, day: int, days: int) -> bool:
        near = self._hit.get(name, [])
        return any(day - APART_DAYS < hit < day + days + APART_DAYS for hit in near)


KINDS: dict[str, Callable[[_Injury, int, int], None]] = {
    "restart_burst": _Injury.restart_burst,
    "flapping": _Injury.flapping,
    "fan_out": _Injury.fan_out,
    "clone_storm": _Injury.clone_storm,
    "first_seen": _Injury.first_seen,
    "first_target": _Injury.first_target,
    "denial_spike": _Injury.denial_spike,
    "probing": _Injury.probing,
    "failures": _Injury.failures,
    "off_hours": _Injury.off_hours,
}

assert GROUP < 13, "somebody who owns a group or two cannot fan out into their own"
