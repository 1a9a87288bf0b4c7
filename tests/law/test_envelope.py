"""A batch reads back as it was written; anything else is refused in one way only."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.envelope import CHUNKS_MAX, MAGIC, Batch, Head, read_batch, write_batch
from shared.errors import BadInput, TooLarge
from shared.records import Chunk
from tests.law.drawing import chunk_of, chunks, patient

batches = st.lists(chunks, min_size=1, max_size=6)


def read_or_refuse(wire: bytes) -> Batch | None:
    """What a hub makes of these bytes; only BadInput may be raised."""
    try:
        return read_batch(wire)
    except BadInput:
        return None


@patient
@given(batches)
def test_a_batch_reads_back_byte_by_byte(sent: list[Chunk]) -> None:
    wire = write_batch(sent)
    batch = read_batch(wire)
    assert list(batch.chunks) == sent
    assert write_batch(batch.chunks) == wire
    assert read_batch(wire).name == batch.name


@patient
@given(batches, batches)
def test_different_batches_have_different_names(one: list[Chunk], other: list[Chunk]) -> None:
    same = [c.header_bytes for c in one] == [c.header_bytes for c in other]
    names = {read_batch(write_batch(each)).name for each in (one, other)}
    assert len(names) == (1 if same else 2)


@patient
@given(batches, st.data())
def test_a_batch_that_is_cut_anywhere_is_refused(sent: list[Chunk], data: st.DataObject) -> None:
    wire = write_batch(sent)
    cut = data.draw(st.integers(0, len(wire) - 1))
    assert read_or_refuse(wire[:cut]) is None
    assert read_or_refuse(wire + b"x") is None


@patient
@given(batches, st.data())
def test_a_damaged_batch_is_refused_or_is_what_it_says(
    sent: list[Chunk], data: st.DataObject
) -> None:
    wire = bytearray(write_batch(sent))
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    batch = read_or_refuse(bytes(wire))
    if batch is not None:
        assert all(len(chunk.body) == chunk.header.stored_bytes for chunk in batch.chunks)
        assert all(chunk.header.seq >= 1 for chunk in batch.chunks)


@patient
@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    for wire in (noise, MAGIC + noise, MAGIC + len(noise).to_bytes(4, "little") + noise):
        read_or_refuse(wire)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(),
    lambda inner: st.lists(inner, max_size=16) | st.dictionaries(st.text(max_size=9), inner),
)


@patient
@given(st.lists(values, max_size=3), st.binary(max_size=40))
def test_headers_of_any_shape_are_refused(shapes: list[object], bodies: bytes) -> None:
    """The head is well-formed and its headers are any MessagePack at all."""
    headers = tuple(msgspec.msgpack.encode(shape) for shape in shapes)
    head = msgspec.msgpack.encode(Head(1, headers))
    assert read_or_refuse(MAGIC + len(head).to_bytes(4, "little") + head + bodies) is None


def test_limits_are_checked_before_anything_is_built() -> None:
    wire = write_batch([chunk_of(1)])
    with pytest.raises(TooLarge):
        read_batch(wire, limit_bytes=len(wire) - 1)
    with pytest.raises(BadInput, match="1 to"):
        read_batch(write_batch([chunk_of(seq) for seq in range(1, CHUNKS_MAX + 2)]))
    with pytest.raises(BadInput, match="1 to"):
        read_batch(write_batch([]))
