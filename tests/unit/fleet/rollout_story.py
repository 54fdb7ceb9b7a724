"""A control plane's history with a rollout in it, told one commit after another."""

from collections.abc import Mapping

from msgspec.structs import replace

from toolreeve.decision import SECOND, Instant
from toolreeve.decision.evidence import Evidence
from toolreeve.fleet import (
    Activated,
    Change,
    Command,
    Commit,
    Plan,
    Report,
    Rollout,
    RolloutState,
    Running,
    Seen,
    State,
    Unchanged,
    advance,
    apply,
    change_rollout,
    observe,
    publish,
    report_evidence,
    standing_of,
    start_rollout,
)
from toolreeve.policy import Policy, parse
from toolreeve.policy.sign import SigningKey

KEY = SigningKey.generate()
OLD, NEW, OTHER = (
    parse(f'{{"version": "1", "name": "lab", "default": "deny", "tools": {{{tools}}}}}', source="")
    for tools in ("", '"a": {}', '"b": {}')
)
PLAN = Plan(stages=(2_500, 10_000), soak_ns=10 * SECOND, patience_ns=5 * SECOND)
FLEET = tuple(f"e{number}" for number in range(8))


class Story:
    """A control plane's history, told one commit after another."""

    def __init__(self, plan: Plan = PLAN, fleet: tuple[str, ...] = FLEET) -> None:
        self.state = State()
        self.now = Instant(SECOND)
        self.commands = 0
        self.take(
            publish(self.state, self.command(), policy=OLD, server="vm", key=KEY, at=self.now)
        )
        for name in fleet:
            self.see(name)
        self.started = self.start(plan)

    def command(self) -> Command:
        self.commands += 1
        return Command(command_id=f"c{self.commands}", actor="ada")

    def take(self, outcome: Commit | Unchanged) -> Commit | Unchanged:
        if isinstance(outcome, Commit):
            self.state = apply(self.state, outcome, bytes([outcome.index % 256]) * 32)
        return outcome

    def see(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        seen = Seen(
            enforcer_id=name, host="h", software_version="1", servers=("vm",), labels=labels or {}
        )
        self.take(observe(self.state, [seen], command_id=f"see-{name}", at=self.now))

    def start(self, plan: Plan, policy: Policy = NEW) -> str:
        self.take(
            start_rollout(
                self.state,
                self.command(),
                policy=policy,
                server="vm",
                plan=plan,
                key=KEY,
                at=self.now,
            )
        )
        return self.state.rollouts.under_way["vm"]

    def rollout(self) -> Rollout:
        return self.state.rollouts.by_id[self.started]

    def cohort(self) -> list[str]:
        return list(standing_of(self.rollout(), self.state.roster).wanted)

    def activate(self, *names: str) -> None:
        for name in names:
            wanted = self.state.wanted_by(name, "vm")
            assert wanted is not None
            running = Running(
                server="vm", revision=wanted.revision, manifest_sequence=wanted.manifest_sequence
            )
            activated = Activated(enforcer_id=name, running=running)
            self.take(observe(self.state, [activated], command_id=f"a-{name}", at=self.now))

    def count(self, name: str, *, epoch: int = 1, **counts: int) -> None:
        rollout = self.started
        known = Evidence(rollout=rollout, server="vm", revision=NEW.revision, activated=True)
        evidence = replace(known, **counts)
        report = Report(enforcer_id=name, epoch=epoch, evidence=evidence)
        heard = {self.started: (report,)}
        self.take(report_evidence(self.state, heard, command_id="e", at=self.now))

    def tick(self, seconds: int = 0) -> RolloutState:
        self.now = Instant(self.now + seconds * SECOND)
        self.take(
            advance(self.state, rollout_id=self.started, at=self.now, command_id=f"t{self.now}")
        )
        return self.rollout().state

    def change(self, change: Change) -> None:
        self.take(
            change_rollout(
                self.state, self.command(), rollout_id=self.started, change=change, at=self.now
            )
        )

    def wanted(self, name: str) -> str:
        wanted = self.state.wanted_by(name, "vm")
        assert wanted is not None
        return wanted.revision


def proved(story: Story) -> None:
    """All of the stage run it and have decided by it."""
    story.activate(*story.cohort())
    for name in story.cohort():
        story.count(name, decisions=5, pairs=5)
