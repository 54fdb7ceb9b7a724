"""The gateway as a process: puts the rooms together, and takes them down in order."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import NoReturn

import structlog
from msgspec import structs

from toolreeve.gateway.answering import child_bounds, pace_of
from toolreeve.gateway.descriptors import bounded_by_descriptors
from toolreeve.gateway.enforcing import Running, enforcing
from toolreeve.gateway.naming import name_of
from toolreeve.gateway.settings import GatewaySettings, UpstreamSettings
from toolreeve.gateway.station import Station
from toolreeve.proxy.bridge import Bridge, BridgeBounds
from toolreeve.proxy.child import child_environment
from toolreeve.proxy.endpoint import Endpoint
from toolreeve.proxy.exchange import Upstream
from toolreeve.proxy.http_client import UpstreamBounds
from toolreeve.proxy.http_request import HeadRules
from toolreeve.proxy.http_server import HttpListener
from toolreeve.proxy.relay import HttpUpstream
from toolreeve.proxy.translating import Translating
from toolreeve.runtime.address import split_address
from toolreeve.runtime.process import Stopping, write_ready_file

log = structlog.get_logger()

PUT_OUT_SECONDS = 0.5  # how long a stream outlives its grant at most
PING_SECONDS = 15.0  # between signs of life on a stream while its server is silent


async def serve(settings: GatewaySettings, stopping: Stopping) -> int:
    """Run a gateway until it is asked to end; returns the process's exit code.

    Raises SettingsError, PolicyTextError for a policy file that cannot be taken, OutboxError where
    the outbox cannot be used, and OSError where the address cannot be bound.
    """
    settings.check("settings")
    settings = structs.replace(settings, enforcer=name_of(settings.data, settings.enforcer))
    async with enforcing(settings, stopping) as running, _listening(settings, running) as address:
        facts: dict[str, object] = {
            "address": address,
            "url": f"http://{address}",
            "enforcer": settings.enforcer,
            "servers": list(settings.upstreams),
        }
        write_ready_file(settings.ready_file, facts)
        log.info("gateway.ready", **facts)
        await stopping.wait()
    return 0


@asynccontextmanager
async def _listening(settings: GatewaySettings, running: Running) -> AsyncGenerator[str, None]:
    """Answer on the settings' address; calls under way get their time when it is over."""
    upstreams = {
        name: Translating(
            _upstream(name, upstream, running.station, settings),
            name,
            offer_stateless=upstream.offer_stateless,
        )
        for name, upstream in settings.upstreams.items()
    }
    bounds = bounded_by_descriptors(settings.http)
    host, wanted = split_address(settings.listen)
    rules = HeadRules(bounds, hosts=settings.hosts, origins=settings.origins)
    endpoint = Endpoint(
        running.station, upstreams, streams_per_grant_max=bounds.streams_per_grant_max
    )
    listener = HttpListener(endpoint, rules, bounds)
    putting_out = asyncio.create_task(_put_out(endpoint), name="put out")
    try:
        port = await listener.listen(host, wanted)
        yield f"{host}:{port}"
    finally:
        putting_out.cancel()
        await running.station.approving.close()
        await listener.close()
        await _close_all(upstreams)


async def _put_out(endpoint: Endpoint) -> NoReturn:
    while True:
        await asyncio.sleep(PUT_OUT_SECONDS)
        endpoint.put_out()


async def _close_all(upstreams: Mapping[str, Upstream]) -> None:
    await asyncio.gather(*(upstream.close() for upstream in upstreams.values()))


def _upstream(
    name: str, upstream: UpstreamSettings, station: Station, settings: GatewaySettings
) -> Upstream:
    answers = settings.answers
    if upstream.url is not None:
        bounds = UpstreamBounds(
            head_seconds_max=settings.call_seconds_max,
            whole_seconds_max=settings.call_seconds_max,
            silence_seconds_max=answers.silence_seconds_max,
            answer_bytes_max=answers.bytes_max,
            answer_seconds_max=answers.seconds_max,
            pace=pace_of(answers),
        )
        return HttpUpstream(name, upstream.url, station, headers=upstream.headers, bounds=bounds)
    assert upstream.command is not None, "settings.check has seen to it"
    return Bridge(
        name,
        upstream.command,
        station,
        environ=child_environment(os.environ, upstream.environment),
        cwd=upstream.directory,
        bounds=BridgeBounds(
            answer_seconds_max=answers.seconds_max,
            silence_seconds_max=answers.silence_seconds_max,
            ping_seconds=min(PING_SECONDS, answers.silence_seconds_max),
        ),
        child_bounds=child_bounds(answers),
    )
