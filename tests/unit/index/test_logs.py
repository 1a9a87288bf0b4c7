"""The index of logs against the plain truth: it may name too many chunks, never too few."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from hub.index import logs
from hub.index.files import Given, fill, open_for_read, open_for_write
from hub.index.log_gist import VALUES_MAX, read_gist
from hub.index.log_reader import LogIndex
from hub.index.logs import LogIndexer
from hub.query.log_filter import LogFilter, needs_of
from hub.query.match import as_text
from hub.query.needs import Needs
from shared.errors import BadInput
from shared.records import Encoding
from tests.unit.index.log_stock import (
    NODES,
    SERVICES,
    T0_S,
    S,
    Stored,
    bins_of,
    body_of,
    entries_of,
    header,
    requests,
    resource_name,
    stocks,
    wanted,
    words_in,
)
from tests.unit.otlp.samples import patient


@contextlib.contextmanager
def index_of(chunks: Sequence[Given]) -> Iterator[LogIndex]:
    """A closed and reopened index of these chunks."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index.db"
        indexer = LogIndexer()
        with contextlib.closing(open_for_write(path, indexer.tables(), "store")) as connection:
            fill(connection, indexer, chunks)
        reading = open_for_read(path, "store")
        assert reading is not None
        with LogIndex(reading) as index:
            yield index


def hits(chunks: Sequence[Stored], asked: LogFilter) -> set[int]:
    return {chunk[0] for chunk in chunks if any(map(asked.accepts, entries_of(chunk)))}


@patient
@given(stocks(), st.lists(wanted, min_size=1, max_size=8))
def test_no_chunk_with_a_hit_is_pruned(chunks: list[Stored], questions: list[LogFilter]) -> None:
    """Whatever is asked, in either encoding."""
    with index_of(chunks) as index:
        for asked in questions:
            named = index.candidates(needs_of(asked))
            if named is not None:
                assert hits(chunks, asked) <= named <= {arrival for arrival, _, _ in chunks}


@patient
@given(stocks(), st.data())
def test_a_question_made_of_a_record_finds_its_chunk(
    chunks: list[Stored], data: st.DataObject
) -> None:
    """Random questions seldom hit; these always do."""
    with index_of(chunks) as index:
        for chunk in chunks:
            for entry in entries_of(chunk):
                row = entry.row()
                needs = Needs(
                    words=tuple(data.draw(st.sets(_one_of(words_in(row))))),
                    service=resource_name(row.resource) or None,
                    trace_id=row.trace_id or None,
                    attributes=tuple(
                        (key, as_text(value))
                        for key, value in {**row.resource, **row.attributes}.items()
                    ),
                    severity_min=row.severity_number,
                )
                named = index.candidates(needs)
                assert named is None or chunk[0] in named


def _one_of(words: set[bytes]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(sorted(words)) if words else st.nothing()


@patient
@given(
    stocks(),
    st.sampled_from([T0_S, T0_S + 10]),
    st.sampled_from([T0_S + 10, T0_S + 20, T0_S + 100]),
    st.one_of(st.none(), st.frozensets(st.sampled_from(NODES))),
    st.sampled_from([0, 9, 17]),
    st.one_of(st.none(), st.sampled_from(SERVICES)),
)
def test_bins_hold_each_record_once_where_the_rows_have_it(
    chunks: list[Stored],
    start_s: int,
    end_s: int,
    nodes: frozenset[str] | None,
    severity_min: int,
    service: str | None,
) -> None:
    """Counted one by one, by the dates, severities and services of the rows."""
    counted: Counter[tuple[int, str, int, str]] = Counter()
    for chunk in chunks:
        counted.update(bins_of(chunk))
    expected = {
        key: records
        for key, records in counted.items()
        if start_s <= key[0] < end_s
        and (nodes is None or key[1] in nodes)
        and key[2] >= severity_min
        and service in (None, key[3])
    }
    with index_of(chunks) as index:
        asked = (nodes, severity_min, service)
        rows = list(index.bins(start_s, end_s, *asked))
        assert {row[:4]: row[4] for row in rows} == expected
        assert len(rows) == len(expected)
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
        sums: Counter[tuple[int, int]] = Counter()
        for (at_s, _, severity, _), records in expected.items():
            sums[at_s - (at_s - start_s) % 20, severity] += records
        summed = {(at, severity): n for at, severity, n in index.sums(start_s, end_s, 20, *asked)}
        assert summed == sums


@patient
@given(requests)
def test_both_encodings_are_indexed_alike(request: ExportLogsServiceRequest) -> None:
    """A chunk is found in the same way whichever way it came."""
    gists = [
        read_gist(header(1, encoding), body_of(encoding, request, request)) for encoding in Encoding
    ]
    assert gists[0].vocabulary() == gists[1].vocabulary()
    assert gists[0].bins == gists[1].bins


@patient
@given(st.sampled_from(list(Encoding)), st.binary(max_size=200))
def test_any_bytes_are_indexed_or_refused(encoding: Encoding, body: bytes) -> None:
    """Nothing else than BadInput comes of a body that is none."""
    with contextlib.suppress(BadInput):
        read_gist(header(1, encoding), body).vocabulary()


def chunk_of(arrival: int, *held: LogRecord, last_s: int = T0_S + 20) -> Stored:
    request = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=held)])]
    )
    own = header(arrival, Encoding.PROTO, last_s=last_s)
    return arrival, own, body_of(Encoding.PROTO, request)


