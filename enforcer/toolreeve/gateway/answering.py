"""What an upstream may say, from the settings, in the terms of those who listen to it."""

from toolreeve.gateway.settings import AnswerSettings
from toolreeve.proxy.child import ChildBounds
from toolreeve.proxy.pace import PaceBounds


def pace_of(answers: AnswerSettings) -> PaceBounds:
    return PaceBounds(per_second=answers.messages_per_second, burst=answers.messages_burst)


def child_bounds(answers: AnswerSettings) -> ChildBounds:
    """A line is held whole, so it has a bound of its own beside that of all answers."""
    pace = pace_of(answers)
    return ChildBounds(
        line_bytes_max=min(ChildBounds().line_bytes_max, answers.bytes_max), pace=pace
    )
