"""Events as bytes: what goes in comes out, and the chain runs over what is sent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit import (
    GENESIS,
    AlertRaised,
    AlertResolved,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalUsed,
    Arguments,
    Body,
    CheckpointMade,
    Completed,
    Decided,
    Draft,
    Effect,
    EnforcerStarted,
    EnforcerStopped,
    ErasedEvents,
    ErasureMade,
    GrantChanged,
    HeadSealed,
    Hold,
    HoldPlaced,
    HoldReleased,
    KeptArgument,
    LoggedGroups,
    LostEvents,
    OutboxDamaged,
    Outcome,
    PolicyApplied,
    PolicyRefused,
    Position,
    RequestRefused,
    Reservation,
    ToolApproved,
    ToolChanged,
    ToolPinned,
    fold,
)
from toolreeve.decision import Instant
from toolreeve.policy import Refund
from toolreeve.wire import WireError, attach, pack, read_event, unpack, write_event

text = st.text(max_size=8)
number = st.integers(0, 2**63 - 1)
instant = st.integers(1, 2**64 - 1).map(Instant)
small = st.integers(-(2**31), 2**31 - 1)

arguments = st.builds(
    Arguments,
    names=st.lists(text).map(tuple),
    kept=st.lists(st.builds(KeptArgument, text, text)).map(tuple),
    keyed_hash=st.binary(max_size=32),
    size_bytes=number,
    key_id=st.binary(max_size=8),
    value_hashes=st.binary(max_size=16),
)
hold = st.builds(
    Hold,
    hold_id=st.text(min_size=1, max_size=8),
    fleet=st.booleans(),
    server=text,
    grant=text,
    tool=text,
    argument_pointer=text,
    argument_value_json=text,
    actor=text,
    reason=text,
    expires_at=st.none() | instant,
)
reservation = st.builds(
    Reservation,
    counter=text,
    bucket=text,
    window_ns=st.integers(1, 2**62),
    calendar=st.booleans(),
    amount=st.decimals(0, 10**9, allow_nan=False, allow_infinity=False),
    at=st.just(Instant(0)),
    refund_on=st.frozensets(st.sampled_from(Refund)),
)
position = st.none() | st.builds(Position, number, st.integers(1, 2**63 - 1))
lost = st.builds(
    LostEvents, segment=text, offset=number, reason=text, after=position, before=position
)
erased = st.builds(ErasedEvents, enforcer=text, epoch=number, sequences=st.lists(number).map(tuple))
logged = st.builds(
    LoggedGroups,
    enforcer=text,
    epoch=number,
    first_sequence=number,
    events=st.lists(st.integers(0, 2**32 - 1)).map(tuple),
)
KINDS: tuple[type[msgspec.Struct], ...] = (
    Decided,
    Completed,
    PolicyApplied,
    PolicyRefused,
    EnforcerStarted,
    EnforcerStopped,
    HoldPlaced,
    HoldReleased,
    AlertRaised,
    AlertResolved,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalUsed,
    RequestRefused,
    ToolPinned,
    ToolChanged,
    ToolApproved,
    HeadSealed,
    OutboxDamaged,
    CheckpointMade,
    GrantChanged,
    ErasureMade,
)
BY_NAME: dict[str, st.SearchStrategy[object]] = {
    "arguments": arguments,
    "hold": hold,
    "labels": st.dictionaries(text, text).map(lambda labels: tuple(sorted(labels.items()))),
    "servers": st.lists(text).map(tuple),
    "members": st.lists(text).map(tuple),
    "effect": st.sampled_from(Effect),
    "outcome": st.sampled_from(Outcome),
    "approved": st.booleans(),
    "retry_after_ms": st.none() | number,
    "rpc_error_code": small,
    "refunded": st.lists(text).map(tuple),
    "reservations": st.lists(reservation, max_size=2).map(tuple),
    "http_status": small,
    "tokens": small,
    "previous_head": st.binary(max_size=32),
    "lost": st.lists(lost, max_size=2).map(tuple),
    "erased": st.lists(erased, max_size=2).map(tuple),
    "added": st.lists(logged, max_size=2).map(tuple),
    "arguments_hash": st.binary(max_size=32),
}
BY_TYPE: dict[object, st.SearchStrategy[object]] = {
    str: text,
    int: number,
    bool: st.booleans(),
    bytes: st.binary(max_size=64),
    float: st.floats(allow_nan=False),
    Instant: instant,
    Instant | None: st.none() | instant,
}


def of_kind(kind: type[msgspec.Struct]) -> st.SearchStrategy[Body]:
    fields = {
        field.name: BY_NAME[field.name] if field.name in BY_NAME else BY_TYPE[field.type]
        for field in msgspec.structs.fields(kind)
    }
    return st.builds(kind, **fields)  # type: ignore[arg-type]  # KINDS are the members of Body


def drafted(at: Instant, body: Body) -> Draft:
    """A reservation is made at its event's own time, so that stands in the event only once."""
    if isinstance(body, Decided):
        made = tuple(msgspec.structs.replace(one, at=at) for one in body.reservations)
        body = msgspec.structs.replace(body, reservations=made)
    return Draft(at, body)


def uncommitted(body: Body) -> Body:
    """A body as nobody has packed it."""
    if not isinstance(body, Decided):
        return body
    plain = msgspec.structs.replace(body.arguments, commitment=b"")
    return msgspec.structs.replace(body, arguments=plain)


drafts = st.builds(drafted, instant, st.one_of([of_kind(kind) for kind in KINDS]))


@given(st.lists(drafts, min_size=1, max_size=4), st.binary(min_size=32, max_size=32))
def test_a_group_comes_out_as_it_went_in(group: list[Draft], head: bytes) -> None:
    payload, after = pack("gw-1")(Position(7, 5), head, group)
    read = unpack(payload)
    assert (read.enforcer, read.epoch, read.first_sequence) == ("gw-1", 7, 5)
    assert read.previous_hash == head
    assert fold(head, read.raws) == after
    for index, (raw, draft) in enumerate(zip(read.raws, group, strict=True)):
        event = read_event(raw)
        assert event.id == f"gw-1:7:{5 + index}"
        if index in read.beside:
            event = attach(event, read.beside[index])
        assert event.at == draft.at
        assert uncommitted(event.body) == uncommitted(draft.body)
        assert write_event(event) == raw


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (unpack, read_event):
        try:
            read(raw)
        except WireError as error:
            assert str(error)


def test_an_event_that_names_another_place_is_refused() -> None:
    payload, _ = pack("a")(Position(1, 1), GENESIS, [Draft(Instant(1), EnforcerStopped(reason=""))])
    (raw,) = unpack(payload).raws
    with pytest.raises(WireError):
        read_event(raw.replace(b"a:1:1", b"b:1:1"))
