"""One request of a client without a session, under way in a session that the enforcer holds.

A server with sessions asks its questions in the middle of a request. A client without one is asked
by the answer, and asks again with what it was asked for. Between the two the server's request waits
here, known by a word that only its client was told.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from toolreeve.proxy.era_words import (
    ASKING,
    CLIENT_CAPABILITIES_META,
    LEVELS,
    LOG,
    LOG_LEVEL_META,
    QUESTIONS,
    Object,
    object_in,
    with_token,
)
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.message import Message
from toolreeve.proxy.own_requests import OwnRequest, Said
from toolreeve.proxy.seen import progress_token
from toolreeve.proxy.shapes import is_object

_OF_ONE_ROUND: Final = frozenset({"_meta", "inputResponses", "requestState"})

_encode = msgspec.json.Encoder().encode


class Question(msgspec.Struct, frozen=True):
    """What a server asks a client; `id` is the server's."""

    id: int | str
    method: str
    params: Object


class Talk:
    """A request and what belongs to it. `follow` it with one exchange after the other."""

    def __init__(self, number: int, message: Message, request: OwnRequest, grant: str) -> None:
        self.number = number  # its id in the session
        self.method = message.method
        self.grant = grant
        self.request = request
        self.task: asyncio.Task[None] | None = None
        self.questions: dict[str, Question] = {}  # that wait for the client, by our keys
        self.answered = False
        self._asked = 0
        self._target = _target(message.params)
        self._token: object = None
        self._level: str | None = None
        self._declared: Mapping[str, object] = {}
        self.follow(message)

    def follow(self, message: Message) -> None:
        """Go on under this message of the client's: its token, its level, what it can be asked."""
        meta = message.meta
        self._token = meta.get("progressToken")
        level = meta.get(LOG_LEVEL_META)
        self._level = level if isinstance(level, str) and level in LEVELS else None
        self._declared = object_in(meta.get(CLIENT_CAPABILITIES_META))

    def is_same(self, exchange: Exchange) -> bool:
        """Whether a request goes on with this one, and does not only know its word."""
        message = exchange.message
        return (
            message is not None
            and exchange.caller.grant == self.grant
            and message.method == self.method
            and _target(message.params) == self._target
        )

    def note(self, said: Said) -> bytes | None:
        """A notification as its client is to get it; None where it is not to."""
        if said.seen.method == LOG:
            return said.raw if self._wants(said) else None
        token = progress_token(said.seen)
        if token is None or self._token is None or str(token) != str(self.number):
            return None
        return with_token(said.raw, self._token)

    def _wants(self, said: Said) -> bool:
        level = params_of(said).get("level")
        if self._level is None or not isinstance(level, str) or level not in LEVELS:
            return False
        return LEVELS.index(level) >= LEVELS.index(self._level)

    def may_be_asked(self, method: str) -> bool:
        """Whether the client has said that it answers this, and can be asked by now."""
        return self.method in ASKING and QUESTIONS.get(method, "") in self._declared

    def ask(self, said: Said) -> None:
        number, method = said.seen.id, said.seen.method
        assert isinstance(number, int | str)
        assert isinstance(method, str)
        self._asked += 1
        key = f"{QUESTIONS[method]}-{self._asked}"
        self.questions[key] = Question(number, method, params_of(said))

    def withdraw(self, number: object) -> None:
        """The server does not want to know any more."""
        for key, question in tuple(self.questions.items()):
            if str(question.id) == str(number):
                del self.questions[key]

    def questions_asked(self, id_json: str, state: str) -> bytes:
        """The answer that asks the client, and tells it the word to come back with."""
        asked: Object = {
            key: {"method": question.method, "params": question.params}
            for key, question in self.questions.items()
        }
        result = {"resultType": "input_required", "inputRequests": asked, "requestState": state}
        return _encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_json.encode()), "result": result})

    def answers(self, message: Message) -> list[tuple[Question, Object]]:
        """What the client has answered by now; those questions wait no more."""
        given = object_in(message.params.get("inputResponses"))
        answered: list[tuple[Question, Object]] = []
        for key, question in tuple(self.questions.items()):
            response = given.get(key)
            if is_object(response):
                plain = {k: v for k, v in response.items() if k != "resultType"}
                answered.append((question, plain))
                del self.questions[key]
        return answered


def _target(params: Mapping[str, object]) -> Object:
    return {key: value for key, value in params.items() if key not in _OF_ONE_ROUND}


def params_of(said: Said) -> Object:
    """The parameters of a server's request or notification."""
    if not isinstance(said.seen.params, msgspec.Raw):
        return {}
    try:
        return object_in(msgspec.json.decode(said.seen.params))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
