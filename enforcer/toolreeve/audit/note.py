"""Signed notes and checkpoints, in the formats of C2SP (c2sp.org: signed-note, tlog-checkpoint).

A note is a text that ends in a newline, an empty line, and one line a signature:

    <origin>
    <size>
    <base64 of the root>

    — <name of the key> <base64 of (4 bytes of key id || 64 bytes of Ed25519)>

The three lines are a checkpoint: a log's name, how many leaves it has, and the root over them.
Tools that check Go's checksum database or Sigstore's logs read these too.
"""

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256

from msgspec import Struct

_ED25519 = b"\x01"
_MARK = "— "
_KEY_ID_BYTES = 4
_NOTE_CHARACTERS_MAX = 1_000_000
_SIGNATURES_MAX = 64


class NoteError(ValueError):
    """A text is not a note, or not one that a known key has signed."""


class Checkpoint(Struct, frozen=True):
    """How a log stood: `origin` is its name, `root` the Merkle root over `size` leaves."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], bool]
"""(signature, message) to whether it holds."""


class NamedKey(Struct, frozen=True):
    """A public key under the name it signs with, which holds no space and no plus sign."""

    name: str
    raw: bytes  # 32 bytes
    verifies: Verify

    @property
    def key_id(self) -> bytes:
        """The four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:_KEY_ID_BYTES]


def sign_note(text: str, key: NamedKey, sign: Sign) -> str:
    """The note with one signature. Raises ValueError where `text` is not whole lines."""
    if not text.endswith("\n") or "\n\n" in text:
        raise ValueError("a note's text is lines, none of them empty")
    return f"{text}\n{signature_line(text, key, sign)}"


def signature_line(text: str, key: NamedKey, sign: Sign) -> str:
    """One more signature for a note with this text, as a witness adds it."""
    signed = base64.b64encode(key.key_id + sign(text.encode())).decode()
    return f"{_MARK}{key.name} {signed}\n"


def verify_note(note: str, keys: Collection[NamedKey]) -> tuple[str, tuple[str, ...]]:
    """The note's text, and the names of the keys among `keys` that have signed it.

    Signatures of keys that nobody knows are passed over; a wrong signature by a known key, or
    none at all, raises NoteError.
    """
    text, signatures = _parts(note)
    known: Mapping[tuple[str, bytes], NamedKey] = {(key.name, key.key_id): key for key in keys}
    signers: list[str] = []
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        if not key.verifies(signature, text.encode()):
            raise NoteError(f"the signature of {name} does not hold")
        signers.append(name)
    if not signers:
        raise NoteError("no known key has signed this note")
    return text, tuple(signers)


def note_text(note: str) -> str:
    """The text of a note, whoever has signed it. Raises NoteError where it is no note."""
    return _parts(note)[0]


def read_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text; further lines are passed over. Raises NoteError."""
    origin, _, rest = text.partition("\n")
    size, _, rest = rest.partition("\n")
    encoded, _, _ = rest.partition("\n")
    if not origin or not size.isascii() or not size.isdigit() or (size != "0" and size[0] == "0"):
        raise NoteError("a checkpoint is a name, a size and a root, a line each")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("the root is not base64") from error
    if len(root) != sha256().digest_size:
        raise NoteError(f"the root has {len(root)} bytes, not 32")
    return Checkpoint(origin, int(size), root)


def _parts(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    if len(note) > _NOTE_CHARACTERS_MAX:
        raise NoteError("longer than any note")
    text, empty, tail = note.rpartition("\n\n")
    if not empty or not tail.endswith("\n"):
        raise NoteError("no empty line before the signatures, or no newline behind them")
    lines = tail[:-1].split("\n")
    if len(lines) > _SIGNATURES_MAX:
        raise NoteError(f"more than {_SIGNATURES_MAX} signatures")
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("a signature is not base64") from error
    if not line.startswith(_MARK) or not name or "+" in name or len(raw) <= _KEY_ID_BYTES:
        raise NoteError("a signature line is a dash, a name and a signature")
    return name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:]
