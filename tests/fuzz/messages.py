"""Messages to read: out of a grammar that likes the places where readers differ, and damaged ones.

Everything comes from one seed, so a run can be made again.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.damage import damaged_bytes

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "fuzz"

PIECES: dict[str, Any] = json.loads((FIXTURES / "pieces.json").read_text(encoding="utf-8"))
NUMBERS: list[str] = PIECES["numbers"]
STRINGS: list[str] = PIECES["strings"]
WORDS: list[str] = PIECES["words"]
KEYS: list[str] = PIECES["keys"]
ODD_KEYS: list[str] = PIECES["odd_keys"]
TWINS: list[list[str]] = PIECES["twins"]
METHODS: list[str] = PIECES["methods"]
IDS: list[str] = PIECES["ids"]
ODD_IDS: list[str] = PIECES["odd_ids"]
SPACES: list[str] = PIECES["spaces"]
PLAIN = NUMBERS[:12]


def named_cases() -> list[dict[str, Any]]:
    """The tricky inputs that are kept: `case`, `raw` and what is `expected` of each."""
    found: list[dict[str, Any]] = []
    for line in (FIXTURES / "messages.jsonl").read_text(encoding="utf-8").splitlines():
        kept = json.loads(line)
        raw = bytes.fromhex(kept["hex"]) if "hex" in kept else kept["text"].encode()
        found.append({"case": kept["case"], "raw": raw, "expected": kept["expected"]})
    return found


class Messages:
    """An endless row of inputs, the same for the same seed."""

    def __init__(self, seed: int, kept: Sequence[bytes]) -> None:
        self._chance = random.Random(seed)
        self._kept = kept
        self._recent: list[bytes] = list(kept)
        self._oddity = 0.0  # how likely each part is an odd one
        self._gap = ("", "")

    def next(self) -> bytes:
        """One more input."""
        chance = self._chance
        if chance.random() < 0.35:
            return damaged_bytes(chance, chance.choice(self._recent), self._kept)
        self._oddity = chance.choice((0.0, 0.01, 0.03, 0.1))
        self._gap = chance.choice((("", ""), ("", ""), ("", " "), (" ", "\n ")))
        text = self._message() if chance.random() < 0.75 else self._value(0)
        if chance.random() < self._oddity:
            text = (
                chance.choice(SPACES) + text + chance.choice(("", *SPACES, "x", "\x00", "{}", ","))
            )
        raw = text.encode("utf-8", "surrogatepass")
        if len(raw) < 400:
            self._recent[chance.randrange(len(self._recent))] = raw
            if chance.random() < 0.05:
                self._recent[chance.randrange(len(self._recent))] = chance.choice(self._kept)
        return raw

    def _message(self) -> str:
        chance = self._chance
        method = self._one(METHODS, STRINGS)
        members = [('"jsonrpc"', '"2.0"' if not self._odd() else self._value(2))]
        if chance.random() < 0.85:
            members.append(('"id"', self._one(IDS, ODD_IDS)))
        if chance.random() < 0.85:
            members.append(('"method"', method))
            if chance.random() < 0.85:
                members.append(('"params"', self._params()))
        elif chance.random() < 0.9:
            members.append((chance.choice(('"result"', '"error"')), self._value(1)))
        while chance.random() < 0.15:
            members.append((self._key(), self._value(1)))
        return self._object(members)

    def _params(self) -> str:
        chance = self._chance
        if self._odd():
            return self._value(1)
        members: list[tuple[str, str]] = []
        if chance.random() < 0.85:
            members.append(('"name"', self._one(('"vm_restart"', '"a"', '"vm_stop"'), STRINGS)))
        if chance.random() < 0.8:
            inside = [(self._key(), self._value(2)) for _ in range(chance.randint(0, 3))]
            members.append(('"arguments"', self._object(inside)))
        while chance.random() < 0.2:
            members.append((self._key(), self._value(2)))
        return self._object(members)

    def _value(self, depth: int) -> str:
        chance = self._chance
        pick = chance.random() * (1.0 if depth < 5 else 0.7)
        if pick < 0.3:
            if chance.random() < 0.3:
                return self._drawn_number()
            return self._one(PLAIN, NUMBERS)
        if pick < 0.6:
            return self._one(STRINGS[:8], STRINGS)
        if pick < 0.7:
            return self._one(WORDS[:3], WORDS)
        count = chance.choice((0, 1, 1, 2, 2, 3))
        if pick < 0.85:
            inside = f",{self._gap[1]}".join(self._value(depth + 1) for _ in range(count))
            return f"[{self._gap[0]}{inside}]"
        return self._object([(self._key(), self._value(depth + 1)) for _ in range(count)])

    def _drawn_number(self) -> str:
        chance = self._chance
        match chance.randrange(5):
            case 0:
                return repr(chance.uniform(-1e6, 1e6))
            case 1:
                return str(chance.getrandbits(chance.randint(1, 66)) * chance.choice((1, -1)))
            case 2:
                return f"{chance.getrandbits(70)}e{chance.randint(-330, 310)}"
            case 3:
                return f"{chance.getrandbits(60)}.{chance.getrandbits(60)}"
            case _:
                return str(2**53 + chance.randint(-3, 3))

    def _object(self, members: list[tuple[str, str]]) -> str:
        chance = self._chance
        if len(members) > 1 and chance.random() < 0.3:
            chance.shuffle(members)
        if members and self._odd():
            twice = [chance.choice(members)[0]] if self._odd() else chance.choice(TWINS)
            for key in twice:
                members.insert(chance.randint(0, len(members)), (key, self._value(3)))
        before, after = self._gap
        written = ",".join(f"{before}{key}:{after}{value}{before}" for key, value in members)
        if self._odd():
            written += chance.choice((",", *SPACES))
        return "{" + written + "}"

    def _key(self) -> str:
        return self._one(KEYS, ODD_KEYS)

    def _one(self, usual: Sequence[str], odd: Sequence[str]) -> str:
        return self._chance.choice(odd if self._odd() else usual)

    def _odd(self) -> bool:
        return self._chance.random() < self._oddity
