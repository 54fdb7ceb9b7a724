"""A policy's text as an operator sends it."""

import asyncio
from urllib.parse import quote

import grpc

from toolreeve.control.desk import RefusedError
from toolreeve.policy import Policy, PolicyTextError, parse

DETAILS_BYTES_MAX = 6_000
"""What a status may say, as it stands on the wire: peers refuse metadata of more than 8 kB."""


async def read_policy_text(text: bytes, *, source: str, bytes_max: int) -> Policy:
    """The policy in a text; `source` names it in complaints.

    Raises RefusedError where it is none, or too large.
    """
    if len(text) > 2 * bytes_max:
        raise _too_large(len(text), bytes_max)
    try:
        policy = await asyncio.to_thread(parse, text, source=source)
    except PolicyTextError as error:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, _shortened(error)) from error
    if len(policy.canonical) > bytes_max:
        raise _too_large(len(policy.canonical), bytes_max)
    return policy


def _too_large(size: int, bytes_max: int) -> RefusedError:
    return RefusedError(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"the policy has {size} bytes; at most {bytes_max} are taken (policy_bytes_max)",
    )


def _shortened(error: PolicyTextError) -> str:
    """All complaints, or as many as a status can carry and how many more there are."""
    lines: list[str] = []
    size = 0
    for complaint in map(str, error.complaints):
        size += len(quote(complaint)) + 3
        if size > DETAILS_BYTES_MAX:
            more = len(error.complaints) - len(lines)
            return "\n".join([*lines, f"({more} more; `toolreeve policy validate` says all)"])
        lines.append(complaint)
    return "\n".join(lines)
