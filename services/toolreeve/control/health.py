"""Health and reflection: gRPC's own services, of which gRPC ships no types."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Protocol

import grpc.aio

HEALTH_SERVICE = "grpc.health.v1.Health"
_PACKAGE = "grpc_health.v1"


class Health(Protocol):
    """What this process says of its services."""

    async def set(self, service: str, status: int) -> None: ...

    async def enter_graceful_shutdown(self) -> None: ...


def add_health(server: grpc.aio.Server) -> Health:
    """Serve `grpc.health.v1.Health`."""
    library: Any = import_module(f"{_PACKAGE}.health")
    registry: Any = import_module(f"{_PACKAGE}.health_pb2_grpc")
    servicer = library.aio.HealthServicer()
    registry.add_HealthServicer_to_server(servicer, server)
    health: Health = servicer
    return health


async def say_serving(health: Health, services: Iterable[str]) -> None:
    """Every one of `services` is served from now on, and so is the whole."""
    messages: Any = import_module(f"{_PACKAGE}.health_pb2")
    for service in ("", *services):
        await health.set(service, messages.HealthCheckResponse.SERVING)


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Tell tools like grpcurl which services there are and what they take."""
    library: Any = import_module("grpc_reflection.v1alpha.reflection")
    names = [*services, HEALTH_SERVICE, library.SERVICE_NAME]
    library.enable_server_reflection(names, server)
