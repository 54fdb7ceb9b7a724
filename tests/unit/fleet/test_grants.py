"""Grants as operators change them, and what enforcers are told of it, over random histories."""

from hashlib import sha256

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from toolreeve.control.translate import read_commit, write_commit
from toolreeve.decision import Instant
from toolreeve.decision.grant import Grants, Holder
from toolreeve.enforcement.grants import put
from toolreeve.fleet import (
    Command,
    CommandError,
    CommandReusedError,
    Commit,
    GrantsOwed,
    NotFoundError,
    State,
    Unchanged,
    WrongStateError,
    apply,
    greet,
    owed,
)
from toolreeve.fleet.grant_commands import create_grant, revoke_grant, rotate_grant

SERVERS = ("vm", "disks")
SECOND = 10**9


def token_of(number: int) -> str:
    return sha256(f"token {number}".encode()).hexdigest()


def step(state: State, commit: Commit) -> State:
    raw = write_commit(commit)
    assert read_commit(raw) == commit
    return apply(state, commit, sha256(raw).digest())


def command(number: object = 1, reason: str = "why") -> Command:
    return Command(command_id=f"command {number}", actor="ops", reason=reason)


def created(
    state: State, name: str = "night", number: int = 1, expires_at: Instant | None = None
) -> Commit:
    commit = create_grant(
        state,
        command(f"create {name} {number}"),
        grant=name,
        agent="agent",
        servers=("vm",),
        expires_at=expires_at,
        token_sha256=token_of(number),
        at=Instant(5),
    )
    assert isinstance(commit, Commit)
    return commit


def test_the_same_command_again_changes_nothing_and_another_under_its_id_is_refused() -> None:
    first = create_grant(
        State(),
        command(),
        grant="night",
        agent="agent",
        servers=(),
        expires_at=None,
        token_sha256=token_of(1),
        at=Instant(5),
    )
    assert isinstance(first, Commit)
    state = step(State(), first)

    def again(token: int) -> Commit | Unchanged:
        return create_grant(
            state,
            command(),
            grant="night",
            agent="agent",
            servers=(),
            expires_at=None,
            token_sha256=token_of(token),
            at=Instant(9),
        )

    repeated = again(1)
    assert isinstance(repeated, Unchanged)
    assert repeated.repeated
    with pytest.raises(CommandReusedError):
        again(2)


def test_a_name_is_used_once_even_when_its_grant_was_revoked() -> None:
    state = step(State(), created(State()))
    revoked = revoke_grant(state, command("r"), grant="night", at=Instant(6))
    assert isinstance(revoked, Commit)
    with pytest.raises(WrongStateError, match="a name is used once"):
        created(step(state, revoked), number=2)


def test_a_token_opens_one_grant_only() -> None:
    state = step(State(), created(State()))
    with pytest.raises(CommandError, match="opens a grant already"):
        created(state, "day", number=1)


def test_what_is_over_is_not_rotated_and_what_never_was_is_not_revoked() -> None:
    state = step(State(), created(State(), expires_at=Instant(10)))

    def rotated(at: int) -> Commit | Unchanged:
        return rotate_grant(
            state,
            command("rotate"),
            grant="night",
            token_sha256=token_of(2),
            overlap_ns=1,
            at=Instant(at),
        )

    assert isinstance(rotated(9), Commit)
    with pytest.raises(WrongStateError, match="has expired"):
        rotated(10)
    with pytest.raises(NotFoundError):
        revoke_grant(state, command("r"), grant="nobody", at=Instant(6))


def test_a_stream_is_told_of_the_grants_for_its_servers_and_of_no_other() -> None:
    state = step(State(), created(State()))
    for server, told in (("vm", ["night"]), ("disks", [])):
        begun = owed(state, greet(state, "edge", (server,), ()), Instant(6))
        while begun is not None and not isinstance(begun[0], GrantsOwed):
            begun = owed(state, begun[1], Instant(6))
        assert begun is not None
        message = begun[0]
        assert isinstance(message, GrantsOwed)
        assert [one.grant for one in message.grants] == told
        assert (message.snapshot, message.sequence) == (True, 1)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"grant": "../up"}, "cannot be the name of a grant"),
        ({"grant": ""}, "cannot be the name of a grant"),
        ({"agent": ""}, "the agent is missing"),
        ({"agent": "a\nb"}, "control characters"),
        ({"servers": ("no server",)}, "cannot be the name of a server"),
        ({"expires_at": Instant(5)}, "would be over already"),
        ({"token_sha256": "ab"}, "hash is none"),
    ],
)
def test_what_makes_no_grant_is_refused_with_a_reason(
    members: dict[str, object], problem: str
) -> None:
    wanted: dict[str, object] = {
        "grant": "night",
        "agent": "agent",
        "servers": (),
        "expires_at": None,
        "token_sha256": token_of(1),
        "at": Instant(5),
        **members,
    }
    with pytest.raises(CommandError, match=problem):
        create_grant(State(), command(), **wanted)  # type: ignore[arg-type]


