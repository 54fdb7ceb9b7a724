"""The bytes of a group with what travels beside its events, as they have been from the first."""

from pathlib import Path

from toolreeve.audit import (
    GENESIS,
    Arguments,
    Decided,
    Draft,
    Effect,
    EnforcerStopped,
    KeptArgument,
    Position,
)
from toolreeve.decision import Instant
from toolreeve.wire import attach, pack, read_event, unpack

GOLDEN = Path(__file__).parent / "group_bytes_v1.txt"

DECIDED = Decided(
    server="truenas",
    grant="ops",
    agent="ops-agent",
    request_id="7",
    tool="vm_restart",
    wire_tool="vm_restart",
    effect=Effect.ALLOW,
    code="allowed",
    arguments=Arguments(
        names=("id", "reason"),
        kept=(KeptArgument("/id", '"vm-7"'),),
        keyed_hash=bytes(range(32)),
        size_bytes=30,
        key_id=bytes(8),
        value_hashes=bytes(range(16)),
    ),
)
DRAFTS = (
    Draft(Instant(1), EnforcerStopped(reason="asked")),
    Draft(Instant(2), DECIDED),
)


def test_a_group_with_details_has_the_bytes_it_always_had() -> None:
    payload, head = pack("gw", bytes(32))(Position(7, 5), GENESIS, DRAFTS)
    assert f"{payload.hex()}\n{head.hex()}\n" == GOLDEN.read_text(encoding="utf-8")


def test_a_group_of_then_is_read_now() -> None:
    text, _ = GOLDEN.read_text(encoding="utf-8").split()
    group = unpack(bytes.fromhex(text))
    read = attach(read_event(group.raws[1]), group.beside[1]).body
    assert isinstance(read, Decided)
    assert (read.arguments.kept, read.arguments.value_hashes) == (
        DECIDED.arguments.kept,
        DECIDED.arguments.value_hashes,
    )
