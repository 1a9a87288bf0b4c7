"""Images that come by pieces."""

import base64
import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vm import params as asked
from edge.vm.image_params import PIECE_BYTES_MAX, Piece, bytes_of
from edge.vm.image_uploads import EXPIRES_MS, UPLOADS_MAX, append_piece
from shared.errors import RpcError
from shared.runtime import Runtime
from tests.examples import examples

from .conftest import DISK, OpenShelf, Shelf, sha256

HALF = len(DISK) // 2


def piece(offset: int, data: bytes, **more: Any) -> dict[str, Any]:
    return {
        "upload": "upload-1",
        "name": "a",
        "size_bytes": len(DISK),
        "offset": offset,
        "data": base64.b64encode(data).decode(),
        **more,
    }


async def test_pieces_become_an_image(shelf: Shelf) -> None:
    assert (await shelf.call("image.upload", **piece(0, DISK[:HALF])))["offset"] == HALF
    assert (await shelf.call("image.upload", **piece(HALF, DISK[HALF:])))["is_whole"] is True
    assert await shelf.names() == []
    operation = await shelf.wait("image.upload", **piece(len(DISK), b"", sha256=sha256(DISK)))
    assert (operation["state"], operation["method"]) == ("done", "image.upload"), operation
    assert shelf.store.path_of("a").read_bytes() == DISK
    assert shelf.files() == [shelf.store.record_of("a").file]


async def test_every_piece_and_the_end_can_be_said_twice(shelf: Shelf) -> None:
    for _ in range(2):
        assert (await shelf.call("image.upload", **piece(0, DISK[:HALF])))["offset"] == HALF
    assert (await shelf.call("image.upload", **piece(9, DISK[9:])))["offset"] == len(DISK)
    last = piece(HALF, DISK[HALF:], sha256=sha256(DISK))
    first = await shelf.wait("image.upload", **last)
    again = await shelf.wait("image.upload", **{**last, "offset": len(DISK), "data": ""})
    assert again["op_id"] == first["op_id"]
    assert (await shelf.refusal("image.upload", **{**last, "sha256": "0" * 64})).kind == "conflict"


async def test_an_upload_goes_on_after_a_restart(open_shelf: OpenShelf) -> None:
    shelf = await open_shelf()
    await shelf.call("image.upload", **piece(0, DISK[:HALF]))
    again = await open_shelf()
    asked_for = await again.call("image.upload", **piece(0, b""))
    assert asked_for == {"upload": "upload-1", "offset": HALF, "is_whole": False}
    last = piece(HALF, DISK[HALF:], sha256=sha256(DISK), wait_s=30)
    assert (await again.call("image.upload", **last))["state"] == "done"


async def test_a_gap_is_refused_with_the_offset_to_go_on_from(shelf: Shelf) -> None:
    await shelf.call("image.upload", **piece(0, DISK[:100]))
    refusal = await shelf.refusal("image.upload", **piece(101, b"x"))
    assert (refusal.kind, refusal.data) == ("conflict", {"offset": 100})
    refusal = await shelf.refusal("image.upload", **piece(100, b"", sha256=sha256(DISK)))
    assert (refusal.kind, refusal.data) == ("conflict", {"offset": 100})


async def test_other_bytes_at_the_same_place_are_refused(shelf: Shelf) -> None:
    await shelf.call("image.upload", **piece(0, DISK[:100]))
    assert (await shelf.refusal("image.upload", **piece(0, b"other"))).kind == "conflict"


@pytest.mark.parametrize("change", [{"name": "b"}, {"size_bytes": len(DISK) + 1}])
async def test_an_upload_cannot_become_another(shelf: Shelf, change: dict[str, Any]) -> None:
    await shelf.call("image.upload", **piece(0, DISK[:100]))
    refusal = await shelf.refusal("image.upload", **piece(100, b"x", **change))
    assert refusal.kind == "conflict"


async def test_an_upload_that_failed_is_over(shelf: Shelf) -> None:
    operation = await shelf.wait("image.upload", **piece(0, DISK, sha256="0" * 64))
    assert (operation["state"], operation["error"]["kind"]) == ("failed", "invalid_params")
    assert shelf.files() == []
    refusal = await shelf.refusal("image.upload", **piece(0, DISK))
    assert (refusal.kind, refusal.data["op_id"]) == ("conflict", operation["op_id"])
    assert (await shelf.upload("a", DISK, upload="upload-2"))["state"] == "done"


async def test_an_unknown_upload_begins_at_its_start(shelf: Shelf) -> None:
    refusal = await shelf.refusal("image.upload", **piece(5, b"x"))
    assert (refusal.kind, refusal.data) == ("not_found", {"offset": 0})