class GrantHistories(RuleBasedStateMachine):
    """Operators change grants; enforcers hear of it sooner or later, and start anew at times.

    The model is a table of which token ought to open which grant until when.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now = 1_000 * SECOND
        self.count = 0
        self.opens: dict[int, tuple[str, float]] = {}  # token: grant, until when
        self.revoked: set[str] = set()
        self.served: dict[str, str] = {}  # grant: its only server
        self.told = {server: Grants() for server in SERVERS}
        self.sent = {server: greet(self.state, server, (server,), ()) for server in SERVERS}

    def submit(self, outcome: Commit | Unchanged) -> None:
        assert isinstance(outcome, Commit)
        self.state = step(self.state, outcome)

    @rule(server=st.sampled_from(SERVERS), lives=st.sampled_from([None, 10, 1_000]))
    def create(self, server: str, lives: int | None) -> None:
        self.count += 1
        until = None if lives is None else Instant(self.now + lives * SECOND)
        commit = create_grant(
            self.state,
            command(self.count),
            grant=f"g{self.count}",
            agent="agent",
            servers=(server,),
            expires_at=until,
            token_sha256=token_of(self.count),
            at=Instant(self.now),
        )
        self.submit(commit)
        self.opens[self.count] = (f"g{self.count}", until or float("inf"))
        self.served[f"g{self.count}"] = server

    @precondition(lambda self: self.opens)
    @rule(data=st.data(), overlap=st.sampled_from([0, 5, 100]))
    def rotate(self, data: st.DataObject, overlap: int) -> None:
        name, _ = data.draw(st.sampled_from(sorted(self.opens.values())))
        self.count += 1
        try:
            commit = rotate_grant(
                self.state,
                command(self.count),
                grant=name,
                token_sha256=token_of(self.count),
                overlap_ns=overlap * SECOND,
                at=Instant(self.now),
            )
        except WrongStateError:
            return
        self.submit(commit)
        ends = self.now + overlap * SECOND
        for token, (grant, until) in list(self.opens.items()):
            if grant == name:
                self.opens[token] = (grant, min(until, ends))
        whole = self.state.grants.by_name[name].grant.expires_at
        self.opens[self.count] = (name, whole or float("inf"))

    @precondition(lambda self: self.opens)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        name, _ = data.draw(st.sampled_from(sorted(self.opens.values())))
        self.count += 1
        outcome = revoke_grant(self.state, command(self.count), grant=name, at=Instant(self.now))
        if isinstance(outcome, Commit):
            self.submit(outcome)
        self.revoked.add(name)

    @rule(seconds=st.sampled_from([1, 5, 10, 99]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(server=st.sampled_from(SERVERS), fresh=st.booleans())
    def start_anew(self, server: str, fresh: bool) -> None:
        """A stream begins again; a fresh enforcer has forgotten everything."""
        if fresh:
            self.told[server] = Grants()
        self.sent[server] = greet(self.state, server, (server,), ())

    @rule(server=st.sampled_from(SERVERS))
    def hear(self, server: str) -> None:
        """The stream is written to until nothing is owed."""
        while (next_owed := owed(self.state, self.sent[server], Instant(self.now))) is not None:
            message, self.sent[server] = next_owed
            if isinstance(message, GrantsOwed):
                self.told[server], _ = put(
                    self.told[server], message.grants, snapshot=message.snapshot
                )

    @invariant()
    def whoever_has_heard_everything_lets_in_whom_the_model_lets_in(self) -> None:
        for server in SERVERS:
            if owed(self.state, self.sent[server], Instant(self.now)) is not None:
                continue
            for token, (grant, until) in self.opens.items():
                let_in = self.told[server].admit(server, token_of(token), Instant(self.now))
                ought = (
                    grant not in self.revoked and self.now < until and self.served[grant] == server
                )
                assert isinstance(let_in, Holder) == ought, (server, token, grant, let_in)


GrantHistories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestGrantHistories = GrantHistories.TestCase
