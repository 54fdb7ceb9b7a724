"""Brings the tree up, tells where everything is, and takes it down again."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from msgspec import Struct, structs

from toolreeve.cli.failure import CommandError, first_of
from toolreeve.cli.launch import parts, tell
from toolreeve.cli.launch.folder import Folder
from toolreeve.cli.launch.joining import join_all
from toolreeve.cli.launch.nats import nats_part
from toolreeve.cli.launch.tell import Running
from toolreeve.cli.launch.tree import Facts, Part, Tree
from toolreeve.cli.output import stdout_console
from toolreeve.runtime import log
from toolreeve.runtime.process import Stopping, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from toolreeve.cli.launch.toml import Value

GATEWAY_PORT = 8460
INTERRUPTED = 130


class Show(Protocol):
    """What a demo adds to the tree."""

    def prepare(self, folder: Folder) -> None:
        """Make the folder ready, before anything is started."""
        ...

    def part(self, folder: Folder) -> Part:
        """Return a process of its own."""
        ...

    def tables(self, folder: Folder, facts: Facts) -> Mapping[str, Value]:
        """Return the gateway's upstreams and grants, given the facts of the part."""
        ...

    def token(self, folder: Folder) -> str:
        """Return what a client of the user's own presents."""
        ...

    async def tell(self, folder: Folder, running: Running, console: Console) -> bool:
        """Do what is to be seen; return whether it went as it should."""
        ...


class Wish(Struct, frozen=True, kw_only=True):
    """What was asked for on the command line. `once`: end when the show is over."""

    root: Path
    port: int | None
    show: Show | None = None
    once: bool = False


def run_up(wish: Wish) -> int:
    """Run the tree until a signal, or with `once` until the show is over. Returns the exit code."""
    log.configure(process="up", level="warning", json_lines=False)
    folder = Folder(wish.root)
    with folder.locked():
        port = _gateway_port(wish, folder)
        if wish.show is not None:
            wish.show.prepare(folder)
        folder.make()
        try:
            return run(lambda stopping: _main(wish, folder, port, stopping))
        finally:
            folder.record.unlink(missing_ok=True)


async def _main(wish: Wish, folder: Folder, port: int, stopping: Stopping) -> int:
    console = stdout_console()
    try:
        async with Tree(restart=not wish.once) as tree:
            work = asyncio.create_task(_work(wish, folder, port, tree, console))
            stop = asyncio.create_task(stopping.wait())
            try:
                await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    return work.result()
                console.print("\nStopping.")
                return INTERRUPTED if wish.once else 0
            finally:
                for task in (work, stop):
                    task.cancel()
                await asyncio.gather(work, stop, return_exceptions=True)
    except ExceptionGroup as failures:
        raise _only_command_error(failures) from failures


async def _work(wish: Wish, folder: Folder, port: int, tree: Tree, console: Console) -> int:
    began = time.monotonic()
    tell.greeting(console)
    if wish.show is not None:
        running = await _start_with(wish.show, folder, port, tree)
    else:
        servers = parts.read_upstreams(folder)
        services = await _start_services(folder, tree)
        running = await _start_gateway(folder, port, tree, services, servers)
    _write_record(folder, running, tree)
    tree.restarted = lambda: _write_record(folder, running, tree)
    tell.parts(console, running, time.monotonic() - began)
    if wish.show is not None:
        went_well = await wish.show.tell(folder, running, console)
        if wish.once:
            return 0 if went_well else 1
    tell.how_to_use(console, folder, running)
    await asyncio.Event().wait()  # until a signal cancels this
    return 0


class _Services(Struct, frozen=True):
    """Facts of the parts that a gateway needs."""

    nats_url: str
    control: Facts
    worker: Facts


async def _start_services(folder: Folder, tree: Tree) -> _Services:
    nats_url = str((await tree.start(nats_part(folder)))["url"])
    control = await tree.start(parts.control_part(folder, nats_url))
    await asyncio.to_thread(join_all, folder, control)
    members = str(control["members_address"])
    worker = await tree.start(parts.worker_part(folder, nats_url, members))
    return _Services(nats_url, control, worker)


async def _start_gateway(
    folder: Folder, port: int, tree: Tree, services: _Services, servers: Mapping[str, Value]
) -> Running:
    gateway = await tree.start(
        parts.gateway_part(
            folder,
            nats_url=services.nats_url,
            control=str(services.control["members_address"]),
            keys=[str(services.control["public_key"])],
            listen=f"127.0.0.1:{port}",
            servers=servers,
        )
    )
    upstreams = servers.get("upstreams", {})
    assert isinstance(upstreams, dict)
    return Running(
        gateway_url=str(gateway["url"]),
        control=str(services.control["address"]),
        query=str(services.worker["query"]),
        nats=services.nats_url,
        servers=tuple(upstreams),
        authority=str(services.control["authority"]),
        token_file=str(services.control["token_file"]),
    )


async def _start_with(show: Show, folder: Folder, port: int, tree: Tree) -> Running:
    async with asyncio.TaskGroup() as starts:
        shown = starts.create_task(tree.start(show.part(folder)))
        services = starts.create_task(_start_services(folder, tree))
    tables = show.tables(folder, shown.result())
    running = await _start_gateway(folder, port, tree, services.result(), tables)
    return structs.replace(running, token=show.token(folder))


def _write_record(folder: Folder, running: Running, tree: Tree) -> None:
    folder.port.write_text(f"{urlsplit(running.gateway_url).port}\n", encoding="utf-8")
    folder.write_record(
        {
            "gateway_url": running.gateway_url,
            "control": running.control,
            "query": running.query,
            "nats": running.nats,
            "authority": running.authority,
            "token_file": running.token_file,
            "data": str(folder.root),
            "servers": {name: running.server_url(name) for name in running.servers},
            "pid": os.getpid(),
            "processes": tree.process_ids(),
        }
    )


def _gateway_port(wish: Wish, folder: Folder) -> int:
    """Return the port asked for, else that of last time, else ours, else 0 for any free one.

    Clients are configured with the gateway's URL, so it stays the same where it can.
    """
    if wish.port is not None:
        if not _is_free(wish.port):
            raise CommandError(
                f"something listens on 127.0.0.1:{wish.port} already", "choose another --port"
            )
        return wish.port
    try:
        wanted = int(folder.port.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        wanted = GATEWAY_PORT
    return wanted if _is_free(wanted) else 0


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _only_command_error(failures: ExceptionGroup[Exception]) -> Exception:
    """Return the first CommandError of a group that holds nothing else, or the group itself."""
    _, others = failures.split(CommandError)
    return first_of(failures) if others is None else failures
