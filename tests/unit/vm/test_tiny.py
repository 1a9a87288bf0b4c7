"""Our own guest: that its bytes are those of its source, and that they can be booted."""

import platform
import subprocess
from pathlib import Path

import pytest

from edge.vm.tiny import DISK_BYTES, SECTOR_FILE, tiny_disk, tiny_sector

from .needs import binutils

SOURCE = SECTOR_FILE.with_suffix(".s")


@binutils()
@pytest.mark.skipif(platform.machine() != "x86_64", reason="assembling needs x86 binutils")
def test_the_bytes_are_those_of_the_source(tmp_path: Path) -> None:
    """Nobody has to trust a binary file."""
    steps = (
        ("as", "--32", "-o", "tiny.o", str(SOURCE)),
        ("ld", "-m", "elf_i386", "-Ttext", "0x7c00", "-o", "tiny.elf", "tiny.o"),
        ("objcopy", "-O", "binary", "-j", ".text", "tiny.elf", "tiny.bin"),
    )
    for step in steps:
        subprocess.run(step, cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert (tmp_path / "tiny.bin").read_bytes() == tiny_sector()


def test_it_is_one_boot_sector() -> None:
    """512 bytes with the mark that makes a firmware boot them."""
    assert len(tiny_sector()) == 512
    assert tiny_sector()[-2:] == b"\x55\xaa"


def test_its_disk_is_large_enough_for_the_firmware_and_made_once(tmp_path: Path) -> None:
    """Overlays build on it, so it is never written again."""
    disk = tiny_disk(tmp_path / "builtin")
    made = disk.stat()
    assert (made.st_size, disk.read_bytes()[:512]) == (DISK_BYTES, tiny_sector())
    assert tiny_disk(tmp_path / "builtin").stat() == made
    assert [path.name for path in disk.parent.iterdir()] == [disk.name]
