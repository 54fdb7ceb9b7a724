"""Labelled histories: weeks of a fleet's calls, and what in them is an incident.

Three kinds of fleets (`KINDS`) of 200 VMs each: people with working hours, lunch, overtime, leave
and nights on call; agents that read every VM every night, poll all day, stop and start machines by
the clock, deploy, patch on Sundays inside a maintenance window, and run pipelines on test machines;
one that is refused all day long because nobody gave it what it asks for; tools that come with a
release. Incidents stand in `fleet_incidents`. One seed, one history.

What makes it hard is on purpose: people restart a machine up to four times while they debug it,
retry what was refused, look at machines of others, work late; pipelines restart, switch and clone
all day long.
"""

import random
from collections.abc import Sequence

from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE, SECOND
from toolreeve.detect import Attempt, Change, Sighting
from toolreeve.detect.seen import Ending, Seen

MONDAY = 20_458 * DAY  # 2026-01-05
VMS = 200
GROUP = 10
TEST_VMS = 30
READS = ("vm_get", "vm_metrics", "vm_logs", "volume_get", "ticket_get", "ticket_search")
CHANGES = ("vm_config_set", "vm_snapshot", "backup_run", "ticket_create", "ticket_close")
RARE = ("vm_delete", "volume_resize", "backup_restore", "share_set", "vm_migrate", "vm_console")
SERVERS = {"vm": "hypervisor", "volume": "storage", "backup": "storage", "share": "storage"}
OPTIONAL = ("verbose", "fields", "since", "limit", "reason", "comment")


class Kind(Struct, frozen=True, kw_only=True):
    """What a fleet is made of."""

    name: str
    people: int
    calls_a_day: float  # of one of them
    pipelines: int
    deployments_a_week: float


KINDS = (
    Kind(name="office", people=26, calls_a_day=38, pipelines=0, deployments_a_week=2),
    Kind(name="platform", people=12, calls_a_day=34, pipelines=1, deployments_a_week=6),
    Kind(name="lab", people=12, calls_a_day=30, pipelines=3, deployments_a_week=1),
)


class Incident(Struct, frozen=True, kw_only=True):
    """Something that an alert should tell of. Empty: it may be any."""

    kind: str
    strength: int
    begin: int
    end: int
    agent: str = ""
    target: str = ""
    server: str = ""


class Person(Struct, kw_only=True):
    """Somebody's habits."""

    name: str
    vms: list[str]
    tools: list[str]
    begin: float
    end: float
    calls: float
    roams: bool
    on_call: bool


class Outage(Struct, frozen=True):
    """A server, or one tool of it, that fails for a share of the calls."""

    server: str
    tool: str
    begin: int
    end: int
    share: float


