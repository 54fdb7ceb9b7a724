"""What operators ask for: a state and a command make a commit, or a reason not to.

Every command has an id of its caller's choosing. One that is in the log already is answered as it
was the first time and changes nothing, so a caller that heard no answer simply asks again.
"""

import json
import re
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.audit.event import HoldPlaced, HoldReleased
from toolreeve.decision import Hold, Instant
from toolreeve.fleet.history import Commit, ControlEvent, ManifestIssued, RevisionPublished
from toolreeve.fleet.rollout import RolloutChanged, RolloutState
from toolreeve.fleet.state import Answer, HoldAnswer, PublishAnswer, ReleaseAnswer, State
from toolreeve.policy import PointerError, Policy, canonical_json, parse_pointer
from toolreeve.policy.sign import Manifest
from toolreeve.policy.signer import Signer

SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
TEXT_MAX = 1024
"""Characters in a reason, a name or an id that an operator gives."""


class Command(Struct, frozen=True, kw_only=True):
    """Who asks, and why. A repeat carries the same `command_id`."""

    command_id: str
    actor: str
    reason: str = ""


class Unchanged(Struct, frozen=True, kw_only=True):
    """Nothing to write down. `repeated`: it was carried out earlier, and `answer` is from then."""

    answer: Answer | None = None
    repeated: bool = False


class CommandError(ValueError):
    """A command that cannot be carried out. The state is as it was."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class CommandReusedError(CommandError):
    """A command id that stands in the log already, for something else."""

    def __init__(self, command_id: str) -> None:
        super().__init__(
            f"command id {command_id!r} was used for something else",
            "choose a new id for every command, and repeat one only as it was",
        )


class NotFoundError(CommandError):
    """What the command speaks of does not exist."""


class WrongStateError(CommandError):
    """What the command speaks of exists, and is not in a state where that can be done."""


class UnknownHoldError(NotFoundError):
    """No such hold stands."""

    def __init__(self, hold_id: str) -> None:
        super().__init__(f"no hold {hold_id!r} is in force", "list the holds for their ids")


def publish(
    state: State,
    command: Command,
    *,
    policy: Policy,
    server: str,
    key: Signer,
    at: Instant,
    break_glass: bool = False,
) -> Commit | Unchanged:
    """Make `policy` what every enforcer of `server` is to run, by a manifest signed with `key`.

    Unchanged where it is wanted already. `break_glass` ends a rollout that is under way, which is
    refused without. Raises CommandError, NotSignedError.
    """
    check_command(command, reason_needed=break_glass)
    check_server(server)
    earlier = state.answers.get(command.command_id)
    if earlier is not None:
        match earlier:
            case PublishAnswer(server=server_then, revision=revision_then) if (
                server_then == server and revision_then == policy.revision
            ):
                return Unchanged(answer=earlier, repeated=True)
            case _:
                raise CommandReusedError(command.command_id)
    name = policy.name or server
    before = state.wanted.get(server)
    under_way = state.rollouts.of(server)
    if under_way is not None and not break_glass:
        raise WrongStateError(
            f"rollout {under_way.rollout_id} of {server!r} is {under_way.state.value}",
            "wait for its end or abort it; in an emergency publish with --break-glass",
        )
    if before is not None and before.revision == policy.revision and under_way is None:
        return Unchanged(
            answer=PublishAnswer(
                server=server,
                policy=before.policy,
                revision=before.revision,
                manifest_sequence=before.manifest_sequence,
            )
        )
    manifest = Manifest(
        policy=name,
        server=server,
        sequence=next_sequence(state, server),
        revision=policy.revision,
        size=len(policy.canonical),
        issued_ns=at,
        break_glass=f"{command.actor}: {command.reason}" if break_glass else "",
    )
    issued = ManifestIssued(
        server=server,
        policy=name,
        revision=policy.revision,
        manifest_sequence=manifest.sequence,
        envelope=key.envelope(manifest),
    )
    events: list[ControlEvent] = []
    if under_way is not None:
        events.append(
            RolloutChanged(
                rollout_id=under_way.rollout_id,
                state=RolloutState.ABORTED,
                stage=under_way.stage,
                reason=f"break-glass: {command.reason}",
            )
        )
    if policy.revision not in state.revisions:
        body = policy.canonical
        events.append(RevisionPublished(policy=name, revision=policy.revision, body=body))
    return next_commit(state, command, (*events, issued), at)


def next_sequence(state: State, server: str) -> int:
    """A sequence above every manifest of `server` that was ever signed."""
    wanted = state.wanted.get(server)
    issued = 0 if wanted is None else wanted.manifest_sequence
    return 1 + max(issued, state.rollouts.allotted.get(server, 0))


def place_hold(state: State, command: Command, *, hold: Hold, at: Instant) -> Commit | Unchanged:
    """Stop what `hold` names, everywhere, until it is released or runs out.

    Its actor and reason are those of the command; without an id it gets one that follows from the
    command's. Raises CommandError.
    """
    check_command(command, reason_needed=True)
    named = hold.hold_id or hold_id_of(command)
    wanted = replace(_canonical(hold), hold_id=named, actor=command.actor, reason=command.reason)
    earlier = state.answers.get(command.command_id)
    if earlier is not None:
        match earlier:
            case HoldAnswer(hold=hold_then) if hold_then == wanted:
                return Unchanged(answer=earlier, repeated=True)
            case _:
                raise CommandReusedError(command.command_id)
    if wanted.expires_at is not None and wanted.expires_at <= at:
        raise CommandError("the hold would be over already", "give a later time, or none")
    standing = state.holds.get(named)
    if standing == wanted:
        return Unchanged(answer=HoldAnswer(hold=wanted))
    if standing is not None and (standing.expires_at is None or at < standing.expires_at):
        raise CommandError(
            f"hold {named!r} is in force and says something else", "release it, or use another id"
        )
    return next_commit(state, command, (HoldPlaced(hold=wanted),), at)


def hold_id_of(command: Command) -> str:
    """The id of a hold that was placed without one: the same command, the same id."""
    return "hold-" + sha256(command.command_id.encode()).hexdigest()[:12]


def release_hold(
    state: State, command: Command, *, hold_id: str, at: Instant
) -> Commit | Unchanged:
    """Let through again what a hold stopped. Raises UnknownHoldError, CommandError."""
    check_command(command, reason_needed=True)
    earlier = state.answers.get(command.command_id)
    if earlier is not None:
        match earlier:
            case ReleaseAnswer(hold_id=id_then) if id_then == hold_id:
                return Unchanged(answer=earlier, repeated=True)
            case _:
                raise CommandReusedError(command.command_id)
    if hold_id not in state.holds:
        raise UnknownHoldError(hold_id)
    released = HoldReleased(hold_id=hold_id, actor=command.actor, reason=command.reason)
    return next_commit(state, command, (released,), at)


def next_commit(
    state: State, command: Command, events: tuple[ControlEvent, ...], at: Instant
) -> Commit:
    """The commit that follows `state` and says `events`. Its time never lies before the last."""
    return Commit(
        index=state.index + 1,
        previous_hash=state.head,
        command_id=command.command_id,
        actor=command.actor,
        reason=command.reason,
        at=max(at, state.at),
        events=events,
    )


def check_command(command: Command, *, reason_needed: bool = False) -> None:
    """Raise CommandError where a command does not say who asks, or why where that is needed."""
    check_text("command id", command.command_id)
    check_text("actor", command.actor)
    if reason_needed:
        check_text("reason", command.reason)
    if len(command.reason) > TEXT_MAX:
        raise CommandError("the reason is too long", f"use at most {TEXT_MAX} characters")


def check_server(server: str) -> None:
    """Raise CommandError where a name is not plain: a server stands in the gateway's URL."""
    if SERVER_NAME.fullmatch(server) is None:
        raise CommandError(
            f"{server!r} cannot be the name of a server",
            "use 1 to 64 letters, digits, dots, hyphens and underscores",
        )


