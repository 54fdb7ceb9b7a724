"""Whatever is asked in whatever order: the promises of the control plane's history."""

from hashlib import sha256

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toolreeve.decision import Hold, Instant
from toolreeve.fleet import (
    Activated,
    Command,
    CommandError,
    Commit,
    GrantsOwed,
    HoldSnapshot,
    HoldStep,
    Nacked,
    Observation,
    Running,
    Seen,
    Sent,
    State,
    Unchanged,
    WantedPolicy,
    apply,
    greet,
    observe,
    owed,
    place_hold,
    publish,
    release_hold,
    replay,
)
from toolreeve.policy import Policy, parse
from toolreeve.policy.sign import SigningKey, verify_manifest

KEY = SigningKey.generate()
SERVERS = ("vm", "disk")
ENFORCERS = ("e1", "e2", "e3")
POLICIES: tuple[Policy, ...] = tuple(
    parse(f'{{"version": "1", "default": "deny", "tools": {{"t{number}": {{}}}}}}', source="")
    for number in range(3)
)

servers = st.sampled_from(SERVERS)
enforcers = st.sampled_from(ENFORCERS)
policies = st.sampled_from(POLICIES)
command_ids = st.integers(1, 30).map(lambda number: f"c{number}")
hold_ids = st.sampled_from(("", "h1", "h2"))


def digest(commit: Commit) -> bytes:
    """Stands for the hash of the serialised commit: equal commits, equal digests."""
    return sha256(msgspec.msgpack.encode(commit)).digest()


class Listening(msgspec.Struct):
    """What one enforcer at the end of a stream knows by what it was sent."""

    sent: Sent
    manifests: dict[str, int]
    holds: dict[str, Hold]


