"""The control plane's log of members and operators: what was written once is read for ever."""

from pathlib import Path

from toolreeve.control.translate import read_commit, write_commit
from toolreeve.decision import Instant
from toolreeve.fleet import Commit
from toolreeve.fleet.identity import (
    JoinTokenCreated,
    MemberDenied,
    MemberJoined,
    MemberKind,
    OperatorCreated,
    OperatorRevoked,
    Role,
)

GOLDEN = Path(__file__).with_name("identity_commit_bytes_v1.txt")
COMMIT = Commit(
    index=7,
    previous_hash=bytes(range(32)),
    command_id="c-7",
    actor="ada",
    reason="a new host",
    at=Instant(1_763_762_400_000_000_000),
    events=(
        JoinTokenCreated(
            token_id="0123456789abcdef",
            digest=b"d" * 32,
            kind=MemberKind.ENFORCER,
            name="gw-1",
            expires_at=Instant(1_763_766_000_000_000_000),
        ),
        MemberJoined(
            token_id="0123456789abcdef",
            kind=MemberKind.WORKER,
            name="worker",
            generation=2,
            public_key_digest=b"k" * 32,
        ),
        MemberDenied(kind=MemberKind.ENFORCER, name="gw-1"),
        OperatorCreated(
            name="bo",
            roles=tuple(Role),
            token_id="fedcba9876543210",
            digest=b"e" * 32,
            expires_at=None,
        ),
        OperatorCreated(
            name="cy",
            roles=(Role.VIEWER,),
            token_id="fedcba9876543211",
            digest=b"f" * 32,
            expires_at=Instant(1_763_766_000_000_000_000),
        ),
        OperatorRevoked(name="bo"),
    ),
)


def test_a_commit_of_long_ago_is_read_as_it_was_meant_and_written_alike() -> None:
    raw = bytes.fromhex(GOLDEN.read_text().strip())
    assert read_commit(raw) == COMMIT
    assert write_commit(COMMIT) == raw
