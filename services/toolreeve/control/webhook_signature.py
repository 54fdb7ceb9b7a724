"""Signed messages over HTTP, by the Standard Webhooks specification: an id, a time, and an HMAC.

Pure: whoever signs or checks says what time it is.
"""

import base64
import binascii
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac

SECRET_PREFIX = "whsec_"  # noqa: S105  (by which secrets of this kind are known)
SECRET_BYTES_MIN = 24
SECONDS_APART_MAX = 300
"""A message of another time is not believed, so that nobody can keep one for later."""
ID_MAX = 128


class SecretError(ValueError):
    """A secret that is none, or is too short to be one."""


def read_secret(text: str) -> bytes:
    """The secret behind `whsec_`, base64. Raises SecretError."""
    try:
        secret = base64.b64decode(text.strip().removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise SecretError("it is no base64; write whsec_ and 24 to 64 random bytes") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise SecretError(f"it has {len(secret)} bytes; use at least {SECRET_BYTES_MIN}")
    return secret


def sign(secret: bytes, message_id: str, seconds: int, body: bytes) -> str:
    """The signature of a message, as it stands in `webhook-signature`."""
    signed = b"%b.%d.%b" % (message_id.encode(), seconds, body)
    return "v1," + base64.b64encode(hmac(secret, signed, sha256)).decode()


def problem_of(
    secret: bytes, *, message_id: str, timestamp: str, signatures: str, body: bytes, now: int
) -> str:
    """Why a message is not believed; empty where it is. `now` is in seconds."""
    if not 0 < len(message_id) <= ID_MAX or not message_id.isascii() or "." in message_id:
        return "webhook-id is missing, or is none"
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > len(str(now)) + 1:
        return "webhook-timestamp is missing, or is no time in seconds"
    wanted = sign(secret, message_id, int(timestamp), body)
    if not any(compare_digest(one.encode(), wanted.encode()) for one in signatures.split(" ")[:8]):
        return "webhook-signature is not that of our secret"
    if abs(int(timestamp) - now) > SECONDS_APART_MAX:
        return "webhook-timestamp is too far from our time"
    return ""