def said(text: str, **fields: AnyValue) -> LogRecord:
    return LogRecord(
        time_unix_nano=T0_S * S,
        body=AnyValue(string_value=text),
        attributes=[KeyValue(key=key, value=value) for key, value in fields.items()],
    )


def test_what_a_chunk_lacks_prunes_it() -> None:
    """Each part of a question alone is enough."""
    chunks = [
        chunk_of(1, said("order placed", code=AnyValue(int_value=404))),
        chunk_of(2, LogRecord(severity_number=17, trace_id=b"\x01" * 16)),  # type: ignore[arg-type]
    ]
    with index_of(chunks) as index:
        assert index.candidates(Needs(words=(b"placed",))) == {1}
        assert index.candidates(Needs(words=(b"place",))) == set()
        assert index.candidates(Needs(words=(b"placed",), severity_min=17)) == set()
        assert index.candidates(Needs(attributes=(("code", "404"),))) == {1}
        assert index.candidates(Needs(attributes=(("code", "40"),))) == set()
        assert index.candidates(Needs(trace_id="01" * 16)) == {2}
        assert index.candidates(Needs(service="shop")) == set()
        assert index.candidates(Needs(severity_min=9)) == {2}
        assert index.candidates(Needs()) is None


@pytest.mark.parametrize("kind", ["text", "number"])
def test_an_attribute_of_many_values_is_still_found_by_each(kind: str) -> None:
    """They have no terms of their own then, but words."""

    def value(number: int) -> AnyValue:
        if kind == "text":
            return AnyValue(string_value=f"/Orders/{number}")
        return AnyValue(int_value=number)

    many = range(1000, 1000 + VALUES_MAX + 1)
    chunks = [
        chunk_of(1, *(said("x", path=value(number)) for number in many)),
        chunk_of(2, *(said("x", path=value(number)) for number in range(5000, 5003))),
        chunk_of(3, *(said(f"/orders/{number}") for number in many)),
    ]
    with index_of(chunks) as index:
        for number in many:
            asked = f"/Orders/{number}" if kind == "text" else str(number)
            assert index.candidates(Needs(attributes=(("path", asked),))) == {1}
        asked = "/Orders/5001" if kind == "text" else "5001"
        assert index.candidates(Needs(attributes=(("path", asked),))) == {2}


def test_chunks_that_cannot_be_read_may_hold_anything() -> None:
    """A missing body, a broken one, and one of an unknown encoding count as indexed."""
    unknown = msgspec.structs.replace(header(5, Encoding.PROTO), encoding="later")
    chunks: list[Given] = [
        chunk_of(1, said("order placed")),
        (2, header(2, Encoding.PROTO), None),
        (3, header(3, Encoding.JSON), b"{"),
        (4, header(4, Encoding.PROTO), b"\xff"),
        (5, unknown, b""),
        chunk_of(6, said("order sent")),
    ]
    with index_of(chunks) as index:
        assert index.through == 6
        assert index.candidates(Needs(words=(b"placed",))) == {1, 2, 3, 4, 5}
        assert index.unbinned() == {2, 3, 4, 5}
        assert sum(row[-1] for row in index.bins(0, T0_S * 2)) == 2


def test_a_chunk_of_too_many_bins_is_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender of scattered times costs a histogram some reading, not the index its size."""
    monkeypatch.setattr(logs, "BINS_MAX", 3)
    scattered = [LogRecord(time_unix_nano=(T0_S + 10 * at) * S) for at in range(4)]
    chunks = [
        chunk_of(1, *scattered, last_s=T0_S + 100),
        chunk_of(2, *scattered[:3], last_s=T0_S + 100),
    ]
    with index_of(chunks) as index:
        assert index.unbinned() == {1}
        assert [row[0] for row in index.bins(0, T0_S * 2)] == [T0_S, T0_S + 10, T0_S + 20]


def test_a_text_of_very_many_words_is_a_question_like_any_other() -> None:
    """FTS5 would refuse an expression that is too deep."""
    words = tuple(b"word%d" % number for number in range(500))
    with index_of([chunk_of(1, said(b" ".join(words).decode())), chunk_of(2, said("word1"))]) as x:
        assert x.candidates(Needs(words=words)) == {1}


def test_a_damaged_index_says_so(tmp_path: Path) -> None:
    """Then the caller reads the chunks."""
    path = tmp_path / "index.db"
    indexer = LogIndexer()
    with contextlib.closing(open_for_write(path, indexer.tables(), "store")) as connection:
        fill(connection, indexer, [chunk_of(at, said(f"word{at}")) for at in range(1, 50)])
    with path.open("r+b") as file:  # What is behind the pages that are read on opening.
        size = file.seek(0, 2)
        file.seek(5 * 4096)
        file.write(b"\xa5" * (size - 5 * 4096))
    reading = open_for_read(path, "store")
    assert reading is not None
    with LogIndex(reading) as index:
        with pytest.raises(BadInput, match="index cannot be read"):
            index.candidates(Needs(words=(b"word7",)))
        with pytest.raises(BadInput, match="index cannot be read"):
            list(index.bins(0, T0_S * 2))
