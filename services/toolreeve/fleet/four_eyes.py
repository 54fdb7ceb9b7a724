"""Four eyes: who has written a revision does not bring it to the fleet.

The rule looks at the commit and not at the command, so it holds for every way by which a revision
may come to enforcers.
"""

import msgspec

from toolreeve.decision import Instant
from toolreeve.fleet.commands import (
    Command,
    Unchanged,
    WrongStateError,
    check_command,
    next_commit,
)
from toolreeve.fleet.history import Commit, ManifestIssued, RevisionPublished
from toolreeve.fleet.rollout import RolloutChanged, RolloutStarted
from toolreeve.fleet.state import State
from toolreeve.policy import Policy
from toolreeve.policy.sign import Manifest


class FourEyesError(WrongStateError):
    """The same person would write and release a revision."""


def submit_policy(
    state: State, command: Command, *, policy: Policy, at: Instant
) -> Commit | Unchanged:
    """Write a revision down, for others to release; nobody runs it yet. Raises CommandError.

    Unchanged where it is known already: it stays its first author's.
    """
    check_command(command)
    if policy.revision in state.revisions:
        return Unchanged()
    published = RevisionPublished(
        policy=policy.name or "policy", revision=policy.revision, body=policy.canonical
    )
    return next_commit(state, command, (published,), at)


def check_four_eyes(state: State, commit: Commit) -> None:
    """Raise FourEyesError where `commit` releases what its own actor has written.

    A rollback returns to what was released before, and break-glass says in the log that it was
    broken: neither needs another.
    """
    if any(isinstance(event, RolloutChanged) for event in commit.events):
        return
    for event in commit.events:
        if not isinstance(event, ManifestIssued | RolloutStarted) or _breaks_glass(event):
            continue
        author = state.revisions.get(event.revision)
        if author is None:
            raise FourEyesError(
                f"{event.revision} is released by who brings it, and here that takes two",
                "have its author submit it first: 'toolreeve policy submit FILE'",
            )
        if author.actor == commit.actor:
            raise FourEyesError(
                f"{commit.actor} has written {event.revision} and cannot release it",
                "ask another releaser",
            )


def _breaks_glass(event: ManifestIssued | RolloutStarted) -> bool:
    if isinstance(event, RolloutStarted):
        return False
    manifest = msgspec.json.decode(event.envelope.payload, type=Manifest)
    return bool(manifest.break_glass)
