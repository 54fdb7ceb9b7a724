"""The standard health service of gRPC, as `grpc_health` offers it without types."""

from importlib import import_module
from typing import Any

from grpc import aio


class Health:
    """Says of a server and its services that they answer."""

    def __init__(self, server: aio.Server) -> None:
        health: Any = import_module("grpc_health.v1.health")
        self._messages: Any = import_module("grpc_health.v1.health_pb2")
        glue: Any = import_module("grpc_health.v1.health_pb2_grpc")
        self._servicer = health.aio.HealthServicer()
        glue.add_HealthServicer_to_server(self._servicer, server)

    async def serving(self, *services: str) -> None:
        """The server as a whole and each of `services` answer from now on."""
        for name in ("", *services):
            await self._servicer.set(name, self._messages.HealthCheckResponse.SERVING)

    async def ending(self) -> None:
        """Nothing answers any more; clients look elsewhere."""
        await self._servicer.enter_graceful_shutdown()
