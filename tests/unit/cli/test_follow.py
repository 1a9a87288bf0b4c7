"""`headwater logs --follow`: reading the stream, printing, the file of the position, and its flags."""

from pathlib import Path
from typing import Any

import click
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.event_stream import MESSAGE_BYTES_MAX, Messages
from hub.cli.follow import follow_flags, follow_if_asked, tail_params
from hub.cli.follow_output import RowPrinter, heading_of
from hub.cli.output import Column
from hub.cli.position_file import PositionFile
from hub.tail_position import Position
from shared.errors import BadInput
from shared.ranges import Ranges

COLUMNS = (Column("NODE", "node"), Column("BODY", "body"))
STREAM = (
    b'event: position\ndata: {"logs":[]}\n\n: still here\n\n'
    b'event: rows\ndata: {"rows":[1,2]}\n\nevent:bye\ndata:{}\n\n'
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    messages, found, at = Messages(), list[Any](), 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += messages.feed(STREAM[at:cut])
        at = cut
    assert found == [("position", {"logs": []}), ("rows", {"rows": [1, 2]}), ("bye", {})]


@given(pieces=st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"data: ", b"\n\n"]))))
def test_a_stream_of_anything_is_read_or_refused(pieces: list[bytes]) -> None:
    messages = Messages()
    try:
        for piece in pieces:
            list(messages.feed(piece))
    except ValueError:
        return


def test_a_message_without_an_end_is_refused() -> None:
    messages = Messages()
    with pytest.raises(ValueError, match="more than"):
        list(messages.feed(b"data: " + b"x" * MESSAGE_BYTES_MAX))


def printed(form: Any, *pages: list[dict[str, str]], capsys: pytest.CaptureFixture[str]) -> str:
    printer = RowPrinter(form, COLUMNS)
    for page in pages:
        printer.show(page)
    assert printer.rows == sum(map(len, pages))
    return capsys.readouterr().out


ROW, LONGER = {"node": "a", "body": "one"}, {"node": "a-longer-name", "body": "two\x1b[2J"}


def test_rows_stand_in_columns_and_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed("table", [ROW], [], [LONGER, ROW], capsys=capsys)
    assert text.splitlines() == [
        "NODE  BODY",
        "a     one",
        "a-longer-name  two\N{REPLACEMENT CHARACTER}[2J",
        "a              one",
    ]


def test_programs_get_one_line_of_json_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("ndjson", [ROW, LONGER], [ROW], capsys=capsys)
    assert [orjson.loads(line) for line in text.splitlines()] == [ROW, LONGER, ROW]


def test_csv_has_its_titles_once(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("csv", [ROW], [ROW], capsys=capsys)
    assert text.splitlines() == ["node,body", "a,one", "a,one"]


def test_json_without_an_end_is_refused() -> None:
    with pytest.raises(click.UsageError):
        RowPrinter("json", COLUMNS)


@pytest.mark.parametrize(
    ("event", "data", "said"),
    [
        (
            "gap",
            {"origin": "a", "gaps": [{"records": 1200, "signal": "logs", "reason": "evicted"}]},
            "gap: a declares lost: 1,200 logs records (evicted)",
        ),
        ("lag", {"chunks": 1500}, "behind by 1,500 chunks"),
        ("lag", {"chunks": 0}, "no longer behind"),
        (
            "unreadable",
            {"origin": "a", "reason": "damage"},
            "a chunk of a cannot be read there: damage",
        ),
        (
            "gone",
            {"origin": "a", "reason": "retention"},
            "what a sent meanwhile is gone there: retention",
        ),
        ("position", {"logs": []}, ""),
        ("from a newer hub", {}, ""),
    ],
)
def test_what_is_beside_the_rows_is_said(event: str, data: dict[str, Any], said: str) -> None:
    assert heading_of(event, data) == said


def test_a_position_comes_back_from_its_file(tmp_path: Path) -> None:
    file = PositionFile(tmp_path / "place")
    assert not file.load().is_whole, "there is none yet"
    file.save(Position())
    assert not file.load().is_whole, "a tail that has not begun has no position"
    position = Position(5, {("a", "e"): Ranges(((1, 9),))}, is_whole=True)
    file.save_now_and_then(position)
    assert file.load() == position
    position.see(("a", "e"), Ranges(((10, 10),)))
    file.save_now_and_then(position)
    assert file.load() != position, "it was saved a moment ago"
    file.save(position)
    assert file.load() == position
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"version": 9, "start_ms": 0, "base": []}'])
def test_a_file_that_holds_no_position_is_not_overwritten(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(text)
    with pytest.raises(BadInput, match="holds no position"):
        PositionFile(path).load()
    assert path.read_bytes() == text


def test_a_position_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        PositionFile(tmp_path / "no" / "place").save(Position(is_whole=True))
    with pytest.raises(BadInput, match="cannot be read"):
        PositionFile(tmp_path).load()


def test_only_filters_that_are_given_are_asked_for() -> None:
    filters = {"signal": "logs", "text": "a", "nodes": (), "start": "-5m", "limit": 100}
    assert tail_params(filters) == {"signal": "logs", "text": "a", "since": "-5m"}


@pytest.mark.parametrize("name", ["end", "order", "cursor"])
def test_flags_of_a_search_that_ends_are_refused(name: str) -> None:
    with pytest.raises(click.UsageError, match=f"--{name}"):
        tail_params({name: "x"})


def test_a_position_without_following_is_a_mistake() -> None:
    @click.command()
    @follow_flags
    def logs(**given: Any) -> None:
        assert not follow_if_asked(None, given, COLUMNS)  # type: ignore[arg-type]  # Nobody is asked.
        assert given == {}

    assert CliRunner().invoke(logs, []).exit_code == 0
    refused = CliRunner().invoke(logs, ["--position", "x"])
    assert refused.exit_code == 2
    assert "--follow" in refused.output
