"""Addresses to listen on and to connect to, as people write them."""


class AddressError(ValueError):
    """A text is not HOST:PORT."""


def split_address(text: str) -> tuple[str, int]:
    """Split `127.0.0.1:8460` or `[::1]:8460`; port 0 asks for a free one. Raises AddressError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise AddressError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8460")
    return host, int(port)
