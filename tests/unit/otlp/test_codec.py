"""Compression keeps what it is given, and never unfolds more than it may."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import compress, decompress, gunzip
from shared.errors import BadInput, TooLarge
from shared.records import MIB
from tests.unit.otlp.samples import patient

Unpack = Callable[[bytes, int], bytes]


@patient
@given(st.binary())
def test_what_is_compressed_comes_back(body: bytes) -> None:
    assert decompress(compress(body), 10_000) == body
    assert gunzip(gzip.compress(body, mtime=0), 10_000) == body


def test_appended_frames_and_members_read_as_one() -> None:
    assert decompress(compress(b"one ") + compress(b"two"), 7) == b"one two"
    assert gunzip(gzip.compress(b"one ", mtime=0) + gzip.compress(b"two"), 7) == b"one two"


def test_zeros_that_pad_a_gzip_body_are_ignored() -> None:
    assert gunzip(gzip.compress(b"x", mtime=0) + bytes(100), 10) == b"x"


@pytest.mark.parametrize(
    ("packed", "unpack"),
    [(compress(bytes(1000)), decompress), (gzip.compress(bytes(1000), mtime=0), gunzip)],
    ids=["zstd", "gzip"],
)
def test_the_limit_itself_is_allowed_and_one_more_is_not(packed: bytes, unpack: Unpack) -> None:
    assert len(unpack(packed, 1000)) == 1000
    with pytest.raises(TooLarge, match="limit of 999 bytes"):
        unpack(packed, 999)


def test_the_limit_counts_all_frames_and_members_together() -> None:
    with pytest.raises(TooLarge):
        decompress(compress(bytes(600)) * 2, 1000)
    with pytest.raises(TooLarge):
        gunzip(gzip.compress(bytes(600), mtime=0) * 2, 1000)


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"not compressed at all", gzip.compress(bytes(5000), mtime=0)[:-9], bytes(50)],
)
def test_what_is_not_gzip_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput):
        gunzip(body, MIB)


def test_gzip_with_a_wrong_checksum_is_bad_input() -> None:
    packed = bytearray(gzip.compress(b"hello", mtime=0))
    packed[-6] ^= 1
    with pytest.raises(BadInput):
        gunzip(bytes(packed), MIB)


@pytest.mark.parametrize("body", [b"", b"x", b"not compressed at all", compress(bytes(5000))[:-3]])
def test_what_is_not_zstd_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput):
        decompress(body, MIB)


@patient
@given(st.binary(max_size=60))
def test_nothing_but_bad_input_comes_out_of_noise(body: bytes) -> None:
    for unpack, magic in ((decompress, b"\x28\xb5\x2f\xfd"), (gunzip, b"\x1f\x8b\x08\x00")):
        for noise in (body, magic + body):
            try:
                unpack(noise, 1000)
            except BadInput:
                continue


@pytest.mark.parametrize("level", [1, 9])
def test_a_gzip_bomb_is_refused_before_it_unfolds(level: int) -> None:
    packer = zlib.compressobj(level, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(TooLarge):
        gunzip(bomb, 4 * MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB


def test_a_zstd_bomb_is_refused_before_it_unfolds() -> None:
    bomb = compress(bytes(200 * MIB))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decompress(bomb, 4 * MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB
