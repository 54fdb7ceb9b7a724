"""What every method of the operators' service shares: commands, and errors that become statuses.

A desk answers the methods about one thing. `Methods` are by the name that the contract gives them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from toolreeve.control.ledger import EntryTooLargeError
from toolreeve.control.store import Decide, LogUnavailableError, Store
from toolreeve.decision import Instant
from toolreeve.fleet import (
    Answer,
    CommandError,
    CommandReusedError,
    Commit,
    NotFoundError,
    State,
    Unchanged,
    WrongStateError,
    answer_of,
)
from toolreeve.fleet.four_eyes import check_four_eyes
from toolreeve.policy.signer import NotSignedError
from toolreeve.wire import WireError

Context = grpc.aio.ServicerContext[Any, Any]
Method = Callable[[Any], Awaitable[Message]]
Methods = Mapping[str, Method]
Admit = Callable[[str, Any, Context], Awaitable[None]]
"""Asks who calls a method: returns where they may, raises RefusedError where not."""


class RefusedError(Exception):
    """A request is answered with a status instead of a response."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Submitting:
    """Carries commands out through the store, within a bound of time."""

    def __init__(
        self, store: Store, *, command_seconds_max: float, four_eyes: bool = False
    ) -> None:
        self._store = store
        self._four_eyes = four_eyes
        self._command_seconds_max = command_seconds_max

    async def submit(self, decide: Decide) -> tuple[Answer | None, bool]:
        """What the command came to, and whether it stands in the log (now or from earlier).

        Raises what `decide` raises, and LogUnavailableError.
        """

        def checked(state: State, at: Instant) -> Commit | Unchanged:
            commit = decide(state, at)
            if self._four_eyes and isinstance(commit, Commit):
                check_four_eyes(state, commit)
            return commit

        outcome = await self._store.submit(checked, seconds_max=self._command_seconds_max)
        if isinstance(outcome, Unchanged):
            return outcome.answer, outcome.repeated
        return answer_of(outcome), True


def guarded(
    name: str, method: Method | None, admit: Admit
) -> Callable[[Any, Context], Awaitable[Message]]:
    """The method with its errors turned into statuses; without one, a status that says so."""

    async def answer(request: Message, context: Context) -> Message:
        if method is None:
            await context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{name} is not part of this version of the control plane",
            )
        try:
            await admit(name, request, context)
            return await method(request)
        except RefusedError as error:
            code, text = error.code, error.text
        except CommandReusedError as error:
            code, text = grpc.StatusCode.ALREADY_EXISTS, str(error)
        except NotFoundError as error:
            code, text = grpc.StatusCode.NOT_FOUND, str(error)
        except WrongStateError as error:
            code, text = grpc.StatusCode.FAILED_PRECONDITION, str(error)
        except (CommandError, WireError, EntryTooLargeError) as error:
            code, text = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except NotSignedError as error:
            text = f"{error}; ask again what is to be signed"
            code = grpc.StatusCode.FAILED_PRECONDITION
        except LogUnavailableError as error:
            code, text = grpc.StatusCode.ABORTED, str(error)
        return await context.abort(code, text)

    return answer
