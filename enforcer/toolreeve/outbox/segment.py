"""One segment file: whose it is, where it stands in the history, and how it is made and read.

A segment has its full size from the first moment and is filled with zeros: a write into it changes
no file metadata, so making it durable is one flush of the drive (RWF_DSYNC), and a segment that
was begun can be finished on a disk that is full. It is made under another name, made durable, and
only then renamed: a file with a segment's name is never half made, and never changes its size.

The first block is the identity header. It names the owner, so that a folder that was copied from
another host is refused, and says where the history stood when the segment was begun: the last
position and head before it, and at which offset the segment before it ends. What lies behind that
offset, after a write that failed, belongs to nobody.
"""

import errno
import os
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.outbox.error import DamageError, OutboxError
from toolreeve.outbox.host import HERE, Host

FORMAT_VERSION = 1
IDENTITY_BYTES = 4096
OWNER_BYTES_MAX = 256
SALT_BYTES = 8
UNFINISHED = ".new"  # a file with this ending may be removed by whoever holds the lock
_MAGIC = b"toolreeve outbox"
_LEAD = struct.Struct("<16sII")  # magic, format version, checksum of the rest of the block
_FIELDS = struct.Struct("<QQQQ32sQ8sH")
_GAP = 0x8000  # in the last field, beside the owner's length
EVIDENCE = "start again: the folder is set aside as evidence, and what can be read goes on"
_NAME = re.compile(r"(\d{10})\.segment")
_CHUNK_BYTES = 1 << 20
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Identity(Struct, frozen=True, kw_only=True):
    """What the first block of a segment says.

    `after` and `head` tell where the history stood before the segment's first group, `after` being
    None before the very first record; `previous_end` is the offset at which the segment before
    ends, 0 for the first one. `gap` says that something is missing before it: see `salvage`.
    """

    owner: str
    number: int
    size: int
    after: Position | None
    head: bytes
    previous_end: int
    salt: bytes
    gap: bool = False

    @property
    def name(self) -> str:
        return segment_name(self.number)


def segment_name(number: int) -> str:
    """The name of a segment's file."""
    return f"{number:010d}.segment"


