"""What operators ask about grants."""

from toolreeve.decision import Instant
from toolreeve.fleet.commands import (
    Command,
    CommandError,
    CommandReusedError,
    NotFoundError,
    Unchanged,
    WrongStateError,
    check_command,
    check_server,
    check_text,
    next_commit,
)
from toolreeve.fleet.grants import (
    GRANT_NAME,
    GrantAnswer,
    GrantCreated,
    GrantEvent,
    GrantRevoked,
    GrantRotated,
    Issued,
)
from toolreeve.fleet.history import Commit
from toolreeve.fleet.state import State

SHA256_HEX = 64
SERVERS_MAX = 256
TOKENS_MAX = 4
"""Tokens that may open one grant at a time, while it is rotated again and again."""


def create_grant(
    state: State,
    command: Command,
    *,
    grant: str,
    agent: str,
    servers: tuple[str, ...],
    expires_at: Instant | None,
    token_sha256: str,
    at: Instant,
) -> Commit | Unchanged:
    """Let an agent in at `servers` (none: at all) with the token of this hash. CommandError."""
    check_command(command)
    event = GrantCreated(
        grant=grant,
        agent=agent,
        servers=tuple(dict.fromkeys(servers)),
        expires_at=expires_at,
        token_sha256=token_sha256,
    )
    if (repeated := _repeated(state, command, event)) is not None:
        return repeated
    if GRANT_NAME.fullmatch(grant) is None:
        raise CommandError(
            f"{grant!r} cannot be the name of a grant",
            "use 1 to 64 letters, digits, dots, hyphens and underscores",
        )
    if grant in state.grants.by_name:
        raise WrongStateError(f"grant {grant!r} exists", "a name is used once: choose another")
    check_text("agent", agent)
    if len(event.servers) > SERVERS_MAX:
        raise CommandError("the grant names too many servers", f"name at most {SERVERS_MAX}")
    for server in event.servers:
        check_server(server)
    if expires_at is not None and expires_at <= at:
        raise CommandError("the grant would be over already", "give a later time, or none")
    _check_token(state, token_sha256)
    return next_commit(state, command, (event,), at)


def rotate_grant(
    state: State, command: Command, *, grant: str, token_sha256: str, overlap_ns: int, at: Instant
) -> Commit | Unchanged:
    """Give a grant one more token; those of before go on for `overlap_ns`. CommandError."""
    check_command(command)
    earlier = state.answers.get(command.command_id)
    match earlier:
        case None:
            pass
        case GrantAnswer(event=GrantRotated(grant=name, token_sha256=hash_then)) if (
            name == grant and hash_then == token_sha256
        ):
            return Unchanged(answer=earlier, repeated=True)
        case _:
            raise CommandReusedError(command.command_id)
    issued = _standing(state, grant, at)
    if overlap_ns < 0:
        raise CommandError("the overlap is negative", "give 0 to end the tokens of before now")
    _check_token(state, token_sha256)
    until = Instant(at + overlap_ns)
    alive = [one for one in issued.grant.tokens if one.expires_at is None or at < one.expires_at]
    if overlap_ns and len(alive) >= TOKENS_MAX:
        raise WrongStateError(
            f"grant {grant!r} has {TOKENS_MAX} tokens that open it",
            "wait until one of them has ended, or rotate with an overlap of 0",
        )
    event = GrantRotated(grant=grant, token_sha256=token_sha256, overlap_until=until)
    return next_commit(state, command, (event,), at)


def revoke_grant(state: State, command: Command, *, grant: str, at: Instant) -> Commit | Unchanged:
    """Keep the holder of a grant out from now on. CommandError."""
    check_command(command, reason_needed=True)
    event = GrantRevoked(grant=grant)
    if (repeated := _repeated(state, command, event)) is not None:
        return repeated
    issued = state.grants.by_name.get(grant)
    if issued is None:
        raise _unknown(grant)
    if issued.grant.revoked:
        return Unchanged(answer=GrantAnswer(event=event))
    return next_commit(state, command, (event,), at)


def _repeated(state: State, command: Command, event: GrantEvent) -> Unchanged | None:
    earlier = state.answers.get(command.command_id)
    if earlier is None:
        return None
    if earlier != GrantAnswer(event=event):
        raise CommandReusedError(command.command_id)
    return Unchanged(answer=earlier, repeated=True)


def _standing(state: State, grant: str, at: Instant) -> Issued:
    issued = state.grants.by_name.get(grant)
    if issued is None:
        raise _unknown(grant)
    if issued.over(at):
        how = "was revoked" if issued.grant.revoked else "has expired"
        raise WrongStateError(f"grant {grant!r} {how}", "create a new one")
    return issued


def _unknown(grant: str) -> NotFoundError:
    return NotFoundError(f"there is no grant {grant!r}", "list the grants for their names")


def _check_token(state: State, token_sha256: str) -> None:
    plain = len(token_sha256) == SHA256_HEX and set(token_sha256) <= set("0123456789abcdef")
    if not plain:
        raise CommandError("the token's hash is none", "send the 32 bytes of the token's sha256")
    for issued in state.grants.by_name.values():
        if any(token.sha256 == token_sha256 for token in issued.grant.tokens):
            raise CommandError(
                "this token opens a grant already", "make a new token from random bits"
            )
