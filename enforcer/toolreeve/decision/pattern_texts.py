"""Texts near the bounds of a pattern: some that it may match, some that it may just not.

Reads the plain part of RE2's syntax and passes over the rest: whoever uses a text tries it first.
"""

TEXTS_MAX = 24
REPEAT_MAX = 200
CHARACTERS_MAX = 2_000
DEPTH_MAX = 40
_CLASSES = {"d": "1", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "n": "\n", "t": "\t"}


def texts_of(pattern: str) -> list[str]:
    """A few texts, the likeliest to match first; each varies one piece of the pattern."""
    reader = _Reader(pattern)
    found: list[str] = []
    while reader.place < len(pattern):
        found += reader.choices()
        reader.place += 1  # a bracket that closes nothing
    return list(dict.fromkeys(found or [""]))[:TEXTS_MAX]


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.place = 0
        self._depth = 0

    def choices(self) -> list[str]:
        """Everything up to the end, or up to the bracket that closes this group."""
        found = self._sequence()
        while self._next() == "|":
            self.place += 1
            found += self._sequence()
        return found[:TEXTS_MAX]

    def _sequence(self) -> list[str]:
        pieces: list[list[str]] = []
        while self._next() not in {"", "|", ")"}:
            pieces.append(self._repeated(self._piece()))
        found = ["".join(piece[0] for piece in pieces)]
        for index, piece in enumerate(pieces):
            before = "".join(one[0] for one in pieces[:index])
            after = "".join(one[0] for one in pieces[index + 1 :])
            found += [before + other + after for other in piece[1:]]
        return [text[:CHARACTERS_MAX] for text in found[:TEXTS_MAX]]

    def _piece(self) -> list[str]:
        """What one piece may stand for; never nothing at all."""
        mark = self._next()
        self.place += 1
        match mark:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                escaped = self._next()
                self.place += 1
                return [_CLASSES.get(escaped, "" if escaped in {"b", "A", "z"} else escaped)]
            case ".":
                return ["a"]
            case "^" | "$":
                return [""]
            case _:
                return [mark]

    def _group(self) -> list[str]:
        if self._next() == "?":
            while self._next() not in {"", ":", ">", ")"}:
                self.place += 1
            if self._next() in {":", ">"}:
                self.place += 1
        if self._depth == DEPTH_MAX:
            return [""]
        self._depth += 1
        found = self.choices()
        self._depth -= 1
        self.place += 1
        return found

    def _class(self) -> list[str]:
        end = self._pattern.find("]", self.place + 1)
        chosen = self._pattern[self.place : end if end >= 0 else len(self._pattern)]
        self.place = len(self._pattern) if end < 0 else end + 1
        if chosen.startswith("^"):
            return [next((one for one in "aA0-_ ~" if one not in chosen), "a")]
        if chosen.startswith("\\"):
            return [_CLASSES.get(chosen[1:2], chosen[1:2])]
        return list(dict.fromkeys([chosen[:1], chosen[-1:]])) if chosen else [""]

    def _repeated(self, piece: list[str]) -> list[str]:
        mark = self._next()
        if mark in {"*", "+", "?"}:
            self.place += 1
            if self._next() == "?":
                self.place += 1
            counts = {"*": (1, 0, 2), "+": (1, 2, 0), "?": (1, 0)}[mark]
            return [*(piece[0] * count for count in counts), *piece[1:]]
        if mark != "{":
            return piece
        end = self._pattern.find("}", self.place)
        low, _, high = self._pattern[self.place + 1 : end].partition(",")
        if end < 0 or not low.isdigit():
            return piece
        self.place = end + 1
        least = min(int(low), REPEAT_MAX)
        most = min(int(high), REPEAT_MAX) if high.isdigit() else least
        bounds = dict.fromkeys([least, most, most + 1, max(0, least - 1)])
        return [*(piece[0] * count for count in bounds), *(one * least for one in piece[1:])]

    def _next(self) -> str:
        return self._pattern[self.place : self.place + 1]