def segment_number(name: str) -> int | None:
    """The number of the segment that has this file name; None for any other file."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def create(
    directory: int, identity: Identity, *, blank: int | None = None, host: Host = HERE
) -> int:
    """Make the segment durably and return its descriptor, open for reading and writing.

    `blank`, where given, is the descriptor of a file made by `fill_blank` under the name
    `blank_name`; it is used up. Raises OSError and leaves nothing behind.
    """
    name = identity.name if blank is None else "blank"
    descriptor = blank
    if descriptor is None:
        descriptor = fill_blank(directory, name, identity.size, host=host)
    try:
        write_durably(descriptor, [_encode(identity)], 0, host)
        host.fsync(descriptor)
        host.rename(name + UNFINISHED, identity.name, src_dir_fd=directory, dst_dir_fd=directory)
        host.fsync(directory)
    except OSError:
        host.close(descriptor)
        _remove_if_there(directory, name + UNFINISHED, host)
        raise
    return descriptor


def fill_blank(
    directory: int,
    name: str,
    size: int,
    *,
    stopped: Callable[[], bool] = lambda: False,
    host: Host = HERE,
) -> int:
    """Make a durable file of zeros called `name` + UNFINISHED and return its descriptor.

    Raises OSError and leaves nothing behind, also when `stopped` becomes true half-way.
    """
    flags = _WRITE_FLAGS | os.O_CREAT | os.O_EXCL
    _remove_if_there(directory, name + UNFINISHED, host)
    descriptor = host.open(name + UNFINISHED, flags, 0o600, dir_fd=directory)
    try:
        host.posix_fallocate(descriptor, 0, size)  # a full disk says so before the work is done
        zeros = bytes(min(size, _CHUNK_BYTES))
        for offset in range(0, size, len(zeros)):
            if stopped():
                raise InterruptedError("the outbox is being closed")
            _write_whole(descriptor, [zeros[: size - offset]], offset, 0, host)
        host.fsync(descriptor)
    except OSError:
        host.close(descriptor)
        _remove_if_there(directory, name + UNFINISHED, host)
        raise
    return descriptor


def open_existing(path: Path, *, writable: bool = False, host: Host = HERE) -> int:
    """Open a segment that is there. Never follows a symbolic link."""
    return host.open(path, _WRITE_FLAGS if writable else _READ_FLAGS)


def read_identity(folder: Path, name: str, *, owner: str | None, host: Host = HERE) -> Identity:
    """Read and check the first block; any owner's where `owner` is None.

    Raises OutboxError where it cannot be believed.
    """

    def refusal(problem: str, remedy: str) -> OutboxError:
        return OutboxError(problem, remedy=remedy, folder=folder, segment=name, offset=0)

    def damaged(problem: str) -> DamageError:
        return DamageError(problem, remedy=EVIDENCE, folder=folder, segment=name, offset=0)

    descriptor = open_existing(folder / name, host=host)
    try:
        block = read_part(descriptor, 0, IDENTITY_BYTES, host)
        size = host.fstat(descriptor).st_size
    finally:
        host.close(descriptor)
    if len(block) < IDENTITY_BYTES:
        raise damaged("the segment is shorter than its identity header")
    magic, version, checksum = _LEAD.unpack_from(block)
    if magic != _MAGIC:
        raise damaged("this is not a segment of an outbox")
    if zlib.crc32(block[_LEAD.size :], version) != checksum:
        raise damaged("the identity header is damaged")
    if version != FORMAT_VERSION:
        raise refusal(
            f"it has format version {version}", "open it with the toolreeve that wrote it"
        )
    identity = _decode(block)
    if owner is not None and identity.owner != owner:
        raise refusal(
            f"it belongs to {identity.owner!r}, not to {owner!r}", "give each owner its own folder"
        )
    if identity.name != name:
        raise damaged(f"it was made as {identity.name}")
    if identity.size != size:
        raise damaged(f"it has {size} bytes and was made with {identity.size}")
    return identity


def read_part(descriptor: int, offset: int, length: int, host: Host = HERE) -> bytes:
    """Up to `length` bytes from `offset`; fewer only at the end of the file."""
    parts: list[bytes] = []
    while length > 0:
        part = host.pread(descriptor, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_durably(descriptor: int, parts: list[bytes], offset: int, host: Host = HERE) -> None:
    """Write all parts, one behind the other; they are on the disk when this returns.

    Raises OSError, and then nobody can say what is on the disk from `offset` on.
    """
    try:
        _write_whole(descriptor, parts, offset, os.RWF_DSYNC, host)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        _write_whole(descriptor, parts, offset, 0, host)  # a file system without the flag
        host.fdatasync(descriptor)


def _write_whole(descriptor: int, parts: list[bytes], offset: int, flags: int, host: Host) -> None:
    total = sum(map(len, parts))
    written = host.pwritev(descriptor, parts, offset, flags)
    if written == total:
        return
    rest = b"".join(parts)
    while written < total:  # a signal, or the last free block: go on, or hear the reason
        written += host.pwritev(descriptor, [rest[written:]], offset + written, flags)


def _encode(identity: Identity) -> bytes:
    after = identity.after or Position(0, 0)
    owner = identity.owner.encode()
    fields = _FIELDS.pack(
        identity.number,
        identity.size,
        after.epoch,
        after.sequence,
        identity.head,
        identity.previous_end,
        identity.salt,
        len(owner) | (_GAP if identity.gap else 0),
    )
    rest = (fields + owner).ljust(IDENTITY_BYTES - _LEAD.size, b"\0")
    return _LEAD.pack(_MAGIC, FORMAT_VERSION, zlib.crc32(rest, FORMAT_VERSION)) + rest


def _decode(block: bytes) -> Identity:
    number, size, epoch, sequence, head, previous_end, salt, last = _FIELDS.unpack_from(
        block, _LEAD.size
    )
    owner_bytes = last & ~_GAP
    begin = _LEAD.size + _FIELDS.size
    return Identity(
        owner=block[begin : begin + owner_bytes].decode(),
        number=number,
        size=size,
        after=Position(epoch, sequence) if sequence else None,
        head=head,
        previous_end=previous_end,
        salt=salt,
        gap=bool(last & _GAP),
    )


def _remove_if_there(directory: int, name: str, host: Host) -> None:
    with suppress(FileNotFoundError):
        host.unlink(name, dir_fd=directory)
