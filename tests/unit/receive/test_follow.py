"""Following real files: every line once, in order, whatever happens to the file."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.receive.follow import Follower
from edge.receive.log_wire import PIECE
from edge.receive.place import Place
from edge.receive.reading import FollowLimits
from shared.otlp_rows import LogRow, log_rows

LIMITS = FollowLimits(
    block_bytes=4096, line_bytes_max=1024, partial_seconds_max=5.0, rotate_grace_seconds=2.0
)


class Reader:
    """A follower and the clock it is told, with all that it gave so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[LogRow] = []
        self.now = 0.0
        self.place: Place | None = None
        self.follower = Follower(path, None, {}, LIMITS)

    def read(self, seconds: float = 0.0) -> list[str]:
        """What comes until nothing more does, `seconds` later."""
        before = len(self.rows)
        self.now += seconds
        idle = 0
        while idle < 3:  # Opening, moving on and beginning anew take a look each.
            block = self.follower.next_block(self.now, 1)
            idle = 0 if block else idle + 1
            if block:
                self.rows += log_rows(block.part.encoding, block.part.body)
                self.place = block.after
                self.follower.advance(block)
        return [row.body for row in self.rows[before:]]

    def restart(self) -> None:
        """As after a crash: only the last saved place is known."""
        self.follower.close()
        self.follower = Follower(self.path, self.place, {}, LIMITS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    reader = Reader(path)
    yield reader
    reader.follower.close()


def append(path: Path, text: str) -> None:
    with path.open("a", newline="") as file:
        file.write(text)


def many(first: int, last: int) -> str:
    return "".join(f"{number:05d} a line of the log\n" for number in range(first, last))


def test_a_file_that_does_not_exist_yet_is_waited_for(path: Path, reader: Reader) -> None:
    assert reader.read() == []
    append(path, "one\n")
    assert reader.read() == ["one"]


def test_a_folder_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "later" / "app.log")
    assert reader.read() == []
    reader.path.parent.mkdir()
    append(reader.path, "one\n")
    assert reader.read() == ["one"]
    reader.follower.close()


def test_lines_come_as_they_are_written(path: Path, reader: Reader) -> None:
    append(path, "one\ntw")
    assert reader.read() == ["one"]
    append(path, "o\nthree\n")
    assert reader.read() == ["two", "three"]
    assert reader.read(1.0) == []


def test_a_big_file_comes_in_bounded_blocks(path: Path, reader: Reader) -> None:
    append(path, many(0, 2000))
    block = reader.follower.next_block(0.0, 1)
    assert block is not None
    assert len(block.part.body) < 2 * LIMITS.block_bytes
    assert reader.read() == many(0, 2000).splitlines()


def test_a_slow_reader_does_not_take_the_end_of_a_block_for_the_end_of_the_file(
    path: Path, reader: Reader
) -> None:
    append(path, many(0, 1000))
    while block := reader.follower.next_block(reader.now, 1):
        reader.rows += log_rows(block.part.encoding, block.part.body)
        reader.follower.advance(block)
        reader.now += 2 * LIMITS.partial_seconds_max
    assert [row.body for row in reader.rows] == many(0, 1000).splitlines()


def test_a_block_stays_the_same_until_it_is_kept(path: Path, reader: Reader) -> None:
    append(path, "one\n")
    first = reader.follower.next_block(0.0, 1)
    again = reader.follower.next_block(1.0, 1)
    assert first is not None
    assert first == again
    reader.follower.advance(first)
    assert reader.follower.next_block(2.0, 1) is None


def test_an_unfinished_line_goes_out_when_its_writer_has_stopped(
    path: Path, reader: Reader
) -> None:
    append(path, "begun")
    assert reader.read() == []
    assert reader.read(4.9) == []
    assert reader.read(0.2) == ["begun"]
    append(path, " and ended\n")
    assert reader.read() == [" and ended"]
    assert [row.attributes[PIECE] for row in reader.rows] == [1, 2]


def test_a_long_line_comes_in_pieces(path: Path, reader: Reader) -> None:
    append(path, "x" * 10_000 + "\nshort\n")
    assert "".join(reader.read()) == "x" * 10_000 + "short"
    assert [row.attributes.get(PIECE) for row in reader.rows] == [*range(1, 11), None]


def test_a_restart_goes_on_after_the_last_kept_line(path: Path, reader: Reader) -> None:
    append(path, many(0, 300) + "unfin")
    reader.read()
    reader.restart()
    append(path, "ished\n")
    assert reader.read() == ["unfinished"]


def test_a_restart_within_a_long_line_goes_on_with_its_pieces(path: Path, reader: Reader) -> None:
    append(path, "y" * 2500)
    assert len("".join(reader.read())) == 2048
    reader.restart()
    append(path, "z\n")
    assert reader.read() == ["y" * 452 + "z"]
    assert reader.rows[-1].attributes == {PIECE: 3}


