"""Small random faults in bytes and in JSON values, from a seeded source of chance."""

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

Path = tuple[Any, ...]

BYTES = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"/", b"'", b"#"),
    *(b" ", b"\t", b"\n", b"\r", b"\r\n", b"\x00", b"\x0b", b"\x0c", b"\x1f", b"\x7f"),
    *(b"\xef\xbb\xbf", b"\xc2\x85", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc0\x80"),
    *(b"\xed\xa0\x80", b"\xff", b"\xfe", b"\xc5\xbf", b"\xe2\x84\xaa", b"\xef\xbc\x88"),
    *(b"0", b"-", b"+", b".", b"e", b"E9", b"1e400", b"9007199254740993", b"1.0", b"00"),
    *(b"true", b"false", b"null", b"NaN", b"Infinity", b"//", b"/*", b"*/", b"\\u0000", b"\\ud800"),
)


def damaged_bytes(chance: random.Random, raw: bytes, kept: Sequence[bytes]) -> bytes:
    """The text with one to four faults; `kept` are texts that pieces are taken from."""
    text = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        place = chance.randint(0, len(text))
        length = min(chance.choice((1, 1, 1, 2, 3, 5, 8, 13)), len(text) - place)
        match chance.randrange(8):
            case 0:
                text[place:place] = chance.choice(BYTES)
            case 1:
                text[place : place + length] = chance.choice(BYTES)
            case 2:
                del text[place : place + length]
            case 3:
                text[place:place] = text[place : place + length]
            case 4:
                other = chance.choice(kept)
                start = chance.randint(0, len(other))
                text[place : place + length] = other[start : start + chance.randint(1, 24)]
            case 5 if place < len(text):
                text[place] ^= 1 << chance.randrange(8)
            case 6 if place < len(text):
                text[place : place + length] = text[place : place + length].swapcase()
            case _:
                del text[place:]
                text += chance.choice(kept)[: chance.randint(0, 60)]
    return bytes(text)


def sites(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths to everything inside a document."""
    yield path
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    elif isinstance(value, list):
        pairs = list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType]
    for key, inner in pairs:
        yield from sites(inner, (*path, key))


def damaged_document(
    chance: random.Random, document: Any, words: Sequence[str], odd: Sequence[Any]
) -> Any:
    """The document with one to three faults in its structure; `words` are keys and strings."""
    whole: Any = {"document": copy.deepcopy(document)}
    for _ in range(chance.randint(1, 3)):
        thing: Any = copy.deepcopy(chance.choice(odd))
        if chance.random() < 0.6:
            thing = chance.choice(words)
        paths = [path for path in sites(whole) if path]
        if not paths:
            return thing
        path = chance.choice(paths)
        borrowed = _at(whole, chance.choice(paths))
        _damage(chance, _at(whole, path[:-1]), path[-1], thing, (borrowed, words))
    return whole.get("document")


def _at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def _damage(
    chance: random.Random, inside: Any, key: Any, thing: Any, more: tuple[Any, Sequence[str]]
) -> None:
    """One fault in the object or list `inside`, at `key`."""
    borrowed, words = more
    match chance.randrange(6):
        case 0:
            inside[key] = thing
        case 1:
            del inside[key]
        case 2:
            inside[key] = [inside[key]]
        case 3 if isinstance(inside, dict):
            inside[chance.choice(words)] = inside.pop(key)  # pyright: ignore[reportUnknownMemberType]
        case 4:
            inside[key] = copy.deepcopy(borrowed)
        case _ if isinstance(inside[key], dict):
            inside[key][chance.choice(words)] = thing
        case _ if isinstance(inside[key], list):
            inside[key].append(thing)
        case _:
            pass
