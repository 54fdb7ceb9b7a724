"""Channels to a control plane: with a certificate, with none, or, where that is said, in the clear.

Whoever calls by a certificate's authority does not ask what a host is called: every control plane
carries one and the same name, which no member's certificate has.
"""

import grpc
import grpc.aio

from toolreeve.runtime.credentials import Credentials


def member_channel(
    address: str, credentials: Credentials | None, options: list[tuple[str, int]]
) -> grpc.aio.Channel:
    """A channel that proves who we are; in the clear without credentials."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(
        address,
        grpc.ssl_channel_credentials(
            credentials.authorities.encode(), credentials.key.encode(), credentials.chain.encode()
        ),
        options=[*options, ("grpc.ssl_target_name_override", credentials.control_name)],
    )
