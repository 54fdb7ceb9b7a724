"""Following a stream of answers until somebody presses Ctrl-C."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

T_co = TypeVar("T_co", covariant=True)


class Call(Protocol[T_co]):
    """A call whose answers come one by one, as gRPC's."""

    def __iter__(self) -> Iterator[T_co]: ...

    def cancel(self) -> object:
        """End it: whoever reads its answers is told."""
        ...


def until_interrupted(call: Call[T_co]) -> Iterator[T_co]:
    """The answers of a streaming call; Ctrl-C ends it, and then the command.

    An interrupt that comes while gRPC is at work may be swallowed there. So it cancels the call
    too, and whichever of the two is noticed first ends the loop.
    """
    import grpc

    asked = False

    def interrupted(*_: object) -> None:
        nonlocal asked
        asked = True
        call.cancel()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield from call
    except grpc.RpcError as error:
        if asked:
            raise click.Abort from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
