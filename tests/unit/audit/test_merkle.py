"""The Merkle tree against RFC 6962's own words, and what its proofs must not prove."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    consistent,
    included,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
)

LEAVES = st.integers(1, 70)


def by_the_book(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + by_the_book(leaves[:k]) + by_the_book(leaves[k:])).digest()


def tree(size: int) -> list[bytes]:
    return [leaf_hash(b"leaf %d" % number) for number in range(size)]


def test_the_hashes_are_those_that_certificate_transparency_publishes() -> None:
    assert EMPTY_ROOT.hex().startswith("e3b0c44298fc1c149afbf4c8996fb924")
    assert leaf_hash(b"").hex().startswith("6e340b9cffb37a989ca544e6bb780a2c")
    leaves = [leaf_hash(bytes.fromhex(text)) for text in ("", "00", "10", "2021", "3031")]
    assert root_of(leaves).hex() == (
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"
    )


@given(LEAVES)
def test_a_frontier_has_the_root_of_the_definition_however_it_grew(size: int) -> None:
    leaves = tree(size)
    grown = Frontier()
    for leaf in leaves:
        grown = grown.append([leaf])
    assert grown == Frontier().append(leaves)
    assert grown.root == root_of(leaves) == by_the_book(leaves)


@given(LEAVES, st.data())
def test_every_leaf_is_shown_at_its_place_and_at_no_other(size: int, data: st.DataObject) -> None:
    leaves = tree(size)
    root = root_of(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    assert len(proof) <= (size - 1).bit_length()
    assert included(leaves[index], index, size, proof, root)
    other = data.draw(st.integers(-1, size + 1).filter(lambda place: place != index))
    assert not included(leaves[index], other, size, proof, root)
    assert not included(leaf_hash(b"another"), index, size, proof, root)
    assert not included(leaves[index], index, size, (*proof, root), root)
    if proof:
        assert not included(leaves[index], index, size, proof[:-1], root)


@given(LEAVES, st.data())
def test_every_beginning_is_shown_and_no_rewritten_one(size: int, data: st.DataObject) -> None:
    leaves = tree(size)
    old_size = data.draw(st.integers(0, size))
    old_root, root = root_of(leaves[:old_size]), root_of(leaves)
    proof = consistency_proof(leaves, old_size)
    assert consistent(old_size, old_root, size, root, proof)
    if 0 < old_size < size:
        rewritten = [*leaves]
        rewritten[data.draw(st.integers(0, old_size - 1))] = leaf_hash(b"rewritten")
        assert not consistent(
            old_size, old_root, size, root_of(rewritten), consistency_proof(rewritten, old_size)
        )
        assert not consistent(old_size, root_of(rewritten[:old_size]), size, root, proof)
        assert not consistent(old_size, old_root, size, root, proof[:-1])
        assert not consistent(old_size, old_root, size, root, (*proof, root))


def test_a_node_is_no_leaf() -> None:
    left, right = tree(2)
    assert node_hash(left, right) != leaf_hash(left + right)


def test_what_is_not_there_has_no_proof() -> None:
    with pytest.raises(IndexError):
        inclusion_proof(tree(3), 3)
    with pytest.raises(IndexError):
        consistency_proof(tree(3), 4)
    assert not consistent(4, EMPTY_ROOT, 3, EMPTY_ROOT, ())
