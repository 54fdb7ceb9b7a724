"""A subscription in the stateless era: what it needs leave for, and what it hears from us."""

from collections.abc import Callable
from typing import Final

from toolreeve.proxy.announcing import tools_changed
from toolreeve.proxy.audience import Audience, Ear
from toolreeve.proxy.message import SUBSCRIBE, Message
from toolreeve.proxy.shapes import is_object

_RESOURCES_SUBSCRIBE: Final = "resources/subscribe"


def methods_needed(message: Message) -> tuple[str, ...]:
    """The methods that must be allowed for a request to pass.

    To subscribe to resources was a method of its own before it became a part of another one; what
    a policy says of it holds on.
    """
    if message.method == SUBSCRIBE:
        wanted = message.params.get("notifications")
        if is_object(wanted) and wanted.get("resourceSubscriptions"):
            return (message.method, _RESOURCES_SUBSCRIBE)
    return (message.method,)


class Subscription:
    """One to changes of the tools. Nothing is announced before it is acknowledged.

    `put` takes announcements for the client that subscribed with the request `id_json`.
    """

    def __init__(self, audience: Audience, id_json: str, put: Callable[[bytes], None]) -> None:
        self._audience = audience
        self._announcement = tools_changed(id_json)
        self._put = put
        self._acknowledged = False
        self._due = False
        self._ear = Ear(self._tell)
        audience.join(self._ear)

    def acknowledged(self) -> None:
        """The client has been told, or is told next, that it is subscribed."""
        self._acknowledged = True
        if self._due:
            self._tell()

    def close(self) -> None:
        self._audience.leave(self._ear)

    def _tell(self) -> None:
        self._due = not self._acknowledged
        if self._acknowledged:
            self._put(self._announcement)
