"""Where an upstream is, taken from its settings once."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec


class UpstreamAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where an upstream listens, and what every request to it carries."""

    host: str
    port: int
    path: str
    tls: bool
    headers: tuple[tuple[bytes, bytes], ...] = ()  # credentials; never logged

    @staticmethod
    def parse(url: str, headers: Mapping[str, str] | None = None) -> "UpstreamAddress":
        """Raises ValueError for anything but http or https with a host and plain headers."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https address")
        if parts.username is not None or parts.fragment:
            raise ValueError("an upstream's address holds no user name and no fragment")
        tls = parts.scheme == "https"
        path = parts.path or "/"
        if parts.query:
            path += "?" + parts.query
        if not (path.isascii() and path.isprintable()) or " " in path:
            raise ValueError(f"the path of {url!r} is not plain ASCII")
        injected: list[tuple[bytes, bytes]] = []
        for name, value in (headers or {}).items():
            if not name.isascii() or not (name + value).isprintable() or ":" in name:
                raise ValueError(f"the header {name!r} cannot be sent")
            injected.append((name.lower().encode(), value.encode("latin-1")))
        return UpstreamAddress(
            host=parts.hostname,
            port=parts.port or (443 if tls else 80),
            path=path,
            tls=tls,
            headers=tuple(injected),
        )

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"
