"""The capped console log keeps the newest bytes under offsets that never go back."""

from pathlib import Path

from edge.vm.console_log import ConsoleLog, log_files, read_console

HALF = 4096


def test_everything_is_read_back_until_the_cap(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path, 2 * HALF)
    log.append(b"hello ")
    log.append(b"world")
    log.close()
    assert read_console(tmp_path, 0, 100).data == b"hello world"
    assert read_console(tmp_path, 6, 3).data == b"wor"
    assert read_console(tmp_path, None, 5).data == b"world"


def test_a_flood_keeps_the_newest_bytes_and_a_bounded_size(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path, 2 * HALF)
    whole = b"".join(b"%07d\n" % number for number in range(4000))
    for start in range(0, len(whole), 1000):
        log.append(whole[start : start + 1000])
    log.close()
    page = read_console(tmp_path, 0, len(whole))
    assert page.size == len(whole)
    assert HALF <= len(page.data) <= 2 * HALF
    assert page.data == whole[page.offset :]
    assert sum(Path(path).stat().st_size for _, path in log_files(tmp_path)) <= 2 * HALF


def test_a_second_run_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    for text in (b"first ", b"second"):
        log = ConsoleLog(tmp_path, 2 * HALF)
        log.append(text)
        log.close()
    assert read_console(tmp_path, 0, 100).data == b"first second"


def test_an_offset_past_the_end_reads_nothing(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path, 2 * HALF)
    log.append(b"abc")
    log.close()
    page = read_console(tmp_path, 1000, 10)
    assert (page.offset, page.data) == (3, b"")


def test_a_machine_that_never_ran_has_an_empty_console(tmp_path: Path) -> None:
    assert read_console(tmp_path, 0, 10).data == b""
