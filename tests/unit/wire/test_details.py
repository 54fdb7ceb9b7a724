"""What travels beside events: believed where they commit to it, and erased without a trace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from toolreeve.audit import (
    GENESIS,
    Arguments,
    Decided,
    Draft,
    Effect,
    KeptArgument,
    Position,
    Redaction,
    fold,
    redact,
)
from toolreeve.audit.details import Details
from toolreeve.decision import Instant
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire import Group, WireError, attach, pack, read_event, unpack, without
from toolreeve.wire.details import write_beside, write_content
from toolreeve.wire.lines import lacks_details, read_place, write_line

SECRET = b"s" * 32
REDACTION = Redaction(keep=("/name",), key=b"k" * 32)


def call(name: str) -> Draft:
    decided = Decided(
        server="hr",
        grant="g",
        agent="a",
        request_id="1",
        tool="look_up",
        wire_tool="look_up",
        effect=Effect.ALLOW,
        code="allowed",
        arguments=redact({"name": name, "born": "1970-01-01"}, REDACTION),
    )
    return Draft(Instant(1), decided)


def packed(*drafts: Draft, secret: bytes = SECRET) -> Group:
    payload, _ = pack("edge-1", secret)(Position(1, 1), GENESIS, drafts)
    return unpack(payload)


def arguments_of(group: Group, index: int) -> Arguments:
    body = attach(read_event(group.raws[index]), group.beside[index]).body
    assert isinstance(body, Decided)
    return body.arguments


def test_an_event_holds_no_value_and_no_hash_of_one() -> None:
    group = packed(call("Ada"))
    body = read_event(group.raws[0]).body
    assert isinstance(body, Decided)
    assert body.arguments.names == ("born", "name")
    assert (body.arguments.kept, body.arguments.keyed_hash, body.arguments.value_hashes) == (
        (),
        b"",
        b"",
    )
    assert b"Ada" not in group.raws[0]
    assert b"Ada" in group.payload
    assert arguments_of(group, 0).kept == (KeptArgument("/name", '"Ada"'),)


def test_a_call_without_arguments_has_nothing_beside_it() -> None:
    body = call("Ada").body
    assert isinstance(body, Decided)
    bare = replace(body, arguments=redact({}, REDACTION))
    group = packed(Draft(Instant(1), bare))
    assert not group.beside
    read = read_event(group.raws[0]).body
    assert isinstance(read, Decided)
    assert read.arguments.commitment == b""


def test_the_same_call_commits_to_something_else_each_time() -> None:
    group = packed(call("Ada"), call("Ada"))
    assert group.beside[0].content == group.beside[1].content
    assert group.beside[0].commitment != group.beside[1].commitment
    again = packed(call("Ada"), secret=b"t" * 32)
    assert again.beside[0].commitment != group.beside[0].commitment


def test_without_details_a_group_has_the_same_chain_and_nothing_of_the_value() -> None:
    group = packed(call("Ada"), call("Grace"))
    stripped = without(group, [1])
    assert b"Ada" not in stripped.payload
    assert b"Grace" in stripped.payload
    assert fold(GENESIS, stripped.raws) == fold(GENESIS, group.raws)
    assert unpack(stripped.payload).beside == {1: group.beside[1]}
    assert without(stripped, [1]).payload == stripped.payload


@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_changed_details_are_believed(at: int, bit: int) -> None:
    group = packed(call("Ada"))
    whole = group.beside[0].salt + group.beside[0].content
    changed = bytearray(whole)
    changed[at % len(whole)] ^= 1 << bit
    other = Details(bytes(changed[:16]), bytes(changed[16:]))
    with pytest.raises(WireError):
        attach(read_event(group.raws[0]), other)


def test_details_of_another_event_are_not_believed() -> None:
    group = packed(call("Ada"), call("Grace"))
    with pytest.raises(WireError):
        attach(read_event(group.raws[0]), group.beside[1])


@pytest.mark.parametrize(
    "beside",
    [
        [pb.EventDetails(index=1, salt=bytes(16))],
        [pb.EventDetails(index=0, salt=bytes(16)), pb.EventDetails(index=0, salt=bytes(16))],
        [pb.EventDetails(index=0, salt=bytes(15))],
    ],
    ids=["no such event", "twice", "short salt"],
)
def test_details_that_follow_no_contract_spoil_their_group(beside: list[pb.EventDetails]) -> None:
    batch = pb.EventBatch()
    batch.ParseFromString(packed(call("Ada")).payload)
    del batch.details[:]
    batch.details.extend(beside)
    with pytest.raises(WireError):
        unpack(batch.SerializeToString())


def test_an_event_of_before_keeps_its_arguments_in_itself() -> None:
    decided = pb.Decided(
        effect=pb.EFFECT_ALLOW,
        arguments=pb.Arguments(
            names=["id"],
            kept=[pb.KeptArgument(pointer="/id", value_json="7")],
            keyed_hash=bytes(32),
            size_bytes=8,
        ),
    )
    raw = pb.Event(
        event_id="a:1:1", enforcer_id="a", epoch=1, sequence=1, decided=decided
    ).SerializeToString()
    body = read_event(raw).body
    assert isinstance(body, Decided)
    assert body.arguments.kept == (KeptArgument("/id", "7"),)
    assert not lacks_details(read_place(write_line(raw, GENESIS)))


def test_a_line_tells_the_values_and_proves_them() -> None:
    group = packed(call("Ada"))
    line = write_line(group.raws[0], GENESIS, group.beside[0])
    assert b"Ada" in line
    place = read_place(line)
    assert place.details == group.beside[0]
    assert not lacks_details(place)
    erased = write_line(group.raws[0], GENESIS)
    assert b"Ada" not in erased
    assert lacks_details(read_place(erased))
    with pytest.raises(WireError):
        write_line(group.raws[0], GENESIS, Details(bytes(16), group.beside[0].content))


@given(
    kept=st.lists(st.builds(KeptArgument, st.text(max_size=200), st.text(max_size=200))),
    keyed_hash=st.binary(max_size=40),
    key_id=st.binary(max_size=10),
    hashes=st.binary(max_size=600),
)
def test_content_is_written_as_the_contract_says_it(
    kept: list[KeptArgument], keyed_hash: bytes, key_id: bytes, hashes: bytes
) -> None:
    arguments = Arguments(
        kept=tuple(kept), keyed_hash=keyed_hash, key_id=key_id, value_hashes=hashes
    )
    message = pb.ArgumentDetails(
        kept=[pb.KeptArgument(pointer=one.pointer, value_json=one.value_json) for one in kept],
        keyed_hash=keyed_hash,
        key_id=key_id,
        value_hashes=hashes,
    )
    assert write_content(arguments) == message.SerializeToString(deterministic=True)


@given(
    st.dictionaries(
        st.integers(0, 2**32 - 1), st.builds(Details, st.binary(), st.binary(max_size=600))
    )
)
def test_what_is_beside_a_group_is_written_as_the_contract_says_it(
    beside: dict[int, Details],
) -> None:
    batch = pb.EventBatch(
        details=[
            pb.EventDetails(index=index, salt=one.salt, content=one.content)
            for index, one in beside.items()
        ]
    )
    written = pb.EventBatch()
    written.ParseFromString(write_beside(beside))
    assert written == batch
