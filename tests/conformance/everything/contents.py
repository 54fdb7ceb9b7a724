"""What the server's tools, prompts and resources hold: the smallest of each kind."""

import base64
import struct
import zlib
from typing import Any, Final

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)


def _png() -> str:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\x00\xff\x00\x00")
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel)
    return base64.b64encode(whole + chunk(b"IEND", b"")).decode()


def _wav() -> str:
    """Four silent samples."""
    samples = b"\x80" * 4
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    riff = struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE")
    return base64.b64encode(riff + form + data).decode()


PNG: Final = _png()
WAV: Final = _wav()

STATIC_TEXT: Final = "test://static-text"
STATIC_BINARY: Final = "test://static-binary"
WATCHED: Final = "test://watched-resource"
TEMPLATE: Final = "test://template/{id}/data"


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def image() -> ImageContent:
    return ImageContent(type="image", data=PNG, mime_type="image/png")


def audio() -> AudioContent:
    return AudioContent(type="audio", data=WAV, mime_type="audio/wav")


def embedded(uri: str, words: str, mime_type: str = "text/plain") -> EmbeddedResource:
    inner = TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return EmbeddedResource(type="resource", resource=inner)


def resource(uri: str) -> TextResourceContents | BlobResourceContents | None:
    """What stands at an address; None where there is nothing."""
    if uri == STATIC_TEXT:
        words = "This is the content of the static text resource."
        return TextResourceContents(uri=uri, mime_type="text/plain", text=words)
    if uri == STATIC_BINARY:
        return BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    if uri == WATCHED:
        return TextResourceContents(uri=uri, mime_type="text/plain", text="Watched.")
    start, end = TEMPLATE.split("{id}")
    if uri.startswith(start) and uri.endswith(end):
        number = uri.removeprefix(start).removesuffix(end)
        words = f'{{"id":"{number}","templateTest":true,"data":"Data for ID: {number}"}}'
        return TextResourceContents(uri=uri, mime_type="application/json", text=words)
    return None


def schema(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object with these properties, all of them required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


NAME_SCHEMA: Final = schema(name={"type": "string"})
USER_SCHEMA: Final = schema(
    username={"type": "string", "description": "User's response"},
    email={"type": "string", "description": "User's email address"},
)
DEFAULTS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    },
}
_OPTIONS: Final = ["option1", "option2", "option3"]
_TITLED: Final = [
    {"const": f"value{number}", "title": title}
    for number, title in enumerate(("First Option", "Second Option", "Third Option"), start=1)
]
ENUMS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _OPTIONS},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
}
# A schema with more of JSON Schema in it than tools commonly use.
RICH_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
