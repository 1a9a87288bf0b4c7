"""What a QEMU says of itself is kept and can be read, and a guest that makes it complain fills no disk."""

import os
import signal
from pathlib import Path

import pytest

from edge.vm.driver import KeepsLog
from edge.vm.qemu.words import (
    OLDER_FILE,
    WORDS_BYTES_MAX,
    WORDS_FILE,
    open_words,
    read_words,
    shorten,
    words_since,
    words_size,
)
from edge.vm.tiny import BANNER
from shared.errors import RpcError
from tests.unit.vm.needs import qemu

from .conftest import Lab

COMPLAINT = b"2026-11-22T00:00:00Z qemu: the guest misbehaves\n"


def complain(folder: Path, size_bytes: int) -> None:
    """Append as QEMU does, with lines that tell where they stood."""
    count = size_bytes // len(COMPLAINT) + 1
    with (folder / WORDS_FILE).open("ab") as file:
        file.writelines(COMPLAINT.replace(b"guest", b"%05d" % n) for n in range(count))


def test_a_machine_that_never_ran_has_said_nothing(tmp_path: Path) -> None:
    assert (read_words(tmp_path, 10), words_size(tmp_path)) == ([], 0)


def test_the_newest_lines_come_oldest_first(tmp_path: Path) -> None:
    (tmp_path / WORDS_FILE).write_text("one\ntwo\nthree\n")
    assert read_words(tmp_path, 2) == ["two", "three"]
    assert words_since(tmp_path, 4) == "two\nthree\n"


def test_a_short_file_is_left_alone(tmp_path: Path) -> None:
    complain(tmp_path, 100)
    size = words_size(tmp_path)
    shorten(tmp_path)
    assert words_size(tmp_path) == size
    assert not (tmp_path / OLDER_FILE).exists()


def test_however_much_is_said_little_is_kept_and_the_newest_of_it(tmp_path: Path) -> None:
    words = open_words(tmp_path)
    try:
        for _ in range(3):
            complain(tmp_path, 2 * WORDS_BYTES_MAX)
            shorten(tmp_path)
            os.write(words, b"the last words\n")  # QEMU's descriptor goes on in the emptied file.
    finally:
        os.close(words)
    kept = read_words(tmp_path, 10**6)
    whole = {len(COMPLAINT) - 1, len("the last words")}
    assert {len(line) for line in kept} == whole, "no line is cut"
    assert (kept[-1], kept.count("the last words")) == ("the last words", 1)
    held = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert held <= WORDS_BYTES_MAX + len("the last words\n")


def test_on_a_full_disk_the_complaints_end_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    complain(tmp_path, 2 * WORDS_BYTES_MAX)

    def refuse(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    shorten(tmp_path)
    assert words_size(tmp_path) == 0
    assert "No space left" in caplog.text


@qemu()
async def test_what_qemu_said_at_its_end_is_known_later(lab: Lab) -> None:
    """Also to an agent that was not there; and a later start adds to it."""
    assert isinstance(lab.driver, KeepsLog)
    vm = await lab.create()
    assert await lab.driver.log(vm.handle, 10) == []
    for starts in (1, 2):
        vm = await lab.start(vm)
        # Not before its guest speaks: until then a signal ends it without a word.
        await lab.until_said(vm.handle, BANNER, times=starts)
        os.kill(vm.handle["pid"], signal.SIGTERM)
        await lab.until_over(vm.handle)
        said = await lab.reborn().log(vm.handle, 10)
        assert len(said) == starts
        assert all("terminating on signal 15" in line for line in said)


@qemu()
async def test_the_words_of_a_start_that_failed_are_told_and_kept(lab: Lab) -> None:
    vm = await lab.create()
    complain(lab.folder / "box", 100)
    next((lab.folder / "box").glob("*.qcow2")).write_bytes(b"no disk at all")
    with pytest.raises(RpcError, match="Image is not in qcow2 format") as refusal:
        await lab.driver.start(vm)
    assert "misbehaves" not in str(refusal.value), "what was said before this start"
    assert any("not in qcow2" in line for line in await lab.driver.log(vm.handle, 10))


@qemu()
async def test_whoever_looks_shortens_what_is_long(lab: Lab) -> None:
    handle = await lab.run()
    complain(lab.folder / "box", 2 * WORDS_BYTES_MAX)
    await lab.driver.observe(handle)
    assert words_size(lab.folder / "box") == 0
    assert (lab.folder / "box" / OLDER_FILE).stat().st_size <= WORDS_BYTES_MAX
