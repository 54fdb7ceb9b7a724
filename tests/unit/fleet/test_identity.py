"""Histories of tokens, joins and denials: who is in follows from the log, and from nothing else."""

from hashlib import sha256

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toolreeve.decision import Instant
from toolreeve.fleet import Command, CommandError, Commit, State, Unchanged, WrongStateError, apply
from toolreeve.fleet.identity import MemberKind, Role
from toolreeve.fleet.identity_commands import (
    JoinRefusedError,
    Proof,
    create_join_token,
    create_operator,
    deny_member,
    first_operator,
    join,
    revoke_operator,
)

NAMES = ("gw-1", "gw-2")
LIFE = 100


def proof(number: int, secret: str = "good") -> Proof:
    return Proof(token_id=f"{number:016x}", digest=sha256(f"{number}{secret}".encode()).digest())


class Joining(RuleBasedStateMachine):
    """Two replicas' worth of commands in one order, as the log makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now = Instant(1_000)
        self.made: dict[int, tuple[str, Instant, int]] = {}  # name, end, commit
        self.used: set[int] = set()
        self.denied_in: dict[str, int] = {}
        self.joins: dict[str, int] = {}
        self.commands = 0

    def take(self, outcome: Commit | Unchanged) -> None:
        if isinstance(outcome, Commit):
            self.state = apply(self.state, outcome, sha256(str(outcome.index).encode()).digest())

    def command(self) -> Command:
        self.commands += 1
        return Command(command_id=f"c{self.commands}", actor="ada", reason="why")

    @rule(ticks=st.sampled_from([0, 1, LIFE - 1, LIFE, LIFE + 1]))
    def wait(self, ticks: int) -> None:
        self.now = Instant(self.now + ticks)

    @rule(name=st.sampled_from(NAMES))
    def make(self, name: str) -> None:
        number = len(self.made)
        self.take(
            create_join_token(
                self.state,
                self.command(),
                kind=MemberKind.ENFORCER,
                name=name,
                token=proof(number),
                life_ns=LIFE,
                at=self.now,
            )
        )
        self.made[number] = (name, Instant(self.now + LIFE), self.state.index)

    @rule(back=st.integers(0, 3), secret=st.sampled_from(["good", "good", "good", "guessed"]))
    def come(self, back: int, secret: str) -> None:
        number = max(0, len(self.made) - 1 - back)
        name, ends, made_in = self.made.get(number, ("", Instant(0), 0))
        good = (
            number in self.made
            and secret == "good"
            and number not in self.used
            and self.now < ends
            and made_in > self.denied_in.get(name, 0)
        )
        try:
            outcome = join(
                self.state,
                self.command(),
                token=proof(number, secret),
                public_key_digest=b"k",
                at=self.now,
            )
        except JoinRefusedError:
            assert not good
            return
        assert good, "somebody came in who should not have"
        self.take(outcome)
        self.used.add(number)
        self.joins[name] = self.joins.get(name, 0) + 1

    @rule(name=st.sampled_from(NAMES))
    def deny(self, name: str) -> None:
        if name not in self.joins:
            return
        outcome = deny_member(
            self.state, self.command(), kind=MemberKind.ENFORCER, name=name, at=self.now
        )
        self.take(outcome)
        if isinstance(outcome, Commit):
            self.denied_in[name] = self.state.index

    @invariant()
    def a_join_is_a_generation(self) -> None:
        members = self.state.identities.members
        assert {name: one.generation for (_, name), one in members.items()} == self.joins

    @invariant()
    def tokens_that_are_over_do_not_pile_up(self) -> None:
        assert len(self.state.identities.join_tokens) <= len(self.made)


Joining.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
test_who_comes_in_by_which_token = Joining.TestCase


def operator(
    state: State, name: str, *roles: Role, number: int, life_ns: int | None = None
) -> State:
    command = Command(command_id=f"make {name}", actor="ada")
    commit = create_operator(
        state,
        command,
        name=name,
        roles=roles,
        token=proof(number),
        life_ns=life_ns,
        at=Instant(1),
    )
    return apply(state, commit, b"d" * 32)


def test_a_first_admin_is_made_once_also_where_two_replicas_try() -> None:
    command = Command(command_id="first", actor="control")
    first = first_operator(State(), command, name="admin", token=proof(1), at=Instant(1))
    assert isinstance(first, Commit)
    state = apply(State(), first, b"d" * 32)
    late = first_operator(state, command, name="admin", token=proof(2), at=Instant(2))
    assert isinstance(late, Unchanged)
    assert state.identities.operator_of(proof(1).token_id) is not None
    assert state.identities.operator_of(proof(2).token_id) is None


@pytest.mark.parametrize("name", ["", "fleet", "worker", "a b", "-x", "x" * 65, "é"])
def test_an_operator_is_not_called_like_a_part_or_like_nothing(name: str) -> None:
    with pytest.raises(CommandError, match="cannot be the name of an operator"):
        operator(State(), name, Role.VIEWER, number=1)


def test_a_name_is_one_operators_until_it_is_revoked() -> None:
    state = operator(State(), "admin", Role.ADMIN, number=1)
    state = operator(state, "bo", Role.VIEWER, number=2)
    with pytest.raises(WrongStateError, match="already"):
        operator(state, "bo", Role.ADMIN, number=3)
    revoked = revoke_operator(state, Command(command_id="r", actor="ada"), name="bo", at=Instant(2))
    state = apply(state, revoked, b"e" * 32)
    state = operator(state, "bo", Role.AUTHOR, number=3)
    assert state.identities.operators["bo"].roles == (Role.AUTHOR,)