class Fleet:
    """A history in the making."""

    def __init__(self, kind: Kind, seed: int, *, days: int) -> None:
        self.kind = kind
        self.days = days
        self.rng = random.Random(f"{kind.name}-{seed}")
        self.vms = [f"vm-{number:03d}" for number in range(VMS)]
        self.tests = self.vms[-TEST_VMS:] if kind.pipelines else []
        self.calls: list[Attempt] = []
        self.sightings: list[Sighting] = []
        self.outages: list[Outage] = []
        self.incidents: list[Incident] = []
        self.more: dict[tuple[str, int], float] = {}  # agent and day -> times as many calls
        self.people = [self._person(number) for number in range(kind.people)]
        self.released: list[tuple[int, str]] = []
        rng = self.rng
        self._failing = {tool: rng.uniform(0.003, 0.03) for tool in (*READS, *CHANGES, *RARE)}

    def call(
        self,
        at: float,
        agent: str,
        tool: str,
        target: str = "",
        *,
        admitted: bool = True,
        more_names: Sequence[str] = (),
    ) -> None:
        """One call of an agent."""
        server = SERVERS.get(tool.partition("_")[0], "tickets")
        self.calls.append(
            Attempt(
                at=Instant(int(at) // 1_000 * 1_000),
                server=server,
                tool=tool,
                grant=f"grant of {agent}",
                agent=agent,
                admitted=admitted,
                values=(("/id", target),) if target else (),
                names=("id", *more_names) if target else tuple(more_names),
            )
        )

    def live(self) -> None:
        """Let everybody work."""
        for day in range(self.days):
            begin = MONDAY + day * DAY
            weekday = day % 7
            self._releases(day)
            for person in self.people:
                self._work(person, day, begin, weekday)
            self._clockwork(begin, weekday, day)
            for number in range(self.kind.pipelines):
                self._pipeline(f"pipeline-{number}", begin, weekday)
            if weekday < 5 and self.rng.random() < self.kind.deployments_a_week / 5:
                self._deploy(begin + self.rng.uniform(9, 16) * HOUR)

    def seen(self) -> list[Seen]:
        """All of it in order of time."""
        endings = [self._ending(call) for call in self.calls if call.admitted]
        everything: list[Seen] = [*self.calls, *endings, *self.sightings]
        everything.sort(key=lambda one: one.at)
        return everything

    def calls_in_order(self) -> list[Attempt]:
        """The calls alone."""
        return sorted(self.calls, key=lambda call: call.at)

    def _person(self, number: int) -> Person:
        rng = self.rng
        first = number * GROUP % (VMS - TEST_VMS)
        begin = rng.uniform(6.5, 9.5)
        tools = [*rng.sample(READS, 4), *rng.sample(CHANGES, 2)]
        return Person(
            name=f"person-{number:02d}",
            vms=self.vms[first : first + rng.choice([GROUP, 2 * GROUP])],
            tools=[tools[0], *sorted({*tools[1:], "vm_get"} - {tools[0]})],
            begin=begin,
            end=begin + rng.uniform(7.5, 9.5),
            calls=self.kind.calls_a_day * rng.uniform(0.5, 1.6),
            roams=rng.random() < 0.6,
            on_call=number % 6 == 0,
        )

    def _work(self, person: Person, day: int, begin: int, weekday: int) -> None:
        rng = self.rng
        if person.on_call and rng.random() < 0.06:
            self.session(person, begin + rng.uniform(0, 24) * HOUR, rng.randint(3, 9))
        away = rng.random() < 0.07
        if weekday >= 5 or away:
            return
        start = person.begin + rng.gauss(0, 0.4)
        end = person.end + rng.gauss(0, 0.4) + (rng.uniform(0.5, 2.5) if rng.random() < 0.08 else 0)
        left = person.calls * rng.lognormvariate(0, 0.3) * self.more.get((person.name, day), 1.0)
        while left > 0:
            hour = rng.uniform(start, end)
            if 12 <= hour < 12.7:
                continue
            calls = min(left, rng.randint(2, 8))
            left -= calls
            self.session(person, begin + hour * HOUR, int(calls))

    def session(self, person: Person, at: float, calls: int) -> None:
        """Somebody does something for some minutes, mostly on a VM or two."""
        rng = self.rng
        roams = person.roams and rng.random() < 0.03
        vms = [rng.choice(self.vms if roams else person.vms) for _ in range(2)]
        chance = rng.random()
        if chance < 0.02:
            self._power(person.name, at, vms[0])
        elif chance < 0.03:
            for _ in range(rng.randint(1, 3)):
                self.call(at, person.name, "vm_clone", vms[0])
                at += rng.uniform(20, 120) * SECOND
        elif chance < 0.04:
            tool = RARE[sum(map(ord, person.name)) % len(RARE)]
            for _ in range(min(12, 1 + int(rng.expovariate(0.9)))):
                self.call(at, person.name, tool, vms[0], admitted=False)
                at += rng.uniform(2, 40) * SECOND
        names = [name for name in OPTIONAL[:3] if rng.random() < 0.06]
        for _ in range(calls):
            place = min(int(rng.expovariate(0.6)), len(person.tools) - 1)
            tool = person.tools[place]
            self.call(at, person.name, tool, self._thing(tool, rng.choice(vms)), more_names=names)
            at += rng.expovariate(1 / 40) * SECOND

    def _thing(self, tool: str, vm: str) -> str:
        """What a tool is called for that is about a VM: itself, its volume, or any ticket."""
        match tool.partition("_")[0]:
            case "ticket":
                return "" if tool == "ticket_search" else str(self.rng.randrange(10_000))
            case "volume" | "backup":
                return f"volume of {vm}"
            case _:
                return vm

    def _power(self, name: str, at: float, vm: str) -> None:
        rng = self.rng
        if rng.random() < 0.6:
            for _ in range(rng.choices((1, 2, 3, 4), (60, 25, 11, 4))[0]):
                self.call(at, name, "vm_restart", vm)
                at += rng.uniform(60, 300) * SECOND
            return
        for _ in range(rng.choices((1, 2, 3, 4), (74, 20, 5, 1))[0]):
            self.call(at, name, "vm_stop", vm)
            self.call(at + rng.uniform(20, 200) * SECOND, name, "vm_start", vm)
            at += rng.uniform(240, 700) * SECOND

    def _clockwork(self, begin: int, weekday: int, day: int) -> None:
        rng = self.rng
        for place, vm in enumerate(self.vms):
            at = begin + 2 * HOUR + 10 * MINUTE + place * 2.4 * SECOND
            self.call(at + rng.uniform(0, 2) * SECOND, "inventory", "vm_get", vm)
        polls = int(72 * self.more.get(("monitor", day), 1.0))
        for poll in range(polls):
            at = begin + poll * DAY // polls
            for vm in self.vms[:3]:
                self.call(at + rng.uniform(0, 20) * SECOND, "monitor", "vm_metrics", vm)
        if weekday < 5:
            for vm in self.vms[40:60]:
                morning = begin + 5 * HOUR + rng.uniform(0, 300) * SECOND
                self.call(morning, "power-saver", "vm_start", vm)
                self.call(morning + 15 * HOUR, "power-saver", "vm_stop", vm)
            at = begin + 6 * HOUR
            while day >= 5 and at < begin + 18 * HOUR:
                self.call(at, "reporter", "share_set", admitted=False)
                at += rng.uniform(4, 10) * MINUTE
        if weekday == 6:
            self.outages.append(
                Outage("hypervisor", "", begin + 2 * HOUR, begin + 2 * HOUR + 40 * MINUTE, 0.3)
            )
            for vm in self.vms:
                at = begin + HOUR + rng.uniform(0, 3 * 3_600) * SECOND
                for _ in range(rng.choices((1, 2, 3), (82, 15, 3))[0]):
                    self.call(at, "patcher", "vm_restart", vm)
                    at += rng.uniform(90, 300) * SECOND

    def _pipeline(self, name: str, begin: int, weekday: int) -> None:
        rng = self.rng
        for _ in range(rng.randint(8, 16) if weekday < 5 else rng.randint(0, 2)):
            at = begin + rng.uniform(7, 20) * HOUR
            for _ in range(rng.choices((1, 2, 4, 6), (40, 30, 20, 10))[0]):
                self.call(at, name, "vm_clone", rng.choice(self.tests))
                at += rng.uniform(5, 60) * SECOND
            vm = rng.choice(self.tests[:6])
            for _ in range(rng.choices((1, 2, 4, 6, 8), (40, 25, 20, 10, 5))[0]):
                self.call(at, name, "vm_restart", vm)
                at += rng.uniform(20, 120) * SECOND
            vm = rng.choice(self.tests[6:12])
            for _ in range(rng.choices((0, 1, 2, 3, 4), (40, 25, 20, 10, 5))[0]):
                self.call(at, name, "vm_stop", vm)
                self.call(at + 60 * SECOND, name, "vm_start", vm)
                at += rng.uniform(100, 300) * SECOND

    def _deploy(self, at: float) -> None:
        rng = self.rng
        first = rng.randrange(0, VMS - TEST_VMS, GROUP)
        for vm in self.vms[first : first + GROUP + rng.randint(0, 4)]:
            self.call(at, "deployer", "vm_snapshot", vm)
            self.call(at + 10 * SECOND, "deployer", "vm_config_set", vm)
            for _ in range(1 + (rng.random() < 0.12)):
                self.call(at + 20 * SECOND, "deployer", "vm_restart", vm)
                at += rng.uniform(30, 90) * SECOND
        for _ in range(rng.choices((0, 2, 4, 6), (40, 30, 20, 10))[0]):
            self.call(at, "deployer", "vm_clone", rng.choice(self.vms[:20]))
            at += rng.uniform(20, 90) * SECOND

    def _releases(self, day: int) -> None:
        """A new tool every ten days or so; people take to it one after the other."""
        if day % 10 == 7:
            tool = f"vm_report_{day}"
            self._failing[tool] = 0.01
            at = Instant(MONDAY + day * DAY + 8 * HOUR)
            self.sightings.append(
                Sighting(
                    at=at,
                    enforcer="gateway",
                    change=Change.PINNED,
                    server="hypervisor",
                    tool=tool,
                    digest=tool,
                )
            )
            for person in self.people:
                if self.rng.random() < 0.5:
                    self.released.append((day + self.rng.randint(1, 6), person.name))
        for when, name in self.released:
            if when == day:
                newest = self.sightings[-1].tool
                for person in self.people:
                    if person.name == name and newest not in person.tools:
                        person.tools.append(newest)

    def _ending(self, call: Attempt) -> Ending:
        share = self._failing.get(call.tool, 0.01)
        for outage in self.outages:
            if (
                outage.begin <= call.at < outage.end
                and outage.server == call.server
                and outage.tool in {"", call.tool}
            ):
                share = max(share, outage.share)
        return Ending(
            at=Instant(call.at + self.rng.randrange(20_000, 900_000) * 1_000),
            server=call.server,
            tool=call.tool,
            agent=call.agent,
            failed=self.rng.random() < share,
        )
