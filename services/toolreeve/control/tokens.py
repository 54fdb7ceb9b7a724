"""Tokens: made here, said once, and known by an id and a sha256 ever after.

`toolreeve_op_ID_SECRET` is an operator's, `toolreeve_join_ID_SECRET` lets a member join. 32 bytes
of chance need no slow hash.
"""

import re
import secrets
from hashlib import sha256

from msgspec import Struct

from toolreeve.fleet.identity_commands import Proof

OPERATOR = "op"
JOIN = "join"
_TOKEN = re.compile(r"toolreeve_(op|join)_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32


class Token(Struct, frozen=True):
    """A token's text, and what is remembered of it."""

    text: str
    proof: Proof


def new_token(kind: str, command_id: str) -> Token:
    """A new token. Its id follows from the command's: a repeated command is recognised by it."""
    token_id = sha256(f"{kind}:{command_id}".encode()).hexdigest()[:16]
    text = f"toolreeve_{kind}_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return Token(text, _proof(token_id, text))


def proof_of(text: str, kind: str) -> Proof | None:
    """What a presented text proves; None where it does not have the form of such a token."""
    found = _TOKEN.fullmatch(text)
    if found is None or found[1] != kind:
        return None
    return _proof(found[2], text)


def _proof(token_id: str, text: str) -> Proof:
    return Proof(token_id=token_id, digest=sha256(text.encode()).digest())
