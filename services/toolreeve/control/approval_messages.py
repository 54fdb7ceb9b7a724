"""Approvals over signed HTTP messages, as the settings want them."""

import asyncio
from typing import NoReturn

import structlog

from toolreeve.control.approval_hook import ApprovalHook
from toolreeve.control.approval_inlet import ApprovalInlet
from toolreeve.control.approval_office import ApprovalOffice
from toolreeve.control.desk import Submitting
from toolreeve.control.settings import ApprovalHookSettings
from toolreeve.control.webhook_signature import SecretError, read_secret
from toolreeve.runtime.address import split_address
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.private import PrivateFileError, read_private
from toolreeve.runtime.settings import SettingsError

log = structlog.get_logger()


def attach(
    settings: ApprovalHookSettings | None,
    office: ApprovalOffice,
    submitting: Submitting,
    clock: Clock,
) -> None:
    """Have the office tell, and hear, what the settings say. Raises SettingsError."""
    if settings is None:
        return
    file = str(settings.secret_file)
    try:
        secret = read_secret(read_private(settings.secret_file).decode("ascii", "replace"))
    except PrivateFileError as error:
        raise SettingsError(file, error.problem, error.remedy) from error
    except SecretError as error:
        raise SettingsError(file, "the secret cannot be used", str(error)) from error
    if settings.url:
        hook = ApprovalHook(settings, secret, clock)
        office.listeners.append(hook.tell)
        office.beside.append(hook.run)
    if settings.listen:
        inlet = ApprovalInlet(submitting, secret, clock)
        host, port = split_address(settings.listen)
        office.beside.append(lambda: _listen(inlet, host, port))


async def _listen(inlet: ApprovalInlet, host: str, port: int) -> NoReturn:
    try:
        bound = await inlet.listen(host, port)
        log.info("approvals.listening", address=f"{host}:{bound}")
        await asyncio.Event().wait()
        raise AssertionError("nothing ends this but being cancelled")
    finally:
        inlet.close()
