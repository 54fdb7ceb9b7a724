"""One account of a shared limit, step by step."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from toolreeve.decision.lease import SHARE_LIFE_NS, LeaseAsk, Settled
from toolreeve.fleet.lease import (
    LIFE_NS_LEAST,
    LIFE_NS_MOST,
    Account,
    AccountError,
    Entry,
    Terms,
    counts,
    draw,
    merge,
    read_account,
    settle,
    write_account,
)
from toolreeve.fleet.teller import FRESH_NS, Teller

SECOND = 1_000_000_000
TERMS = Terms(window_ns=60 * SECOND, maximum=100)
DAYS = Terms(window_ns=86_400 * SECOND, maximum=100, calendar=True)


def ask(
    name: str = "1", need: int = 1, *, ahead: int = 0, least: int = 1, window: int = -1
) -> LeaseAsk:
    return LeaseAsk(
        lease_id=name,
        server="vm",
        counter="c",
        owner="fleet vm",
        window=window,
        need=need,
        least=least,
        ahead=ahead,
    )


def given_to(
    account: Account, one: LeaseAsk, *, at: int = 0, terms: Terms = TERMS, enforcer: str = "e"
) -> tuple[Account, int, int]:
    """The account after one ask, what was given, and how long to wait where that is too little."""
    account, (answer,) = draw(account, [(enforcer, one)], terms, now=at, wall=at)
    return account, answer.amount, answer.retry_ns


def test_what_is_given_counts_for_its_life_a_window_and_a_thousandth() -> None:
    account, amount, _ = given_to(Account(), ask(need=100))
    assert amount == 100
    until = (TERMS.life_ns + TERMS.window_ns) * 1_001 // 1_000
    _, amount, retry_ns = given_to(account, ask("2"), at=until - 1)
    assert (amount, retry_ns) == (0, 1_000_000)
    _, amount, retry_ns = given_to(account, ask("2"), at=until)
    assert (amount, retry_ns) == (1, 0)


def test_who_waits_is_told_when_enough_of_the_oldest_is_over() -> None:
    account = Account()
    for second in range(4):
        name = str(second)
        account, _, _ = given_to(account, ask(name, 25), at=second * SECOND)
    counted = (TERMS.life_ns + TERMS.window_ns) * 1_001 // 1_000
    _, amount, retry_ns = given_to(account, ask("9", 30, least=30), at=4 * SECOND)
    assert amount == 0
    assert retry_ns == counted + 1 * SECOND - 4 * SECOND


def test_less_than_the_first_call_needs_is_not_given_and_calls_get_what_there_is() -> None:
    account, _, _ = given_to(Account(), ask(need=97))
    assert given_to(account, ask("2", need=5, least=5))[1] == 0
    assert given_to(account, ask("2", need=5))[1] == 3


def test_beyond_what_is_needed_blocks_shrink_with_what_remains() -> None:
    account, amounts = Account(), [0]
    for number in range(12):
        account, amount, _ = given_to(account, ask(str(number), ahead=50))
        amounts.append(amount)
    assert amounts[1] == 1 + 99 // 4
    assert all(late <= first for first, late in pairwise(amounts[1:]))
    assert amounts[-1] <= 2
    assert counts(account, TERMS) <= 100


def test_an_ask_that_comes_again_is_answered_as_before_and_counts_once() -> None:
    account, _, _ = given_to(Account(), ask(need=60))
    again, amount, _ = given_to(account, ask(need=60), at=SECOND)
    assert amount == 60
    assert counts(again, TERMS) == 60
    assert given_to(account, ask(need=60), enforcer="another")[1] == 40


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_was_not_used_comes_back_once_however_often_it_is_said(times: int) -> None:
    account, _, _ = given_to(Account(), ask(need=60))
    for _ in range(times):
        account = settle(account, "e", [Settled("1", 20)])
    assert counts(account, TERMS) == 20
    assert counts(settle(account, "e", [Settled("1", 50)]), TERMS) == 20, "never more again"
    assert counts(settle(account, "another", [Settled("1", 0)]), TERMS) == 20, "not theirs"


def test_life_is_a_tenth_of_the_window_within_bounds() -> None:
    assert Terms(window_ns=SECOND, maximum=1).life_ns == LIFE_NS_LEAST
    assert Terms(window_ns=60 * SECOND, maximum=1).life_ns == 6 * SECOND
    assert DAYS.life_ns == LIFE_NS_MOST


def test_calendar_windows_are_counted_each_for_itself_and_old_ones_get_nothing() -> None:
    now = 10 * DAYS.window_ns
    account, amount, _ = given_to(Account(), ask(need=100, window=10), at=now, terms=DAYS)
    assert amount == 100
    assert given_to(account, ask("2", window=10), at=now, terms=DAYS)[1] == 0
    account, amount, _ = given_to(account, ask("3", window=11), at=now, terms=DAYS)
    assert amount == 1
    far = draw(account, [("e", ask("4", window=12))], DAYS, now=now, wall=now)[1][0]
    assert (far.amount, far.known) == (0, False), "its clock is more than a window off"
    later = 14 * DAYS.window_ns
    account, _, _ = given_to(account, ask("5", window=14), at=later, terms=DAYS)
    late = draw(account, [("e", ask("6", window=10))], DAYS, now=later, wall=now)[1][0]
    assert (late.amount, late.known) == (0, False), "what it counted is forgotten"


def test_another_machine_knows_of_no_time_but_what_it_sees_pass() -> None:
    account = Account((Entry("e/1", 5, 100, TERMS.life_ns),))
    raw = write_account(account, now=150, boot="here")
    assert read_account(raw, now=180, boot="here").entries[0].since == 100
    assert read_account(raw, now=9_000, boot="there").entries[0].since == 9_000 - 50
    assert read_account(raw, now=120, boot="here").entries[0].since == 120 - 50, "it went back"
    assert read_account(raw, now=180, boot="").entries[0].since == 180 - 50


def test_a_ledger_that_has_gone_back_gives_nothing_twice() -> None:
    kept = Account((Entry("e/1", 5, 0, 1), Entry("e/2", 7, 0, 1)))
    read = Account((Entry("e/1", 5, 3, 1),))
    assert counts(merge(kept, read, newer=True), TERMS) == 5
    assert counts(merge(kept, read, newer=False), TERMS) == 12
    assert merge(kept, read, newer=True).entries[0].since == 0, "we have known it for longer"


def test_a_refusal_rests_on_what_was_looked_at_a_moment_ago() -> None:
    teller = Teller("here")
    assert teller.propose([("e", ask())], TERMS, now=0, wall=0) is None
    teller.read(0, None, now=0)
    first = teller.propose([("e", ask(need=100))], TERMS, now=0, wall=0)
    assert first is not None
    teller.stored(first, 1, now=0)
    full = teller.propose([("e", ask("2"))], TERMS, now=FRESH_NS, wall=0)
    assert full is not None
    assert full.raw is None, "nothing changes, so nothing is written"
    assert teller.propose([("e", ask("3"))], TERMS, now=FRESH_NS + 1, wall=0) is None
    assert teller.must_read


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"version":2,"boot":"","at":0}', b"[]"])
def test_what_is_no_account_is_not_taken_for_an_empty_one(raw: bytes) -> None:
    with pytest.raises(AccountError):
        read_account(raw, now=0, boot="")


def test_blocks_that_are_put_together_count_until_the_last_is_over() -> None:
    account, _, _ = given_to(Account(), ask("1", 10))
    account, _, _ = given_to(account, ask("2", 20), at=SECOND // 2)
    account, _ = draw(account, [], TERMS, now=20 * SECOND, wall=0)
    assert len(account.entries) == 1
    over = (TERMS.life_ns + TERMS.window_ns) * 1_001 // 1_000 + SECOND // 2
    assert counts(draw(account, [], TERMS, now=over - 1, wall=0)[0], TERMS) == 30
    assert counts(draw(account, [], TERMS, now=over, wall=0)[0], TERMS) == 0


def test_a_share_is_one_block_that_is_given_anew_and_never_twice() -> None:
    terms = Terms(window_ns=60 * SECOND, maximum=100, share=40)

    def share(account: Account, enforcer: str, name: str, at: int) -> tuple[Account, int]:
        wants = replace(ask(f"{enforcer}{at}", need=0), share=name)
        account, (answer,) = draw(account, [(enforcer, wants)], terms, now=at, wall=0)
        return account, answer.share

    account, mine = share(Account(), "e", "disk", 0)
    account, again = share(account, "e", "disk", SHARE_LIFE_NS // 2)
    assert (mine, again, counts(account, terms)) == (40, 40, 40)
    account, other = share(account, "e", "new disk", SHARE_LIFE_NS // 2)
    assert (other, counts(account, terms)) == (40, 80)
    account, none = share(account, "late", "disk", SHARE_LIFE_NS // 2)
    assert (none, counts(account, terms)) == (0, 80), "no room is left for a third"
    over = SHARE_LIFE_NS // 2 + (SHARE_LIFE_NS + terms.window_ns) * 1_001 // 1_000
    assert share(account, "late", "disk", over - 1)[1] == 0
    assert share(account, "late", "disk", over)[1] == 40


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=60), st.integers(0, 100))
def test_blocks_that_are_put_together_count_no_shorter(
    gives: list[tuple[int, int]], after: int
) -> None:
    """Against a list of all that was given, which forgets nothing too early."""
    terms = Terms(window_ns=60 * SECOND, maximum=10_000)
    counted = (terms.life_ns + terms.window_ns) * 1_001 // 1_000
    account, all_of_it, now = Account(), list[tuple[int, int]](), 0
    for number, (tenths, amount) in enumerate(gives):
        now += tenths * SECOND // 10
        account, _, _ = given_to(account, ask(str(number), amount), at=now, terms=terms)
        all_of_it.append((now, amount))
    now += after * SECOND
    account, _ = draw(account, [], terms, now=now, wall=0)
    exact = sum(amount for since, amount in all_of_it if since + counted > now)
    slot = terms.window_ns // 64
    least = sum(amount for since, amount in all_of_it if since + counted + slot > now)
    assert exact <= counts(account, terms) <= least
