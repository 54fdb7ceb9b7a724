"""A Merkle tree over an append-only list, as RFC 6962 section 2.1 defines it.

    hash of a leaf      sha256(0x00 || leaf)
    hash of a node      sha256(0x01 || left || right)
    hash of an empty tree   sha256 of nothing

A tree of n > 1 leaves splits at k, the largest power of two below n. Whoever holds a tree's size
and root can be shown, with at most 64 hashes, that a leaf stands in it at its place (inclusion)
and that an older tree is its beginning (consistency). Verification follows RFC 9162 sections
2.1.3.2 and 2.1.4.2.

Functions take and give *leaf hashes*; only `leaf_hash` sees a leaf's bytes.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from msgspec import Struct

EMPTY_ROOT = sha256().digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash under which a leaf stands in the tree."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring subtrees."""
    return sha256(b"\x01" + left + right).digest()


class Frontier(Struct, frozen=True):
    """As much of a tree as its next root needs: the roots of its complete subtrees.

    `peaks` stand largest first, one for each bit that is set in `size`.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, leaves: Iterable[bytes]) -> "Frontier":
        """The frontier behind more leaf hashes."""
        size = self.size
        peaks = list(self.peaks)
        for leaf in leaves:
            carried = leaf
            complete = size
            while complete & 1:
                carried = node_hash(peaks.pop(), carried)
                complete >>= 1
            peaks.append(carried)
            size += 1
        return Frontier(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The root of the tree as far as it goes."""
        if not self.peaks:
            return EMPTY_ROOT
        found = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            found = node_hash(peak, found)
        return found


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaf hashes."""
    return Frontier().append(leaves).root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """What shows that leaf `index` stands in the tree over `leaves`; lowest neighbour first.

    Raises IndexError where there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    return tuple(reversed(path))


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows leaf hash `leaf` at `index` of the tree with `size` and `root`."""
    if not 0 <= index < size:
        return False
    node, last = index, size - 1
    found = leaf
    for neighbour in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(neighbour, found)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            found = node_hash(found, neighbour)
        node >>= 1
        last >>= 1
    return last == 0 and found == root


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """What shows that the tree over the first `old_size` leaves is the beginning of this one.

    Empty where one of the two is empty or both are the same. Raises IndexError where the old
    tree is larger.
    """
    if not 0 <= old_size <= len(leaves):
        raise IndexError(f"the first {old_size} leaves of a tree of {len(leaves)}")
    path: list[bytes] = []
    low, high, old = 0, len(leaves), old_size
    known = True  # the old tree's root over [low, high) is the verifier's own
    if old in (0, high):
        return ()
    while old != high - low:
        middle = _split(high - low)
        if old <= middle:
            path.append(root_of(leaves[low + middle : high]))
            high = low + middle
        else:
            path.append(root_of(leaves[low : low + middle]))
            low += middle
            old -= middle
            known = False
    if not known:
        path.append(root_of(leaves[low:high]))
    return tuple(reversed(path))


def consistent(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether `proof` shows that the old tree is the beginning of the new one."""
    if not 0 <= old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # a complete subtree: its root is a node of the new tree
        path.insert(0, old_root)
    if not path:
        return False
    node, last = old_size - 1, size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old_found = found = path[0]
    for neighbour in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_found = node_hash(neighbour, old_found)
            found = node_hash(neighbour, found)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            found = node_hash(found, neighbour)
        node >>= 1
        last >>= 1
    return last == 0 and old_found == old_root and found == root


def _split(leaves: int) -> int:
    """The largest power of two below `leaves`, which is at least 2."""
    return 1 << (leaves - 1).bit_length() - 1