class FleetHistories(RuleBasedStateMachine):
    """Commands, words from the fleet and streams, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.log: list[tuple[Commit, bytes]] = []
        self.answers: dict[str, object] = {}
        self.listening: dict[str, Listening] = {}
        self.now = Instant(1)

    def take(self, outcome: Commit | Unchanged) -> None:
        self.now = Instant(self.now + 1)
        if isinstance(outcome, Commit):
            written = {commit.command_id for commit, _ in self.log}
            assert outcome.command_id not in written, "nothing is carried out twice"
            entry = (outcome, digest(outcome))
            self.log.append(entry)
            before = self.state
            self.state = apply(before, *entry)
            for server, wanted in before.wanted.items():
                after = self.state.wanted[server].manifest_sequence
                assert after >= wanted.manifest_sequence

    @rule(command_id=command_ids, policy=policies, server=servers)
    def publish(self, command_id: str, policy: Policy, server: str) -> None:
        command = Command(command_id=command_id, actor="ada")
        try:
            outcome = publish(
                self.state, command, policy=policy, server=server, key=KEY, at=self.now
            )
        except CommandError:
            assert command_id in self.state.answers
            return
        if isinstance(outcome, Commit):
            assert command_id not in self.state.answers
        elif not outcome.repeated:
            assert self.state.wanted[server].revision == policy.revision
        self.take(outcome)
        self.remember(command_id)

    @rule(command_id=command_ids, hold_id=hold_ids, tool=st.sampled_from(("", "t1")))
    def place(self, command_id: str, hold_id: str, tool: str) -> None:
        command = Command(command_id=command_id, actor="ada", reason="burst")
        hold = Hold(hold_id=hold_id, fleet=not tool, tool=tool, actor="", reason="")
        try:
            outcome = place_hold(self.state, command, hold=hold, at=self.now)
        except CommandError:
            return
        self.take(outcome)
        self.remember(command_id)

    @rule(command_id=command_ids, hold_id=hold_ids)
    def release(self, command_id: str, hold_id: str) -> None:
        command = Command(command_id=command_id, actor="ada", reason="calm")
        try:
            outcome = release_hold(self.state, command, hold_id=hold_id, at=self.now)
        except CommandError:
            return
        self.take(outcome)
        assert hold_id not in self.state.holds or isinstance(outcome, Unchanged)
        self.remember(command_id)

    @rule(
        said=st.lists(
            st.one_of(
                st.builds(
                    Seen,
                    enforcer_id=enforcers,
                    host=st.sampled_from(("a", "b")),
                    software_version=st.just("1"),
                    servers=st.sampled_from((("vm",), SERVERS)),
                ),
                st.builds(
                    Activated,
                    enforcer_id=enforcers,
                    running=st.builds(
                        Running,
                        server=servers,
                        revision=policies.map(lambda policy: policy.revision),
                        manifest_sequence=st.integers(0, 4),
                    ),
                ),
                st.builds(
                    Nacked,
                    enforcer_id=enforcers,
                    server=servers,
                    revision=policies.map(lambda policy: policy.revision),
                    manifest_sequence=st.integers(0, 4),
                    code=st.sampled_from(("hash", "rollback")),
                    reason=st.just("because"),
                ),
            ),
            max_size=6,
        )
    )
    def hear(self, said: list[Observation]) -> None:
        outcome = observe(self.state, said, command_id=f"f{len(self.log)}", at=self.now)
        self.take(outcome)
        again = observe(self.state, said[-1:], command_id="again", at=self.now)
        if said and isinstance(said[-1], Seen):
            assert isinstance(again, Unchanged)

    @rule(enforcer=enforcers, served=st.sampled_from((("vm",), SERVERS)))
    def connect(self, enforcer: str, served: tuple[str, ...]) -> None:
        sent = greet(self.state, enforcer, served, ())
        self.listening[enforcer] = Listening(sent, {}, {})

    @rule(enforcer=enforcers, messages=st.integers(1, 3))
    def write(self, enforcer: str, messages: int) -> None:
        listening = self.listening.get(enforcer)
        for _ in range(messages if listening else 0):
            assert listening is not None
            if not self.write_one(listening):
                break

    def write_one(self, listening: Listening) -> bool:
        due = owed(self.state, listening.sent, self.now)
        if due is None:
            return False
        message, listening.sent = due
        match message:
            case WantedPolicy(server=server, manifest_sequence=sequence):
                assert sequence > listening.manifests.get(server, 0)
                assert message == self.state.wanted[server], "what was overtaken is never sent"
                listening.manifests[server] = sequence
            case HoldSnapshot(holds=holds):
                listening.holds = {hold.hold_id: hold for hold in holds}
            case HoldStep(placed=None, released_id=released):
                listening.holds.pop(released, None)
            case HoldStep(placed=placed):
                assert placed is not None
                listening.holds[placed.hold_id] = placed
            case GrantsOwed():
                pass
        return True

    def remember(self, command_id: str) -> None:
        answer = self.state.answers.get(command_id)
        if answer is not None:
            assert self.answers.setdefault(command_id, answer) == answer

    @invariant()
    def every_wanted_revision_was_published_and_is_signed_for_its_server(self) -> None:
        for server, wanted in self.state.wanted.items():
            assert wanted.revision in self.state.revisions
            manifest = verify_manifest(wanted.envelope, [KEY.public])
            assert (manifest.server, manifest.revision) == (server, wanted.revision)
            assert manifest.sequence == wanted.manifest_sequence

    @invariant()
    def the_log_replayed_in_one_pass_gives_the_same_state(self) -> None:
        assert replay(State(), self.log) == self.state

    @invariant()
    def a_state_that_was_written_down_and_read_back_is_the_same(self) -> None:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(self.state), type=State) == self.state

    def teardown(self) -> None:
        for listening in self.listening.values():
            while self.write_one(listening):
                pass
            assert listening.holds == dict(self.state.holds)
            for server in listening.sent.servers:
                if server in self.state.wanted:
                    wanted = self.state.wanted[server].manifest_sequence
                    assert listening.manifests[server] == wanted


FleetHistories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_history_of_a_fleet_keeps_its_promises = FleetHistories.TestCase
