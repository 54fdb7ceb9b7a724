"""Where the services are, and what to say when they are not."""

from __future__ import annotations

import functools
import json
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
from msgspec import Struct

from toolreeve.cli.access import Access, access_to, open_channel, read_login
from toolreeve.cli.failure import BAD_INPUT, CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import grpc

P = ParamSpec("P")
R = TypeVar("R")

ANSWER_SECONDS_MAX = 10.0
PLAINTEXT = "plaintext:"
"""Before an address: nothing is encrypted and no token is shown, whatever else is known."""


class Service(Enum):
    """A service that commands speak to: its name for people, its option, its default address."""

    CONTROL = ("control plane", "control", "127.0.0.1:8461")
    QUERY = ("query service", "query", "127.0.0.1:8462")

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def option(self) -> str:
        return self.value[1]

    @property
    def default(self) -> str:
        return self.value[2]

    @property
    def role(self) -> str:
        """What its certificate calls it."""
        return "control" if self is Service.CONTROL else "worker"


class Place(Struct, frozen=True):
    """An address and how it was found, which an error tells. `access` None: in the clear."""

    service: Service
    address: str
    found: str
    access: Access | None = None


def default_data() -> Path:
    """Return where `toolreeve up` keeps its data unless told otherwise."""
    import platformdirs

    return platformdirs.user_data_path("toolreeve", appauthor=False)


def data_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add --data, the folder of a `toolreeve up`, to a command."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="TOOLREEVE_UP_DATA",
        show_envvar=True,
        help=f"Folder of the 'toolreeve up' meant.  [default: {_home(default_data())}]",
    )(command)


def service_option(service: Service) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a command the Place of a service as its argument `place`.

    The address is --control or --query, else the environment's TOOLREEVE_CONTROL or
    TOOLREEVE_QUERY, else that of the `toolreeve up` whose data folder is meant, else the default.
    """

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def with_place(*args: Any, data: Path | None, **options: Any) -> R:
            address = options.pop(service.option)
            return command(*args, place=find(service, address, data), **options)

        option = click.option(
            f"--{service.option}",
            metavar="HOST:PORT",
            envvar=f"TOOLREEVE_{service.option.upper()}",
            show_envvar=True,
            help=f"Where the {service.title} listens.",
        )
        return option(data_option(with_place))

    return decorate


def find(service: Service, address: str | None, data: Path | None) -> Place:
    """Return where a service is said to be. Nobody has spoken to it yet."""
    record = _record(data or default_data())
    if address is not None:
        facts: dict[str, Any] = {}
        with suppress(OSError, ValueError):  # it may know whom to expect there
            facts = json.loads(record.read_text(encoding="utf-8"))
        found = f"from --{service.option} or the environment"
        return _accessed(service, address, found, facts)
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        written = str(facts[service.option])
    except FileNotFoundError:
        if data is not None:
            raise CommandError(
                f"no 'toolreeve up' is running on {data}",
                f"start it with 'toolreeve up --data {data}'",
            ) from None
        login = read_login() if service is Service.CONTROL else None
        if login is not None:
            return _accessed(service, login.address, "from 'toolreeve operator login'", {})
        return _accessed(service, service.default, "the default address", {})
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"{record} cannot be read: {error}",
            f"delete it, or say where the {service.title} is with --{service.option}",
            exit_code=BAD_INPUT,
        ) from error
    return _accessed(service, written, f"from {_home(record)}", facts)


def _accessed(service: Service, address: str, found: str, facts: dict[str, Any]) -> Place:
    """The place with what is to be shown there."""
    if address.startswith(PLAINTEXT):
        return Place(service, address.removeprefix(PLAINTEXT), found)
    return Place(service, address, found, access_to(address, service.option, facts))


def is_up(data: Path) -> bool:
    """Whether a folder is that of a `toolreeve up`."""
    return _record(data).exists()


def _record(data: Path) -> Path:
    """Return the record of the `toolreeve up` on a folder, else that of the demo inside it."""
    own, demo = data / "up.json", data / "demo" / "up.json"
    return demo if demo.exists() and not own.exists() else own


@contextmanager
def channel(place: Place) -> Generator[grpc.Channel]:
    """Open a channel to a service, and turn what gRPC raises into what a person can act on."""
    import grpc

    with open_channel(place.address, place.service.role, place.access) as opened:
        try:
            yield opened
        except grpc.RpcError as error:
            raise explain(place, error) from error


def explain(place: Place, error: grpc.RpcError) -> CommandError:
    """Return the error to end a command with. A service's own words come through as they are."""
    import grpc

    code = error.code()
    details = error.details() or str(error)
    if code is grpc.StatusCode.UNAVAILABLE and place.access is not None:
        return CommandError(
            f"no {place.service.title} of the authority that is believed answers at"
            f" {place.address} ({place.found})",
            "see that it runs; if its authority has changed, log in again; one that speaks in the"
            f" clear is called by --{place.service.option} {PLAINTEXT}{place.address}",
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return CommandError(
            f"no {place.service.title} answers at {place.address} ({place.found})",
            f"start one with 'toolreeve up', or point to it with --{place.service.option} "
            f"HOST:PORT or TOOLREEVE_{place.service.option.upper()}",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CommandError(
            f"the {place.service.title} at {place.address} did not answer in time",
            "look at its log, and try again",
        )
    problem, separator, remedy = details.partition("; ")
    said = f"the {place.service.title} at {place.address} says: {problem}"
    bad_input = code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE)
    return CommandError(
        problem if bad_input else said,
        remedy if separator else ("change it and try again" if bad_input else "see its log"),
        exit_code=BAD_INPUT if bad_input else 1,
    )


def _home(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
