"""Whatever happens in whatever order: the promises of rollouts, to enforcers and to operators.

Two replicas that lag behind one log, enforcers that come and go, lie low, refuse or are lied to,
operators who change their minds, and a clock that jumps.
"""

from hashlib import sha256

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toolreeve.decision import SECOND, Instant
from toolreeve.decision.evidence import Evidence
from toolreeve.fleet import (
    Activated,
    Change,
    Command,
    CommandError,
    Commit,
    Nacked,
    Observation,
    OnHalt,
    Plan,
    Report,
    Running,
    Seen,
    Sent,
    State,
    Unchanged,
    WantedPolicy,
    advance,
    change_rollout,
    greet,
    observe,
    owed,
    publish,
    replay,
    report_evidence,
    start_rollout,
)
from toolreeve.fleet.commands import NotFoundError
from toolreeve.policy import Policy, parse
from toolreeve.policy.cohort import Cohort
from toolreeve.policy.sign import (
    Envelope,
    Manifest,
    ManifestRefused,
    SigningKey,
    sign_manifest,
    verify_manifest,
)

KEY, FOREIGN = SigningKey.generate(), SigningKey.generate()
LABELS = {"e0": {"canary": "true"}, "e1": {}, "e2": {}, "e3": {}, "e4": {}}
POLICIES: tuple[Policy, ...] = tuple(
    parse(f'{{"version": "1", "default": "deny", "tools": {{"t{number}": {{}}}}}}', source="")
    for number in range(3)
)
names = st.sampled_from(sorted(LABELS))
policies = st.sampled_from(POLICIES)
replicas = st.integers(0, 1)
plans = st.builds(
    Plan,
    stages=st.sampled_from(((10_000,), (1, 10_000), (2_000, 5_000, 10_000))),
    soak_ns=st.sampled_from((0, 5 * SECOND)),
    patience_ns=st.sampled_from((0, 5 * SECOND)),
    canary=st.sampled_from(((), (("canary", "true"),))),
    tightened_max=st.sampled_from((0, 2, None)),
    decisions_min=st.integers(0, 1),
    missing_percent_max=st.sampled_from((0, 50)),
    on_halt=st.sampled_from(OnHalt),
)


class Member(msgspec.Struct):
    """One enforcer: what it took, and the stream it listens to, if any."""

    name: str
    manifest: Manifest | None = None
    sent: Sent | None = None
    replica: int = 0
    refuses: str = ""

    def take(self, envelope: Envelope) -> str:
        """As an enforcer does: the code of a refusal, or nothing."""
        try:
            manifest = verify_manifest(envelope, [KEY.public])
        except ManifestRefused as refused:
            return refused.code
        if self.manifest is not None and manifest.sequence < self.manifest.sequence:
            return "rollback"
        if manifest.cohort and not Cohort.parse(manifest.cohort).includes(
            self.name, LABELS[self.name]
        ):
            return "cohort"
        if manifest.revision == self.refuses:
            return "invalid"
        self.manifest = manifest
        return ""


