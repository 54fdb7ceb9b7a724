"""`toolreeve policy sign` and `deliver`: a signing key that the control plane does not have.

What is to be signed goes through a file: asked for where there is a network, signed where the key
is, and delivered from where there is a network again.
"""

from __future__ import annotations

import base64
import binascii
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec
from msgspec import Struct

from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from toolreeve.policy.sign import PublicKey
    from toolreeve.v1 import fleet_pb2

COMMAND_SECONDS_MAX = 120.0
Method = Literal["PublishPolicy", "StartRollout"]
to_sign_option = click.option(
    "--to-sign",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write into this file what a key elsewhere is to sign, and change nothing.",
)


class ToSign(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. `request` is the serialised request of `method`, without its signatures."""

    method: Method
    request: bytes
    payloads: tuple[bytes, ...]
    signatures: tuple[bytes, ...] = ()
    public_key: str = ""


def write_to_sign(file: Path, method: Method, request: bytes, payloads: Sequence[bytes]) -> None:
    """Write the file, and say what comes next."""
    if not payloads:
        raise CommandError("nothing is to be signed", "it is in force already")
    _write(file, ToSign(method=method, request=request, payloads=tuple(payloads)))
    click.echo(
        f"{len(payloads)} to be signed: take {file} to the key, 'toolreeve policy sign {file}'"
        f" there, and 'toolreeve policy deliver {file}' here"
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An Ed25519 key as unencrypted PKCS#8 PEM, readable by you alone.",
)
@click.option(
    "--command",
    metavar="COMMAND",
    help="Signs its standard input: 64 bytes, or their base64. Needs --public-key.",
)
@click.option("--public-key", metavar="ed25519:BASE64", help="What COMMAND's signatures are for.")
@json_option
def sign(
    file: Path, *, key: Path | None, command: str | None, public_key: str | None, as_json: bool
) -> None:
    """Sign what FILE says, by a key in a file or by a command. Needs no network.

    Shows what is signed. Enforcers believe it that have the public half in `control.keys`.
    """
    from toolreeve.policy.sign import signed_bytes

    asked = _read(file)
    public, signing = _signer(key, command, public_key)
    signatures: list[bytes] = []
    for payload in asked.payloads:
        message = signed_bytes(payload)
        signature = signing(message)
        if not public.verifies(signature, message):
            raise CommandError(
                f"what came back is no signature of {public.text}", "check the key and the command"
            )
        signatures.append(signature)
    signed = msgspec.structs.replace(asked, signatures=tuple(signatures), public_key=public.text)
    _write(file, signed)
    rows = [_shown(payload) for payload in asked.payloads]
    if as_json:
        print_json({"public_key": public.text, "signed": rows})
        return
    print_rows(rows, ["server", "manifest", "revision", "for"], empty="", numeric=("manifest",))
    click.echo(f"signed by {public.text}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@service_option(Service.CONTROL)
@json_option
def deliver(*, file: Path, place: Place, as_json: bool) -> None:
    """Do what FILE asks for, now that it is signed."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    asked = _read(file)
    if len(asked.signatures) != len(asked.payloads):
        raise CommandError(
            f"{file} is not signed", f"run 'toolreeve policy sign {file}'", exit_code=BAD_INPUT
        )
    signed = _signed(asked)
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        if asked.method == "StartRollout":
            start = operator_pb2.StartRolloutRequest.FromString(asked.request)
            start.signed.extend(signed)
            begun = stub.StartRollout(start, timeout=ANSWER_SECONDS_MAX).rollout
            server, revision, rollout = begun.server, begun.revision, begun.rollout_id
            said = (
                f"{begun.rollout_id} has begun; follow it with"
                f" 'toolreeve rollout watch {begun.rollout_id}'"
            )
        else:
            publish = operator_pb2.PublishPolicyRequest.FromString(asked.request)
            publish.signed.extend(signed)
            answer = stub.PublishPolicy(publish, timeout=ANSWER_SECONDS_MAX)
            server, revision, rollout = publish.server, answer.revision, ""
            said = f"{publish.server} is to run {answer.revision}"
    if as_json:
        print_json({"server": server, "revision": revision, "rollout": rollout or None})
    else:
        click.echo(said)


def _signed(asked: ToSign) -> list[fleet_pb2.SignedManifest]:
    from toolreeve.policy.sign import PublicKey, attach
    from toolreeve.wire.envelope import write_envelope

    public = PublicKey.parse(asked.public_key)
    return [
        write_envelope(attach(payload, public, signature))
        for payload, signature in zip(asked.payloads, asked.signatures, strict=True)
    ]


def _signer(
    key: Path | None, command: str | None, public_key: str | None
) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    """The public half, and what signs."""
    from toolreeve.policy.sign import KeyTextError, PublicKey
    from toolreeve.runtime.keyfile import KeyFileError, load

    if (key is None) == (command is None) or (command is None) != (public_key is None):
        raise CommandError(
            "nobody is named who signs",
            "give --key, or --command with --public-key",
            exit_code=BAD_INPUT,
        )
    try:
        if key is not None:
            held = load(key)
            return held.public, held.sign
        assert command is not None
        assert public_key is not None
        words = shlex.split(command)
        return PublicKey.parse(public_key), lambda message: _ask(words, message)
    except (KeyFileError, KeyTextError) as error:
        problem, _, remedy = str(error).partition("; ")
        raise CommandError(problem, remedy or "check it", exit_code=BAD_INPUT) from error


def _ask(words: Sequence[str], message: bytes) -> bytes:
    try:
        ran = subprocess.run(
            words, input=message, capture_output=True, timeout=COMMAND_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"{words[0]} cannot be asked: {error}", "check the command") from error
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip().splitlines()
        raise CommandError(
            f"{words[0]} has failed: {said[-1] if said else ran.returncode}", "check the command"
        )
    if len(ran.stdout) == 64:
        return ran.stdout
    try:
        return base64.b64decode(ran.stdout.strip(), validate=True)
    except binascii.Error:
        return b""


def _shown(payload: bytes) -> dict[str, Any]:
    manifest: dict[str, Any] = msgspec.json.decode(payload)
    return {
        "server": manifest["server"],
        "manifest": manifest["sequence"],
        "revision": manifest["revision"],
        "for": manifest["cohort"] or "everybody",
    }


def _read(file: Path) -> ToSign:
    try:
        return msgspec.json.decode(file.read_bytes(), type=ToSign)
    except (OSError, msgspec.DecodeError) as error:
        raise CommandError(
            f"{file} cannot be read: {error}",
            "write it with 'toolreeve policy publish --to-sign' or 'rollout start --to-sign'",
            exit_code=BAD_INPUT,
        ) from error


def _write(file: Path, what: ToSign) -> None:
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(what), indent=2) + b"\n")
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror}", "choose another file"
        ) from error
