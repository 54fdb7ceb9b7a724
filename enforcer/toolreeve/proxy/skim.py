"""What can be said of a long JSON-RPC message while it passes in pieces.

A result of a hundred megabytes is passed on without being held. What it is must still be known: an
answer and not a request, whose answer, and how the call ended by it. So the outer two levels of the
text are followed, key by key, and everything below them is only counted in and out of. Keys are
compared after their escapes are undone and without regard to case, because some readers disregard
it too.
"""

import re
from typing import Final

import msgspec

_WORD_BYTES_MAX: Final = 512
# The rest of a string up to its closing quote, or to the end of what there is.
_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_OUTER: Final = re.compile(rb'["{}\[\],:]')
# As much as can be stepped over at once: words, strings, and what is nested no deeper than twice.
# Nothing in it is ever tried in another way, so it takes as long as it is long.
_PLAIN: Final = rb'[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_LEAF: Final = rb"\{(?:%b)*+\}|\[(?:%b)*+\]" % (_PLAIN, _PLAIN)
_BRANCH: Final = rb"\{(?:%b|%b)*+\}|\[(?:%b|%b)*+\]" % (_PLAIN, _LEAF, _PLAIN, _LEAF)
_INNER: Final = re.compile(rb"(?:%b|%b)*+" % (_PLAIN, _BRANCH), re.DOTALL)

_QUOTE: Final = ord('"')
_OPENING: Final = frozenset(b"{[")
_CLOSING: Final = frozenset(b"}]")
_COLON: Final = ord(":")
_KEPT_OF_MESSAGE: Final = frozenset({"id"})
_KEPT_OF_RESULT: Final = frozenset({"iserror", "resulttype"})


class Skim:
    """Feed it a message from its first byte on; ask it at any time."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False  # what was fed last ended in the middle of an escape
        self._expects_key = False
        self._word: bytearray | None = None  # a key or a value that is being kept
        self._path = ["", ""]  # the keys under which the present place lies
        self.keys: set[str] = set()  # of the message itself
        self.result_keys: set[str] = set()
        self.values: dict[str, object] = {}
        self.strange = False  # not the object it should be; nothing said of it counts
        self.ended = False

    @property
    def key(self) -> str | None:
        """Its id as other messages name it; None while it is not known."""
        number = self.values.get("id")
        plain = isinstance(number, str) or (isinstance(number, int) and number is not True)
        return str(number) if plain and number is not False else None

    @property
    def is_answer(self) -> bool:
        """Whether it can be nothing but an answer, as far as it has come."""
        return (
            not self.strange and "method" not in self.keys and bool(self.keys & {"result", "error"})
        )

    @property
    def asks_its_client(self) -> bool:
        """Whether the answer is a question back."""
        return (
            "inputrequests" in self.result_keys or self.values.get("resulttype") == "input_required"
        )

    def feed(self, data: bytes) -> None:
        at, end = 0, len(data)
        if self._escaped and data:
            self._escaped = False
            self._keep(data[:1])
            at = 1
        while at < end:
            if self._in_string:
                at = self._string(data, at)
            elif self._depth > 2:
                at = self._depths(data, at)
            else:
                place = _OUTER.search(data, at)
                if place is None:
                    self._keep(data[at:])
                    return
                self._keep(data[at : place.start()])
                at = place.end()
                self._sign(data[place.start()])

    def _depths(self, data: bytes, at: int) -> int:
        """Go on to where the second level is reached again, or to the end of what there is."""
        depth = self._depth
        while depth > 2:
            place = _INNER.match(data, at)
            assert place is not None
            at = place.end() + 1
            if at > len(data):
                at = len(data)
                break
            sign = data[at - 1]
            if sign in _OPENING:
                depth += 1
            elif sign in _CLOSING:
                depth -= 1
            else:  # a string that goes on in the next piece
                self._in_string = True
                break
        self._depth = depth
        self._expects_key = False
        return at

    def _string(self, data: bytes, at: int) -> int:
        quote = data.find(b'"', at)
        stop = len(data) if quote < 0 else quote
        if data.find(b"\\", at, stop) >= 0:  # the quote may be an escaped one
            found = _STRING.match(data, at)
            assert found is not None
            stop = found.end()
        self._keep(data[at:stop])
        if stop == len(data):
            return stop
        if data[stop] == _QUOTE:
            self._in_string = False
            self._keep(b'"')
        else:
            self._escaped = True
            self._keep(b"\\")
        return stop + 1

    def _sign(self, sign: int) -> None:
        """Take one sign of the text's structure, outside of strings."""
        if sign == _QUOTE:
            self._in_string = True
            if self._expects_key and self._depth <= 2:
                self._word = bytearray()
            self._keep(b'"')
        elif sign in _OPENING:
            self._depth += 1
            self._word = None
            self._expects_key = self._depth <= 2
            if (self._depth == 1 and sign != ord("{")) or self.ended:
                self.strange = True
        elif sign in _CLOSING:
            self._value()
            self._depth -= 1
            self._expects_key = False
            self.ended = self.ended or self._depth == 0
        elif sign == _COLON:
            self._key()
        else:
            self._value()
            self._expects_key = self._depth <= 2

    def _key(self) -> None:
        word, self._word = self._word, None
        self._expects_key = False
        if not 1 <= self._depth <= 2:
            return
        name = "" if word is None else self._decoded(word)
        if not isinstance(name, str):
            self.strange = True
            name = ""
        name = self._path[self._depth - 1] = name.casefold()
        if self._depth == 1:
            self.keys.add(name)
            if name in _KEPT_OF_MESSAGE:
                self._word = bytearray()
        elif self._path[0] == "result":
            self.result_keys.add(name)
            if name in _KEPT_OF_RESULT:
                self._word = bytearray()

    def _value(self) -> None:
        word, self._word = self._word, None
        if not 1 <= self._depth <= 2 or word is None:
            return
        name = self._path[self._depth - 1]
        value = self._decoded(word)
        if name in self.values and self.values[name] != value:
            self.strange = True  # it stands twice, and readers would take one or the other
        self.values[name] = value

    def _decoded(self, word: bytearray) -> object:
        try:
            return msgspec.json.decode(word)
        except (msgspec.MsgspecError, UnicodeError):
            return None

    def _keep(self, data: bytes) -> None:
        if self._word is None or not data:
            return
        self._word += data
        if len(self._word) > _WORD_BYTES_MAX:
            self._word = None
