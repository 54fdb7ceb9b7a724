"""The key that a process vouches for its history with: made at its first start, kept with its data.

`NAME.pub` beside `NAME.key` says the public half in one line, so that a start need not load the
key, and an operator can write down what an auditor will ask for.
"""

import base64
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from toolreeve.runtime.settings import SettingsError

_SCHEME = "ed25519:"
_PUBLIC_BYTES = 32


class Identity(Struct, frozen=True):
    """A public key, and how to come by the means to sign with the other half."""

    public_key: bytes
    signer: Callable[[], Callable[[bytes], bytes]]


def identity(folder: Path, name: str) -> Identity:
    """The key `name` in this folder. Raises SettingsError where it cannot be used."""
    key_file, public_file = folder / f"{name}.key", folder / f"{name}.pub"
    public = _written_down(public_file)
    if public is None or not key_file.exists():
        public = _make(key_file, public_file)

    def signer() -> Callable[[bytes], bytes]:
        sign, other_half = _load(key_file)
        if other_half != public:
            raise SettingsError(
                str(public_file),
                f"it is not the public half of {key_file.name}",
                "delete it if the key is the right one; it is written again at the next start",
            )
        return sign

    return Identity(public, signer)


def _written_down(path: Path) -> bytes | None:
    try:
        text = path.read_text("ascii").strip()
        raw = base64.b64decode(text.removeprefix(_SCHEME), validate=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    if not text.startswith(_SCHEME) or len(raw) != _PUBLIC_BYTES:
        raise _unreadable(path)
    return raw


def _unreadable(path: Path) -> SettingsError:
    problem = f"it is not one line of {_SCHEME}<base64 of {_PUBLIC_BYTES} bytes>"
    return SettingsError(str(path), problem, "delete it; it is written again at the next start")


def _make(key_file: Path, public_file: Path) -> bytes:
    """Have a key, and write its public half down."""
    _, public = _load(key_file)
    partial = public_file.with_name(f"{public_file.name}.part")
    partial.write_text(f"{_SCHEME}{base64.b64encode(public).decode()}\n", "ascii")
    partial.replace(public_file)
    return public


def _load(path: Path) -> tuple[Callable[[bytes], bytes], bytes]:
    from toolreeve.runtime.keyfile import KeyFileError, load_or_create  # noqa: PLC0415  cryptography

    try:
        key, _ = load_or_create(path)
    except KeyFileError as error:
        raise SettingsError(str(error.path), error.problem, error.remedy) from error
    return key.sign, key.public.raw
