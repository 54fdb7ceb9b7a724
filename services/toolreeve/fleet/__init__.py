"""The control plane's thinking: state as a fold over commits, commands, and what is owed to whom.

Pure: knows no clock, no disk and no network. A command and a state make a commit or a refusal; a
commit and a state make the next state; a stream and a state make the messages it is owed.
"""

from toolreeve.fleet.commands import (
    Command,
    CommandError,
    CommandReusedError,
    Unchanged,
    UnknownHoldError,
    hold_id_of,
    place_hold,
    publish,
    release_hold,
)
from toolreeve.fleet.fold import HistoryError, answer_of, apply, replay
from toolreeve.fleet.history import (
    Commit,
    ControlEvent,
    EnforcerSeen,
    ManifestIssued,
    PolicyActivated,
    PolicyNacked,
    RevisionPublished,
)
from toolreeve.fleet.observe import Activated, Nacked, Observation, Seen, observe
from toolreeve.fleet.roster import Served, served
from toolreeve.fleet.state import (
    Answer,
    Enforcer,
    HoldAnswer,
    HoldStep,
    PublishAnswer,
    Refusal,
    ReleaseAnswer,
    Revision,
    Running,
    State,
    WantedPolicy,
)
from toolreeve.fleet.stream import HoldSnapshot, Owed, Sent, greet, owed

__all__ = [
    "Activated",
    "Answer",
    "Command",
    "CommandError",
    "CommandReusedError",
    "Commit",
    "ControlEvent",
    "Enforcer",
    "EnforcerSeen",
    "HistoryError",
    "HoldAnswer",
    "HoldSnapshot",
    "HoldStep",
    "ManifestIssued",
    "Nacked",
    "Observation",
    "Owed",
    "PolicyActivated",
    "PolicyNacked",
    "PublishAnswer",
    "Refusal",
    "ReleaseAnswer",
    "Revision",
    "RevisionPublished",
    "Running",
    "Seen",
    "Sent",
    "Served",
    "State",
    "Unchanged",
    "UnknownHoldError",
    "WantedPolicy",
    "answer_of",
    "apply",
    "greet",
    "hold_id_of",
    "observe",
    "owed",
    "place_hold",
    "publish",
    "release_hold",
    "replay",
    "served",
]
