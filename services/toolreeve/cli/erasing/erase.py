"""`toolreeve audit erase`: a person's data taken out, and the history as provable as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolreeve.cli.commanding import actor_option, needed_reason_option
from toolreeve.cli.erasing.values import check_pointer, key_file_option, known, pointer_option
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.reach import Place, Service, channel, service_option

if TYPE_CHECKING:
    from pathlib import Path

    from toolreeve.v1 import query_pb2

SECONDS_MAX = 120.0


@click.command()
@click.option("--value", metavar="VALUE", help="Calls with this value: JSON, or a string as it is.")
@pointer_option
@key_file_option
@click.option("--grant", help="Calls that presented this grant.")
@click.option("--agent", help="Calls of this agent.")
@needed_reason_option
@actor_option
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
@service_option(Service.QUERY)
@json_option
def erase(
    *,
    value: str | None,
    pointer: str,
    key_files: tuple[Path, ...],
    grant: str | None,
    agent: str | None,
    reason: str,
    actor: str,
    dry_run: bool,
    place: Place,
    as_json: bool,
) -> None:
    """Erase what events hold of arguments: values, and hashes of them.

    The events stay, and `audit verify` tells them from events that somebody tampered with: who
    erased what, when and why is an event of its own. Gone are the values from the warehouse, its
    archive and its copies; the stream and the enforcers' outboxes keep theirs for as long as they
    keep anything.
    """
    from toolreeve.v1 import query_pb2, query_pb2_grpc

    chosen = [one for one in (value, grant, agent) if one]
    if len(chosen) != 1:
        raise CommandError(
            "name what is to be erased by one of --value, --grant and --agent",
            "erase by one after the other",
            exit_code=BAD_INPUT,
        )
    if value is None and (pointer or key_files):
        raise CommandError(
            "--pointer and --key-file belong to --value", "leave them out", exit_code=BAD_INPUT
        )
    request = query_pb2.EraseDetailsRequest(
        actor=actor,
        reason=reason,
        value=None if value is None else _value(value, pointer, key_files),
        dry_run=dry_run,
    )
    if grant:
        request.grant = grant
    if agent:
        request.agent = agent
    with channel(place) as opened:
        stub = query_pb2_grpc.QueryServiceStub(opened)
        answer = stub.EraseDetails(request, timeout=SECONDS_MAX)
    if as_json:
        print_json(
            {
                "erasure_id": answer.erasure_id or None,
                "events": answer.events,
                "done": answer.done,
                "in_the_chain": answer.in_the_chain,
            }
        )
    else:
        _tell(answer, dry_run=dry_run)
    if not (answer.done or dry_run):
        raise CommandError(
            f"erasure {answer.erasure_id} is on record, but not all of it is carried out yet",
            "it goes on by itself; see that the worker and NATS are well",
        )


def _value(value: str, pointer: str, key_files: tuple[Path, ...]) -> query_pb2.ErasedValue:
    from toolreeve.v1 import query_pb2

    check_pointer(pointer)
    found = known(value, key_files)
    return query_pb2.ErasedValue(
        text=found.text,
        pointer=pointer,
        hashes=[query_pb2.HashedValue(key_id=key, hash=hashed) for key, hashed in found.hashes],
    )


def _tell(answer: query_pb2.EraseDetailsResponse, *, dry_run: bool) -> None:
    events = "1 event" if answer.events == 1 else f"{answer.events} events"
    if dry_run:
        click.echo(f"the details of {events} would be erased")
    elif not answer.events:
        click.echo("there is nothing to erase")
    elif answer.done:
        click.echo(f"the details of {events} are erased (erasure {answer.erasure_id})")
    if answer.in_the_chain:
        click.echo(
            f"{answer.in_the_chain} more hold it in the chain itself, where nothing can be erased: "
            "alerts and holds that name the value, and decisions of older versions"
        )
