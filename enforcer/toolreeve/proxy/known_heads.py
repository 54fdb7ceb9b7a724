"""Heads that have been read before, byte for byte.

An agent begins every call with the same bytes, but for the number of its content-length, and a
server every answer, but for that and the time. What the parser and the rules for heads have let in
once they would let in again, and read alike: so a message that begins with a known head, and is
whole, need not be read a second time. Whose grant a request shows is asked each time, because
grants come and go.

A head of a request is kept only when a grant has been shown with it, so strangers fill nothing
here.
"""

import re
from collections.abc import Mapping
from typing import Final, Generic, Protocol, TypeVar

from toolreeve.proxy.http_request import HttpRequest

HEADS_MAX: Final = 1_024
ANSWERS_MAX: Final = 64
HEAD_BYTES_MAX: Final = 2_048
_DIGITS_MAX: Final = 9
_LENGTH: Final = re.compile(
    rb"\r\n[Cc]ontent-[Ll]ength: (0|[1-9][0-9]{0,%d})\r\n" % (_DIGITS_MAX - 1)
)
_DATE: Final = re.compile(rb"\r\n[Dd]ate: [0-9A-Za-z:, ]{29}(?=\r\n)")
_LENGTH_NAME: Final = b"content-length"
# With any of these a message is more than its head and so many bytes.
_NEVER: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade"})

_Key = tuple[int, bytes]
_Kept = TypeVar("_Kept")


def _split(data: bytes, head_bytes_max: int) -> tuple[_Key, int, int] | None:
    """Take apart what is one message with a body of a given length, and nothing more.

    The answer is its head but for the number, where its body begins, and how long that is.
    """
    found = _LENGTH.search(data, 0, head_bytes_max)
    if found is None:
        return None
    end = data.find(b"\r\n\r\n", found.end() - 2, head_bytes_max + 4)
    at, behind = found.span(1)
    length = int(data[at:behind])
    if end < 0 or len(data) != end + 4 + length:
        return None
    # Where the number stood belongs to the key: two heads must not become one without it.
    return (at, data[:at] + data[behind:end]), end + 4, length


class _Heads(Generic[_Kept]):
    """Forgets all of them when there are too many."""

    def __init__(self, heads_max: int) -> None:
        self._heads_max = heads_max
        self.by_key: dict[_Key, _Kept] = {}

    def __len__(self) -> int:
        return len(self.by_key)

    def put(self, key: _Key, kept: _Kept) -> None:
        if len(self.by_key) >= self._heads_max:
            self.by_key.clear()
        self.by_key[key] = kept


class _Known:
    """A head. Its requests share `headers` and `onward`, so neither is ever changed by them."""

    __slots__ = ("headers", "method", "onward", "target")

    def __init__(self, request: HttpRequest) -> None:
        self.method = request.method
        self.target = request.target
        self.headers = _without_length(request.headers)
        self.onward = request.onward


class KnownHeads:
    """The heads of requests to one listener."""

    def __init__(self, *, header_bytes_max: int, body_bytes_max: int) -> None:
        # A longer number makes a head longer; none that is kept is near the bound.
        self._head_bytes_max = min(HEAD_BYTES_MAX, header_bytes_max - _DIGITS_MAX)
        self._body_bytes_max = body_bytes_max
        self._heads: _Heads[_Known] = _Heads(HEADS_MAX)

    def __len__(self) -> int:
        return len(self._heads)

    def request(self, data: bytes, peer: str) -> HttpRequest | None:
        """The request that `data` is, where it is a whole one and no more, and its head is known.

        `data` must begin where a request may begin. Its caller has not been looked for.
        """
        split = _split(data, self._head_bytes_max)
        if split is None:
            return None
        key, body_at, length = split
        known = self._heads.by_key.get(key)
        if known is None or length > self._body_bytes_max:
            return None
        request = HttpRequest(peer)
        request.method = known.method
        request.target = known.target
        request.headers = known.headers
        request.onward = known.onward
        request.body = data[body_at:]
        return request

    def keep(self, data: bytes, request: HttpRequest) -> None:
        """Keep the head of a request that was let in, where `data` is this request and no more."""
        if request.caller is None or request.refused is not None or request.close:
            return
        split = _split(data, self._head_bytes_max)
        if split is not None and _is_plain(request.headers, split[2]):
            self._heads.put(split[0], _Known(request))


class KnownAnswer:
    """A head. Its responses share `headers` and `back`, so neither is ever changed by them."""

    __slots__ = ("back", "headers", "status")

    def __init__(self, response: "Answered") -> None:
        self.status = response.status
        self.headers = _without_length(response.headers)
        self.back: dict[object, bytes] = {}  # as written for a client


class Answered(Protocol):
    """An answer that was read."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...


class KnownAnswers:
    """The heads of answers of one upstream."""

    def __init__(self, header_bytes_max: int) -> None:
        self._head_bytes_max = min(HEAD_BYTES_MAX, header_bytes_max - _DIGITS_MAX)
        self._heads: _Heads[KnownAnswer] = _Heads(ANSWERS_MAX)

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, data: bytes) -> tuple[KnownAnswer, bytes] | None:
        """The head and the body that `data` is, where it is a whole answer and its head is known.

        `data` must begin where an answer may begin.
        """
        split = _split(data, self._head_bytes_max)
        if split is None:
            return None
        key, body_at, _ = split
        known = self._heads.by_key.get(key) or self._heads.by_key.get(_dateless(key))
        return None if known is None else (known, data[body_at:])

    def keep(self, data: bytes, response: Answered) -> None:
        """Keep the head of an answer behind which the connection was kept."""
        split = _split(data, self._head_bytes_max)
        if split is not None and _is_plain(response.headers, split[2]):
            self._heads.put(_dateless(split[0]), KnownAnswer(response))


def _dateless(key: _Key) -> _Key:
    return key[0], _DATE.sub(b"", key[1], 1)


def _is_plain(headers: Mapping[bytes, bytes], length: int) -> bool:
    """Whether a message was read as its head and so many bytes."""
    return headers.get(_LENGTH_NAME) == b"%d" % length and not headers.keys() & _NEVER


def _without_length(headers: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The length was this one's; the rest is every one's."""
    return {name: value for name, value in headers.items() if name != _LENGTH_NAME}
