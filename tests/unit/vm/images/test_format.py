"""What a file is, whatever anybody says."""

import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.vm.image_format import FOREIGN, HEAD_BYTES, found_format, judge_format, judge_info
from edge.vm.image_model import ImageFormat
from shared.errors import BadInput
from tests.examples import examples

GIB = 1 << 30


def qcow2(
    version: int = 3, backing: int = 0, encryption: int = 0, features: int = 0, virtual: int = GIB
) -> bytes:
    """The head of a qcow2 file."""
    head = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", version, backing, 0, 16, virtual, encryption,
        1, 0x30000, 0x10000, 1, 0, 0,
    )  # fmt: skip
    return head + struct.pack(">QQQII", features, 0, 0, 4, 104) + bytes(400)


def at(offset: int, magic: bytes) -> bytes:
    return bytes(offset) + magic + bytes(1024)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (bytes(512), ImageFormat.RAW),
        (at(510, b"\x55\xaa"), ImageFormat.RAW),
        (b"any text at all", ImageFormat.RAW),
        (qcow2(), ImageFormat.QCOW2),
        (at(0x202, b"HdrS"), ImageFormat.KERNEL),
        (at(0x38, b"ARM\x64"), ImageFormat.KERNEL),
        (at(0, b"\x7fELF"), ImageFormat.KERNEL),
        (at(0, b"070701"), ImageFormat.INITRD),
        (at(0, b"\x1f\x8b"), ImageFormat.INITRD),
    ],
)
def test_a_file_is_known_by_its_first_bytes(head: bytes, found: ImageFormat) -> None:
    assert found_format(head) is found


@pytest.mark.parametrize(("offset", "magic", "name"), FOREIGN)
def test_foreign_formats_are_refused_by_name(offset: int, magic: bytes, name: str) -> None:
    """Taken for raw bytes they would be useless; opened as what they are they could name any file."""
    with pytest.raises(BadInput, match=f"in the format {name}"):
        found_format(at(offset, magic))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"", "empty"),
        (qcow2(backing=104), "builds on another file"),
        (qcow2(features=1 << 2), "data in another file"),
        (qcow2(features=1 << 40), "features that are not known"),
        (qcow2(encryption=2), "encrypted"),
        (qcow2(version=9), "unknown version"),
        (qcow2(virtual=1 << 60), "claims to hold"),
        (b"QFI\xfb", "not a qcow2"),
    ],
)
def test_what_could_reach_another_file_or_is_broken_is_refused(head: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        judge_format(head, 512, None)


@pytest.mark.parametrize("claimed", ImageFormat)
@pytest.mark.parametrize(
    ("head", "found"), [(bytes(512), "raw"), (qcow2(), "qcow2"), (at(0, b"\x7fELF"), "kernel")]
)
def test_a_lie_about_the_format_is_refused(head: bytes, found: str, claimed: ImageFormat) -> None:
    if claimed.value == found:
        assert judge_format(head, 512, claimed)[0] is claimed
        return
    with pytest.raises(BadInput, match=f"is {found}, not {claimed.value}"):
        judge_format(head, 512, claimed)


def test_a_disk_has_whole_sectors_and_a_size() -> None:
    assert judge_format(bytes(512), 1024, None) == (ImageFormat.RAW, 1024)
    assert judge_format(qcow2(), 700, None) == (ImageFormat.QCOW2, GIB)
    assert judge_format(b"070701", 701, None) == (ImageFormat.INITRD, None)
    with pytest.raises(BadInput, match="whole sectors"):
        judge_format(bytes(512), 513, None)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "nothing that can be read"),
        ({"format": "vmdk"}, "'vmdk' to qemu-img"),
        ({"format": "qcow2", "virtual-size": 5, "backing-filename": "/etc/x"}, "another file"),
        ({"format": "qcow2", "virtual-size": 6}, "two different sizes"),
        (
            {"format": "qcow2", "virtual-size": 5, "format-specific": {"data": {"data-file": "x"}}},
            "data in another file",
        ),
        (
            {"format": "qcow2", "virtual-size": 5, "format-specific": {"data": {"encrypt": {}}}},
            "encrypted",
        ),
        (
            {"format": "qcow2", "virtual-size": 5, "format-specific": {"data": {"corrupt": True}}},
            "corrupt",
        ),
    ],
)
def test_the_second_opinion_must_agree(said: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        judge_info(said, ImageFormat.QCOW2, 5)


def test_a_second_opinion_that_agrees_is_taken() -> None:
    details = {"data": {"compat": "1.1", "corrupt": False}}
    judge_info(
        {"format": "qcow2", "virtual-size": 5, "format-specific": details}, ImageFormat.QCOW2, 5
    )


MAGICS = st.sampled_from([qcow2(), at(64, b"\x7f\x10\xda\xbe"), at(0x202, b"HdrS"), b"KDMV"])


@settings(max_examples=examples(300))
@given(
    st.binary(max_size=HEAD_BYTES) | st.builds(lambda a, b: a[:20] + b, MAGICS, st.binary()),
    st.integers(0, 1 << 60),
    st.sampled_from([None, *ImageFormat]),
)
@example(qcow2(), 512, ImageFormat.QCOW2)
def test_no_bytes_raise_anything_but_bad_input(
    head: bytes, size_bytes: int, claimed: ImageFormat | None
) -> None:
    try:
        found, virtual_bytes = judge_format(head, size_bytes, claimed)
    except BadInput:
        return
    assert claimed in (None, found)
    assert (virtual_bytes is None) == (found in (ImageFormat.KERNEL, ImageFormat.INITRD))
    assert not head.startswith(b"QFI\xfb") or found is ImageFormat.QCOW2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(
    ["format", "virtual-size", "format-specific", "data", "data-file", "backing-filename"]
)


@settings(max_examples=examples(300))
@given(JSON | st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON)))
def test_whatever_qemu_img_says_raises_only_bad_input(said: Any) -> None:
    try:
        judge_info(said, ImageFormat.QCOW2, 5)
    except BadInput:
        return
    assert said["format"] == "qcow2"
    assert said.get("backing-filename") is None