def test_a_renamed_file_is_finished_before_the_new_one(path: Path, reader: Reader) -> None:
    append(path, "one\n")
    reader.read()
    append(path, "two\n")
    path.rename(path.with_name("app.log.1"))
    append(path, "new one\n")
    append(path.with_name("app.log.1"), "three, by a writer that has not reopened\nlast, no end")
    assert reader.read() == ["two", "three, by a writer that has not reopened"]
    assert reader.read(2.0) == ["last, no end", "new one"]


def test_a_writer_that_goes_on_in_the_renamed_file_is_followed(path: Path, reader: Reader) -> None:
    append(path, "one\n")
    reader.read()
    path.rename(path.with_name("app.log.1"))
    append(path, "new\n")
    for number in range(5):
        append(path.with_name("app.log.1"), f"late {number}\n")
        assert reader.read(1.9) == [f"late {number}"]
    assert reader.read(2.0) == ["new"]


def test_a_deleted_file_is_finished_and_the_next_one_found(path: Path, reader: Reader) -> None:
    append(path, "one\n")
    reader.read()
    append(path, "two\n")
    path.unlink()
    assert reader.read(9.0) == ["two"]
    append(path, "three\n")
    assert reader.read(2.0) == ["three"]


def test_a_file_renamed_while_nobody_looked_is_finished_first(path: Path, reader: Reader) -> None:
    append(path, "one\n")
    reader.read()
    append(path, "two\n")
    path.rename(path.with_name("app.log.1"))
    append(path, "three\n")
    reader.restart()
    assert reader.read() == ["two"]
    assert reader.read(2.0) == ["three"]


def test_generations_made_while_nobody_looked_are_read_in_order(path: Path, reader: Reader) -> None:
    append(path, "one\n")
    reader.read()
    append(path, "two\n")
    path.rename(path.with_name("app.log.2"))
    append(path, "three\n")
    path.rename(path.with_name("app.log.1"))
    append(path, "four\n")
    for seconds, name in enumerate(("app.log.2", "app.log.1", "app.log")):
        os.utime(path.with_name(name), (1000 + seconds, 1000 + seconds))
    reader.restart()
    assert reader.read() == ["two"]
    assert reader.read(2.0) == ["three"]
    assert reader.read(2.0) == ["four"]


def test_a_truncated_file_is_read_from_its_beginning(path: Path, reader: Reader) -> None:
    append(path, "one\ntwo\n")
    reader.read()
    os.truncate(path, 0)
    assert reader.read() == []
    append(path, "three\n")
    assert reader.read() == ["three"]


def test_a_file_truncated_and_grown_past_our_place_is_noticed(path: Path, reader: Reader) -> None:
    append(path, "one\ntwo\n")
    reader.read()
    path.write_text("other lines, and more of them than before\n")
    assert reader.read() == ["other lines, and more of them than before"]


def test_what_was_copied_just_before_truncation_is_read_from_the_copy(
    path: Path, reader: Reader
) -> None:
    append(path, many(0, 100))
    reader.read()
    append(path, many(100, 110))
    shutil.copy(path, path.with_name("app.log.1"))
    os.truncate(path, 0)
    append(path, many(110, 120))
    assert reader.read() == many(100, 110).splitlines()
    assert reader.read(2.0) == many(110, 120).splitlines()


def test_a_copied_file_that_was_read_to_its_end_is_not_read_again(
    path: Path, reader: Reader
) -> None:
    append(path, many(0, 100))
    reader.read()
    shutil.copy(path, path.with_name("app.log.1"))
    os.truncate(path, 0)
    append(path, "new\n")
    assert reader.read(2.0) + reader.read(2.0) == ["new"]


def test_a_truncation_while_nobody_looked_is_noticed(path: Path, reader: Reader) -> None:
    append(path, "one\ntwo\n")
    reader.read()
    path.write_text("x\n")
    reader.restart()
    assert reader.read() == ["x"]


def test_an_inode_used_again_is_another_file(path: Path, reader: Reader) -> None:
    append(path, "one\n")
    reader.read()
    reader.follower.close()
    path.unlink()
    append(path, "new one, longer\n")
    reader.restart()
    assert reader.read() == ["new one, longer"]


def test_a_lost_file_is_said_so_once(
    path: Path, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    append(path, "one\n")
    reader.read()
    path.unlink()
    append(path, "two\n")
    reader.restart()
    reader.read()
    assert [record.message for record in caplog.records if "gone" in record.message] == [
        f"{path} is not the file that was read to byte 4 before, and that one is gone: "
        "what it got since then is not read"
    ]


@pytest.mark.parametrize("kind", ["folder", "pipe", "secret"])
def test_what_is_not_a_readable_file_is_said_once_and_waited_for(
    path: Path, reader: Reader, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        append(path, "x\n")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root can read everything")
    assert reader.read() == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_symlink_is_followed_to_the_file_it_means(path: Path, reader: Reader) -> None:
    append(path.with_name("data-1"), "one\n")
    path.symlink_to("data-1")
    assert reader.read() == ["one"]
    append(path.with_name("data-2"), "two\n")
    path.unlink()
    path.symlink_to("data-2")
    assert reader.read(2.0) == ["two"]
