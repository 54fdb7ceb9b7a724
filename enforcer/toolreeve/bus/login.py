"""How a client proves itself to a NATS that is run by JWTs.

A login is asked for at every attempt to connect: the server cuts a session when its JWT ends, and
the next one begins with whatever has been renewed since.
"""

import base64
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from toolreeve.bus.error import BusError
from toolreeve.runtime.nkeys import Nkey, NkeyError
from toolreeve.runtime.private import PrivateFileError, read_private

_JWT = ("-----BEGIN NATS USER JWT-----", "------END NATS USER JWT------")
_SEED = ("-----BEGIN USER NKEY SEED-----", "------END USER NKEY SEED------")


class Login(Struct, frozen=True):
    """A user's JWT, and the seed of the key that it is over."""

    jwt: str
    seed: str

    def user_jwt(self) -> bytes:
        """What nats-py presents."""
        return self.jwt.encode()

    def signature(self, nonce: str) -> bytes:
        """What nats-py answers to the server's nonce with."""
        return base64.b64encode(Nkey.from_seed(self.seed).sign(nonce.encode()))


Ask = Callable[[], Login | None]


def nobody() -> None:
    """The login of a client that proves itself by its URL, or not at all."""


def login_file(path: Path) -> Ask:
    """Logins from a `.creds` file, read again at every attempt.

    Raises BusError where it cannot be used now.
    """

    def ask() -> Login:
        try:
            return _read(read_private(path).decode("ascii", "replace"))
        except PrivateFileError as error:
            raise BusError(f"{path}: {error.problem}", remedy=error.remedy) from error
        except (ValueError, NkeyError) as error:
            raise BusError(
                f"{path} is no file of NATS credentials: {error}", remedy="make it anew"
            ) from error

    ask()
    return ask


def write_login(login: Login) -> str:
    """A login as `.creds` files have it."""
    return "\n".join((_JWT[0], login.jwt, _JWT[1], "", _SEED[0], login.seed, _SEED[1], ""))


def _read(text: str) -> Login:
    lines = [line.strip() for line in text.splitlines()]
    try:
        login = Login(lines[lines.index(_JWT[0]) + 1], lines[lines.index(_SEED[0]) + 1])
    except (ValueError, IndexError) as error:
        raise ValueError("it has not both a JWT and a seed") from error
    Nkey.from_seed(login.seed)
    return login