async def test_a_name_that_is_taken_is_refused_before_the_first_byte(shelf: Shelf) -> None:
    await shelf.upload("a", DISK)
    refusal = await shelf.refusal("image.upload", **piece(0, DISK, upload="upload-2"))
    assert refusal.kind == "conflict"


@pytest.mark.parametrize(
    "change",
    [
        {"data": "not base64!"},
        {"data": base64.b64encode(bytes(len(DISK) + 1)).decode()},
        {"data": "A" * (PIECE_BYTES_MAX * 2)},
        {"size_bytes": 0},
        {"size_bytes": 1 << 60},
        {"offset": -1},
        {"upload": "short"},
        {"upload": "../../../etc"},
    ],
)
async def test_pieces_that_make_no_sense_are_refused(shelf: Shelf, change: dict[str, Any]) -> None:
    refusal = await shelf.refusal("image.upload", **{**piece(0, b"x"), **change})
    assert refusal.kind == "invalid_params"
    assert shelf.files() == []


async def test_room_is_kept_for_all_of_it_from_the_start(open_shelf: OpenShelf) -> None:
    shelf = await open_shelf(images_bytes_max=2 * len(DISK) - 1)
    await shelf.call("image.upload", **piece(0, b"x"))
    refusal = await shelf.refusal("image.upload", **piece(0, b"x", upload="upload-2", name="b"))
    assert (refusal.kind, refusal.data["available_bytes"]) == ("insufficient", len(DISK) - 1)


async def test_uploads_are_few_and_expire(
    open_shelf: OpenShelf, runtime: Runtime, tmp_path: Path
) -> None:
    shelf = await open_shelf()
    for number in range(UPLOADS_MAX):
        await shelf.call(
            "image.upload", **piece(0, b"", upload=f"upload-{number}", name=f"i{number}")
        )
    refusal = await shelf.refusal("image.upload", **piece(0, b"", upload="upload-more", name="m"))
    assert (refusal.kind, refusal.data) == ("quota", {"limit": UPLOADS_MAX})
    late = replace(runtime, wall_ns=lambda: runtime.wall_ns() + (EXPIRES_MS + 1) * 1_000_000)
    shelf.calls._uploads._runtime = late
    assert (await shelf.call("image.list"))["room"]["held_bytes"] == 0
    assert shelf.files() == []
    await shelf.call("image.upload", **piece(0, b"", upload="upload-more", name="m"))


@settings(max_examples=examples(200))
@given(
    st.text(max_size=40) | st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()),
    st.integers(0, 50),
    st.integers(1, 50),
)
def test_no_data_raises_anything_but_invalid_params(data: str, offset: int, size: int) -> None:
    raw = {"upload": "upload-1", "name": "a", "data": data, "offset": offset, "size_bytes": size}
    found, kind = b"", "invalid_params"
    try:
        found = bytes_of(asked.read(raw, Piece, "edge-1"))
    except RpcError as error:
        kind = error.kind
    assert kind == "invalid_params"
    assert not found or offset + len(found) <= size


@settings(max_examples=examples(100))
@given(st.dictionaries(st.sampled_from([*Piece.__struct_fields__, "x"]), st.from_type(object)))
def test_no_parameters_raise_anything_but_invalid_params(raw: dict[str, Any]) -> None:
    kind = "invalid_params"
    try:
        asked.read(raw, Piece, "edge-1")
    except RpcError as error:
        kind = error.kind
    assert kind in ("invalid_params", "not_found")


PIECES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


@settings(max_examples=examples(100))
@given(PIECES, st.randoms(use_true_random=False))
def test_whatever_pieces_come_the_file_is_a_beginning_of_the_image(
    pieces: list[tuple[int, int]], luck: Random
) -> None:
    """Overlapping, repeated and out of order: what does not fit is refused, with where to go on."""
    image = luck.randbytes(60)
    with tempfile.TemporaryFile(buffering=0) as file:
        have = 0
        for start, size in pieces:
            data = image[start : start + size]
            with contextlib.nullcontext() if start <= have else pytest.raises(RpcError):
                have = append_piece(file.fileno(), start, data, lambda more: None)
            file.seek(0)
            assert file.read() == image[:have]


@settings(max_examples=examples(100))
@given(st.binary(min_size=1, max_size=30), st.binary(min_size=1, max_size=30))
def test_bytes_that_were_taken_are_never_changed(first: bytes, other: bytes) -> None:
    with tempfile.TemporaryFile(buffering=0) as file:
        append_piece(file.fileno(), 0, first, lambda more: None)
        is_same = other[: len(first)] == first[: len(other)]
        with contextlib.nullcontext() if is_same else pytest.raises(RpcError):
            append_piece(file.fileno(), 0, other, lambda more: None)
        file.seek(0)
        assert file.read() == (max(first, other, key=len) if is_same else first)
