"""`toolreeve audit proof`: shows anybody that one event stands in the history.

A proof holds the group that the event was written with, its place in the log of all histories, the
neighbouring hashes up to the tree's root, and the signed checkpoint that has this root. Checking it
takes this file and the worker's public key, and no service.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from toolreeve.audit import Position, fold, link
from toolreeve.audit.details import Details
from toolreeve.audit.event import event_id
from toolreeve.audit.merkle import included, leaf_hash
from toolreeve.audit.note import NamedKey, read_checkpoint, verify_note
from toolreeve.audit.seal import logged_text
from toolreeve.cli.failure import BAD_INPUT, FAILED, CommandError
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.reach import Place, Service, channel, service_option
from toolreeve.policy.sign import KeyTextError, PublicKey
from toolreeve.wire import WireError, unpack
from toolreeve.wire.lines import write_line

FORMAT = "toolreeve-proof/1"


class Proof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says. `group` in base64, `hashes` in hex from the leaf up."""

    format: str
    event_id: str
    group: str
    leaf_index: int
    hashes: tuple[str, ...]
    note: str
    public_key: str


class Shown(Struct, frozen=True, kw_only=True):
    """What a proof that holds has shown."""

    line: bytes
    leaf_index: int
    log: str
    size: int
    root: bytes


class ProofError(Exception):
    """The proof does not show what it says, for this reason."""


@click.command()
@click.argument("event", required=False)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the proof to a file."
)
@click.option(
    "--check",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Check a proof instead of asking for one; needs no service.",
)
@click.option("--key", "key", help="ed25519:...: the key of the worker, as its worker.pub says it.")
@service_option(Service.QUERY)
@json_option
@click.pass_context
def proof(
    ctx: click.Context,
    *,
    event: str | None,
    output: Path | None,
    file: Path | None,
    key: str | None,
    place: Place,
    as_json: bool,
) -> None:
    """Prove that EVENT (NAME:EPOCH:SEQUENCE) stands in the history, or check such a proof."""
    if (event is None) == (file is None):
        raise CommandError(
            "name an event, or a file to --check", "not both and not neither", exit_code=BAD_INPUT
        )
    if file is not None:
        _check(ctx, file, key, as_json=as_json)
        return
    assert event is not None
    found = _ask(place, event)
    text = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    try:
        shown(found, key)  # nobody is handed a proof that does not hold
    except ProofError as error:
        raise CommandError(
            f"the proof of {event} that came does not hold: {error}",
            "compare --key with worker.pub; if it is the right key, do not trust this worker",
        ) from error
    if output is None:
        click.echo(text.decode(), nl=False)
        return
    output.write_bytes(text)
    click.echo(f"the proof of {event} is in {output}")
    click.echo(f"check it with: toolreeve audit proof --check {output} --key {found.public_key}")


def shown(proof: Proof, key: str | None) -> Shown:
    """What the proof shows, believing `key`, else the key it names. Raises ProofError."""
    try:
        group = unpack(base64.b64decode(proof.group, validate=True))
        public = PublicKey.parse(key or proof.public_key)
        hashes = [bytes.fromhex(one) for one in proof.hashes]
        name = proof.note.partition("\n")[0]
        text, _ = verify_note(proof.note, [NamedKey(name, public.raw, public.verifies)])
        checkpoint = read_checkpoint(text)
    except (WireError, ValueError) as error:
        raise ProofError(f"{error}") from error
    first = Position(group.epoch, group.first_sequence)
    last = group.first_sequence + len(group.raws) - 1
    leaf = logged_text(group.enforcer, first, last, fold(group.previous_hash, group.raws))
    if not included(leaf_hash(leaf), proof.leaf_index, checkpoint.size, hashes, checkpoint.root):
        raise ProofError("its group does not stand in the tree that was signed")
    head = group.previous_hash
    for sequence, raw in enumerate(group.raws, group.first_sequence):
        head = link(head, raw)
        if event_id(group.enforcer, Position(group.epoch, sequence)) == proof.event_id:
            details = group.beside.get(sequence - group.first_sequence)
            return Shown(
                line=_line(raw, head, details),
                leaf_index=proof.leaf_index,
                log=checkpoint.origin,
                size=checkpoint.size,
                root=checkpoint.root,
            )
    raise ProofError(f"its group does not hold {proof.event_id}")


def _line(raw: bytes, head: bytes, details: Details | None) -> bytes:
    try:
        return write_line(raw, head, details)
    except WireError as error:
        raise ProofError(f"{error}") from error


def _ask(place: Place, event: str) -> Proof:
    from toolreeve.v1 import query_pb2 as pb
    from toolreeve.v1.query_pb2_grpc import QueryServiceStub

    with channel(place) as opened:
        answer = QueryServiceStub(opened).ProveEvent(pb.ProveEventRequest(event_id=event))
    return Proof(
        format=FORMAT,
        event_id=event,
        group=base64.b64encode(answer.group).decode(),
        leaf_index=answer.leaf_index,
        hashes=tuple(one.hex() for one in answer.hashes),
        note=answer.note,
        public_key="ed25519:" + base64.b64encode(answer.public_key).decode(),
    )


def _check(ctx: click.Context, file: Path, key: str | None, *, as_json: bool) -> None:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Proof)
        if key is not None:
            PublicKey.parse(key)
        if found.format != FORMAT:
            raise KeyTextError(f"it has format {found.format!r}, not {FORMAT!r}")  # noqa: TRY301
    except (OSError, msgspec.MsgspecError, KeyTextError) as error:
        raise CommandError(
            f"{file} is no proof: {error}", "ask for it again", exit_code=BAD_INPUT
        ) from error
    try:
        said = shown(found, key)
    except ProofError as error:
        if as_json:
            print_json({"holds": False, "event_id": found.event_id, "problem": str(error)})
        else:
            click.echo(f"{found.event_id}: the proof does not hold: {error}")
        ctx.exit(FAILED)
    if as_json:
        print_json(_plain(found, said))
        return
    click.echo(said.line.decode(), nl=False)
    where = f"place {said.leaf_index} of {said.size} in the log of {said.log}"
    click.echo(f"{found.event_id} stands at {where}, signed by {key or found.public_key}")
    if key is None:
        click.echo("that is the key which the proof itself names; compare it with worker.pub")


def _plain(found: Proof, said: Shown) -> dict[str, Any]:
    return {
        "holds": True,
        "event_id": found.event_id,
        "log": said.log,
        "leaf": said.leaf_index,
        "size": said.size,
        "root": said.root.hex(),
        "key": found.public_key,
        "event": msgspec.json.decode(said.line),
    }