class RolloutHistories(RuleBasedStateMachine):
    """Everything that may befall a server's rollouts."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[Commit, bytes]] = []
        self.states = [State(), State()]
        self.members = {name: Member(name) for name in LABELS}
        self.now = Instant(1)
        self.commands = 0
        self.included: dict[str, set[str]] = {}
        self.seen_envelopes: list[Envelope] = []

    def command(self, reason: str = "") -> Command:
        self.commands += 1
        return Command(command_id=f"c{self.commands}", actor="ada", reason=reason)

    def catch_up(self, replica: int) -> State:
        state = self.states[replica]
        self.states[replica] = replay(state, self.log[state.index :])
        return self.states[replica]

    def append(self, replica: int, outcome: Commit | Unchanged) -> bool:
        """Whether what a replica wants to say stands in the log; it does not where it lags."""
        if not isinstance(outcome, Commit):
            return True
        if outcome.index != len(self.log) + 1:
            return False
        self.log.append((outcome, sha256(msgspec.msgpack.encode(outcome)).digest()))
        self.catch_up(replica)
        return True

    @rule(replica=replicas)
    def read(self, replica: int) -> None:
        self.catch_up(replica)

    @rule(replica=replicas, policy=policies, break_glass=st.booleans())
    def publish(self, replica: int, policy: Policy, break_glass: bool) -> None:
        command = self.command("fire")
        for _ in range(2):
            try:
                outcome = publish(
                    self.states[replica],
                    command,
                    policy=policy,
                    server="vm",
                    key=KEY,
                    at=self.now,
                    break_glass=break_glass,
                )
            except CommandError:
                assert not break_glass
                assert self.states[replica].rollouts.of("vm") is not None
                return
            if self.append(replica, outcome):
                return
            self.catch_up(replica)

    @rule(replica=replicas, policy=policies, plan=plans)
    def start(self, replica: int, policy: Policy, plan: Plan) -> None:
        command = self.command()
        for _ in range(2):
            try:
                outcome = start_rollout(
                    self.states[replica],
                    command,
                    policy=policy,
                    server="vm",
                    plan=plan,
                    key=KEY,
                    at=self.now,
                )
            except CommandError:
                return
            if self.append(replica, outcome):
                return
            self.catch_up(replica)

    @rule(replica=replicas, change=st.sampled_from(Change))
    def change(self, replica: int, change: Change) -> None:
        state = self.catch_up(replica)
        named = ("none", *state.rollouts.by_id)[-1]
        try:
            outcome = change_rollout(
                state, self.command("because"), rollout_id=named, change=change, at=self.now
            )
        except NotFoundError:
            assert named == "none"
        except CommandError:
            pass
        else:
            self.append(replica, outcome)

    @rule(replica=replicas, seconds=st.sampled_from((0, 1, 5, 10)))
    def tick(self, replica: int, seconds: int) -> None:
        self.now = Instant(self.now + seconds * SECOND)
        state = self.states[replica]
        for named in state.rollouts.under_way.values():
            steps = len(state.rollouts.by_id[named].steps)
            self.append(
                replica,
                advance(state, rollout_id=named, at=self.now, command_id=f"{named}-{steps}"),
            )

    @rule(name=names, replica=replicas)
    def connect(self, name: str, replica: int) -> None:
        member, state = self.members[name], self.states[replica]
        member.replica = replica
        running = [] if member.manifest is None else [self.running(member.manifest)]
        member.sent = greet(state, name, ("vm",), running)
        seen = Seen(
            enforcer_id=name,
            host="h",
            software_version="1",
            servers=("vm",),
            labels=LABELS[name],
            running=tuple(running),
        )
        self.say(replica, seen)

    @rule(name=names)
    def disconnect(self, name: str) -> None:
        self.members[name].sent = None

    @rule(name=names, policy=policies)
    def take_against(self, name: str, policy: Policy) -> None:
        self.members[name].refuses = policy.revision

    @rule(name=names, heard=st.booleans())
    def deliver(self, name: str, heard: bool) -> None:
        """The next message of a stream arrives, and perhaps what is said to it."""
        member = self.members[name]
        while member.sent is not None:
            due = owed(self.states[member.replica], member.sent, self.now)
            if due is None:
                return
            message, member.sent = due
            if isinstance(message, WantedPolicy):
                self.hand(member, message, heard=heard)
                return

    def hand(self, member: Member, message: WantedPolicy, *, heard: bool) -> None:
        self.seen_envelopes.append(message.envelope)
        code = member.take(message.envelope)
        assert code != "cohort", "nobody is sent what is not for them"
        if heard and not code:
            running = Running(
                server="vm",
                revision=message.revision,
                manifest_sequence=message.manifest_sequence,
            )
            self.say(member.replica, Activated(enforcer_id=member.name, running=running))
        elif heard:
            nacked = Nacked(
                enforcer_id=member.name,
                server="vm",
                revision=message.revision,
                manifest_sequence=message.manifest_sequence,
                code=code,
                reason="because",
            )
            self.say(member.replica, nacked)

    def running(self, manifest: Manifest) -> Running:
        return Running(server="vm", revision=manifest.revision, manifest_sequence=manifest.sequence)

    def say(self, replica: int, observation: Observation) -> None:
        state = self.catch_up(replica)
        self.append(
            replica,
            observe(state, [observation], command_id=f"f{len(self.log)}", at=self.now),
        )

    @rule(name=names, place=st.integers(0, 50))
    def lie(self, name: str, place: int) -> None:
        """A stream hands over what it has seen elsewhere, or has signed itself."""
        member = self.members[name]
        if self.seen_envelopes:
            member.take(self.seen_envelopes[place % len(self.seen_envelopes)])
        policy = POLICIES[place % len(POLICIES)]
        forged = Manifest(
            policy="p",
            server="vm",
            sequence=1_000,
            revision=policy.revision,
            size=len(policy.canonical),
            issued_ns=1,
        )
        assert member.take(sign_manifest(forged, FOREIGN)) == "signature"

    @rule(name=names, replica=replicas, calls=st.integers(1, 5), tightened=st.integers(0, 1))
    def decide(self, name: str, replica: int, calls: int, tightened: int) -> None:
        manifest = self.members[name].manifest
        if manifest is None or not manifest.rollout:
            return
        evidence = Evidence(
            rollout=manifest.rollout,
            server="vm",
            revision=manifest.revision,
            activated=True,
            decisions=calls,
            denials=tightened,
            pairs=calls,
            tightened=tightened,
        )
        report = Report(enforcer_id=name, epoch=1, evidence=evidence)
        state = self.catch_up(replica)
        heard = {manifest.rollout: (report,)}
        outcome = report_evidence(state, heard, command_id=f"f{len(self.log)}", at=self.now)
        self.append(replica, outcome)

    @invariant()
    def nobody_runs_what_is_unsigned_or_not_for_them(self) -> None:
        for member in self.members.values():
            manifest = member.manifest
            if manifest is not None and manifest.cohort:
                cohort = Cohort.parse(manifest.cohort)
                assert cohort.includes(member.name, LABELS[member.name])

    @invariant()
    def at_most_one_rollout_is_under_way_and_its_cohort_only_grows(self) -> None:
        state = self.states[0]
        under_way = [one for one in state.rollouts.by_id.values() if not one.state.over]
        assert len(under_way) <= 1
        assert [one.rollout_id for one in under_way] == list(state.rollouts.under_way.values())
        for one in under_way:
            inside = {name for name in LABELS if one.includes(name, LABELS[name])}
            before = self.included.get(one.rollout_id, set())
            assert before <= inside
            self.included[one.rollout_id] = inside

    @invariant()
    def a_state_that_was_written_down_and_read_back_is_the_same(self) -> None:
        state = self.states[1]
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State) == state

    def teardown(self) -> None:
        """Whoever comes back is given what is wanted, and an aborted rollout leaves nobody out."""
        state = self.catch_up(0)
        for named in list(state.rollouts.under_way.values()):
            outcome = change_rollout(
                state, self.command("end"), rollout_id=named, change=Change.ABORT, at=self.now
            )
            assert self.append(0, outcome)
        assert self.catch_up(0) == self.catch_up(1)
        wanted = self.states[0].wanted.get("vm")
        for member in self.members.values():
            member.refuses = ""
            self.connect(member.name, 0)
            while member.sent and owed(self.states[0], member.sent, self.now) is not None:
                self.deliver(member.name, True)
            if wanted is not None:
                assert member.manifest is not None
                assert member.manifest.revision == wanted.revision
                assert member.manifest.sequence == wanted.manifest_sequence


RolloutHistories.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None
)
test_any_history_of_rollouts_keeps_their_promises = RolloutHistories.TestCase
