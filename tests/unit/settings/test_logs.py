"""Log lines, and what of them reaches the screen."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import child_log
from shared.child_log import ChildLog, worth_showing
from shared.log import JsonLines, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the logs of this test go; the root logger is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    captured = io.StringIO()
    configure("info", ["s3cr3t-key"], captured)
    yield captured
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def test_a_line_is_one_json_object(stream: io.StringIO) -> None:
    """Extra fields stand beside the message; debug lines are left out."""
    log = logging.getLogger("hub.accept")
    log.debug("unseen")
    log.warning(
        "two\nlines of %s", "text", extra={"node": "edge-1", "bytes": 2**70, "path": Path("x")}
    )
    line = json.loads(stream.getvalue())
    assert line["message"] == "two\nlines of text"
    assert (line["level"], line["logger"], line["node"]) == ("warning", "hub.accept", "edge-1")
    assert line["bytes"] == str(2**70)
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize(
    "text",
    [
        "the key is s3cr3t-key, they say",
        "Authorization: Bearer abc.def",
        "GET /login?token=abc.def&x=1",
        "password: abc.def",
    ],
)
def test_secrets_never_reach_the_log(stream: io.StringIO, text: str) -> None:
    """Neither known ones nor what looks like one, in messages, fields or tracebacks."""
    log = logging.getLogger("hub")
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception(text, extra={"header": text, "admin_token": "abc.def"})
    assert "s3cr3t-key" not in stream.getvalue()
    assert "abc.def" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_an_undecodable_name_does_not_break_the_log() -> None:
    """File names may hold bytes that are no text."""
    record = logging.makeLogRecord({"msg": "file \udcff", "levelname": "INFO"})
    assert json.loads(JsonLines().format(record))["message"] == "file \\udcff"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"level": "warning", "message": "disk is full"}', "warning: disk is full"),
        ('{"level": "info", "message": "started"}', None),
        ("headwater: port taken\n", "headwater: port taken"),
        ("", None),
        ("17", "17"),
    ],
)
def test_warnings_and_plain_text_are_shown(line: str, shown: str | None) -> None:
    """A traceback is no log line, and just what a person must see."""
    assert worth_showing(line) == shown


def test_a_log_is_read_along_in_whole_lines(tmp_path: Path) -> None:
    """What was there before is not shown again, and half a line waits for its end."""
    path = tmp_path / "log"
    path.write_text("old\n")
    log = ChildLog(path)
    with log.open() as file:
        file.write(b"new\nha")
        file.flush()
        assert log.new_lines() == ["new"]
        file.write(b"lf\n")
        file.flush()
        assert log.new_lines() == ["half"]


def test_a_loud_child_does_not_drown_the_others(tmp_path: Path) -> None:
    """The rest is counted, and named by its file."""
    log = ChildLog(tmp_path / "log")
    with log.open() as file:
        file.write(b"".join(b"x" * n + b"\n" for n in range(1, 501)))
        file.flush()
        lines = log.new_lines()
    assert len(lines) == child_log.SHOWN_LINES_MAX + 1
    assert lines[-1] == f"... and 480 more lines in {tmp_path / 'log'}"


def test_a_warning_that_repeats_is_shown_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the numbers in it; something else is shown at once."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    log = ChildLog(tmp_path / "log")
    with log.open() as file:
        file.write(b"again in 0.5 s\nagain in 12 s\nother\n")
        file.flush()
        assert log.new_lines() == ["again in 0.5 s", "other"]
        now += child_log.REPEAT_SECONDS_MIN
        file.write(b"again in 3 s\n")
        file.flush()
        assert log.new_lines() == ["again in 3 s"]


def test_a_log_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older half is kept beside it, and the child writes on."""
    monkeypatch.setattr(child_log, "LOG_BYTES_MAX", 100)
    log = ChildLog(tmp_path / "log")
    with log.open() as file:
        file.write(b"x" * 101)
        file.flush()
        log.rotate()
        file.write(b"after\n")
        file.flush()
        assert log.new_lines() == ["after"]
    assert (tmp_path / "log").read_bytes() == b"after\n"
    assert (tmp_path / "log.1").read_bytes() == b"x" * 101