def check_text(what: str, text: str) -> None:
    """Raise CommandError where a text that an operator gave is empty, too long or not printable."""
    if not text.strip():
        raise CommandError(f"the {what} is missing", f"say {what!r}")
    if len(text) > TEXT_MAX:
        raise CommandError(f"the {what} is too long", f"use at most {TEXT_MAX} characters")
    if not text.isprintable():
        raise CommandError(f"the {what} holds control characters", "use plain text")


def _canonical(hold: Hold) -> Hold:
    """The hold with its argument's value in canonical JSON, once it is sure to stop something."""
    if hold.fleet == bool(hold.server or hold.grant or hold.tool or hold.argument_pointer):
        raise CommandError(
            "a hold names a server, a grant, a tool or an argument, or else the whole fleet",
            "name at least one of them, or set fleet and nothing else",
        )
    if bool(hold.argument_pointer) != bool(hold.argument_value_json):
        raise CommandError(
            "an argument's pointer and its value go together", "give both of them or none"
        )
    for what in (hold.hold_id, hold.server, hold.grant, hold.tool):
        if what:
            check_text("hold", what)
    if not hold.argument_pointer:
        return hold
    try:
        parse_pointer(hold.argument_pointer)
        value = _read_json(hold.argument_value_json)
        return replace(hold, argument_value_json=canonical_json(value).decode())
    except PointerError as error:
        raise CommandError(
            f"{hold.argument_pointer!r} is not a JSON Pointer: {error}", 'write it like "/id"'
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise CommandError(
            f"{hold.argument_value_json!r} is not a JSON value",
            'write a number like 7, or a string with its quotes like "web-1"',
        ) from error


def _read_json(text: str) -> Any:
    msgspec.json.decode(text)  # strict where json is not: no NaN, no control characters
    return json.loads(text)  # exact where msgspec is not: integers of any length
