"""The chain of a hub's own log: numbers and hashes that never part, and names that never come twice."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.accept import what_is_wrong
from hub.own_chain import Head, newest_epoch, seal_next, succeed
from hub.verify import StoredChunk, Verifier
from shared.codec import compress
from shared.receive.gather import Packed
from shared.records import GENESIS_HASH, Encoding, Signal, read_header


def packed(raw: bytes) -> Packed:
    body = compress(raw)
    digest = hashlib.sha256(body).digest()
    return Packed(Signal.LOGS, Encoding.PROTO, 1, len(raw), body, digest, 5, 6, 7)


bodies = st.lists(st.binary(max_size=20), max_size=6)


@given(st.lists(bodies, max_size=5))
def test_however_bodies_are_grouped_the_chain_holds(groups: list[list[bytes]]) -> None:
    """Numbers without a hole from 1, each chunk with the hash of the one before."""
    head = Head("hub-1", "e")
    chunks = []
    for group in groups:
        fresh, head = seal_next(head, [packed(body) for body in group])
        chunks += fresh
    assert [chunk.header.seq for chunk in chunks] == list(range(1, len(chunks) + 1))
    hashes = [GENESIS_HASH, *(chunk.hash for chunk in chunks)]
    assert [chunk.header.previous_hash for chunk in chunks] == hashes[:-1]
    assert (head.seq, head.hash) == (len(chunks), hashes[-1])


@given(bodies, st.integers(0, 6))
def test_taking_up_the_head_again_makes_no_difference(raws: list[bytes], cut: int) -> None:
    """A restart knows of the log no more than its head, and that is enough."""
    every = [packed(raw) for raw in raws]
    whole, end = seal_next(Head("hub-1", "e"), every)
    first, head = seal_next(Head("hub-1", "e"), every[:cut])
    second, other_end = seal_next(Head("hub-1", "e", head.seq, head.hash), every[cut:])
    assert [*first, *second] == whole
    assert end == other_end


def test_a_chunk_says_of_its_body_what_is_true() -> None:
    (chunk,), _ = seal_next(Head("hub-1", "e"), [packed(b"body")])
    header = read_header(chunk.header_bytes)
    assert header == chunk.header
    assert (header.origin, header.epoch, header.codec) == ("hub-1", "e", "zstd")
    assert (header.records, header.raw_bytes, header.stored_bytes) == (1, 4, len(chunk.body))
    assert hashlib.sha256(chunk.body).digest() == header.body_sha256
    assert (header.time_min_ns, header.time_max_ns, header.created_ms) == (5, 6, 7)


def test_only_the_first_chunk_of_an_epoch_names_the_one_before() -> None:
    following = succeed(Head("hub-1", "e", 9, b"h" * 32), "e")
    assert following == Head("hub-1", "e.2", 0, GENESIS_HASH, ("e", 9))
    chunks, head = seal_next(following, [packed(b"1"), packed(b"2")])
    assert [chunk.header.predecessor for chunk in chunks] == [("e", 9), None]
    more, _ = seal_next(head, [packed(b"3")])
    assert more[0].header.predecessor is None


@pytest.mark.parametrize(
    ("known", "newest"),
    [
        ([], "e"),
        (["e"], "e"),
        (["e", "e.3", "e.2"], "e.3"),
        (["e.10", "e.9"], "e.10"),
        # Other lives of the store, and what only looks like one of ours.
        (["old", "old.7", "e.1", "e.0", "e.x", "e.", "e.²", "e.-4", "xe.5", "e.2.3"], "e"),
    ],
)
def test_the_newest_epoch_of_this_life_is_found(known: list[str], newest: str) -> None:
    assert newest_epoch("e", known) == newest


@given(st.integers(1, 50))
def test_epochs_that_follow_each_other_are_all_different(count: int) -> None:
    head = Head("hub-1", "e")
    names = [head.epoch]
    for _ in range(count):
        head = succeed(head, "e")
        names.append(head.epoch)
    assert len(set(names)) == count + 1
    assert newest_epoch("e", names) == head.epoch


def test_the_audit_of_hubs_finds_nothing_wrong_with_it() -> None:
    chunks, _ = seal_next(Head("hub-1", "e"), [packed(bytes([n])) for n in range(9)])
    verifier = Verifier(("hub-1", "e"))
    for chunk in chunks:
        verifier.feed(chunk.header.seq, StoredChunk(chunk, chunk.hash))
    assert verifier.faults == []
    assert verifier.seen.to_wire() == [[1, 9]]
    assert [what_is_wrong(chunk.header) for chunk in chunks] == [""] * 9
