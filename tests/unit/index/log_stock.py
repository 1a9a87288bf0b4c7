"""Random chunks of logs with a small vocabulary, so that questions often hit, and the plain truth."""

from collections import Counter
from collections.abc import Mapping

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from hub.index.words import words_of
from hub.query.log_attributes import attribute_test
from hub.query.log_filter import LogFilter
from hub.query.match import severity_number, texts_in
from hub.query.probe import fold
from hub.query.scan import clamp_time
from shared.otlp_log_entries import LogEntry, log_entries
from shared.otlp_rows import LogRow
from shared.records import ChunkHeader, Encoding
from tests.unit.otlp.samples import to_json

S = 1_000_000_000
T0_S = 1_790_000_000
NODES = ("edge-a", "edge-b")
SERVICES = ("shop", "Shop", "bank é")
TRACES = ("0af7651916cd43dd8448eb211c80319c", "ffffffffffffffff8448eb211c80319d")
KEYS = ("k", "http.method", "service.name")
WORDS = ("get", "GET", "order_17", "é", "Straße", "7", "404", "x" * 70, "x" * 64, "\U0001f600")
GAPS = (" ", "/", "-", "\n", "\0", ".", "\u2009", "")

texts = st.builds(
    lambda pairs: "".join(word + gap for word, gap in pairs),
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), max_size=5),
)
_plain_values = st.one_of(
    st.builds(AnyValue, string_value=texts),
    st.builds(AnyValue, string_value=texts),
    st.builds(AnyValue, int_value=st.sampled_from([0, 7, 404, -1])),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, double_value=st.sampled_from([1.5, 404.0, float("nan"), float("-inf")])),
    st.builds(AnyValue, bytes_value=st.sampled_from([b"", b"get", b"\xff\xfe"])),
    st.just(AnyValue()),
)
any_values = st.recursive(
    _plain_values,
    lambda inner: st.one_of(
        st.builds(
            lambda items: AnyValue(array_value=ArrayValue(values=items)),
            st.lists(inner, max_size=3),
        ),
        st.builds(
            lambda pairs: AnyValue(kvlist_value=KeyValueList(values=pairs)),
            st.lists(st.builds(KeyValue, key=st.sampled_from(KEYS), value=inner), max_size=3),
        ),
    ),
    max_leaves=4,
)
attributes = st.lists(
    st.builds(KeyValue, key=st.sampled_from((*KEYS, "")), value=any_values), max_size=3
)
records = st.builds(
    LogRecord,
    time_unix_nano=st.sampled_from([0, 1, (T0_S + 5) * S, (T0_S + 27) * S, 2**63 - 1]),
    observed_time_unix_nano=st.sampled_from([0, (T0_S + 14) * S]),
    severity_number=st.sampled_from([0, 0, 1, 9, 17, 24]),
    severity_text=st.sampled_from(["", "Error", " warn ", "odd"]),
    body=any_values,
    attributes=attributes,
    trace_id=st.sampled_from([b"", bytes(16), *map(bytes.fromhex, TRACES)]),
    event_name=st.sampled_from(["", "order.placed", "é"]),
)
_services = st.one_of(
    st.sampled_from([AnyValue(string_value=name) for name in SERVICES]),
    st.just(AnyValue(int_value=7)),
)
resources = st.builds(
    lambda own, service: Resource(
        attributes=[*own, *(KeyValue(key="service.name", value=each) for each in service)]
    ),
    attributes,
    st.lists(_services, max_size=1),
)
requests = st.builds(
    ExportLogsServiceRequest,
    resource_logs=st.lists(
        st.builds(
            ResourceLogs,
            resource=resources,
            scope_logs=st.lists(
                st.builds(ScopeLogs, log_records=st.lists(records, max_size=4)), max_size=2
            ),
        ),
        max_size=2,
    ),
)
_wishes = st.builds(
    attribute_test,
    st.sampled_from(KEYS),
    st.one_of(texts, st.sampled_from([0, 7, 404, 1.5, 404.0, True, "NaN", "null", "[]", "{}"])),
)
wanted = st.builds(
    LogFilter,
    severity_min=st.sampled_from([0, 0, 0, 1, 13, 17, 24]),
    text=st.one_of(st.just(""), texts, texts.map(str.upper)),
    words=st.lists(st.sampled_from(WORDS[:-1]).map(fold), max_size=2).map(tuple),
    services=st.one_of(
        st.none(), st.sampled_from((*SERVICES, "7")).map(lambda name: frozenset({name}))
    ),
    trace_id=st.one_of(st.none(), st.none(), st.sampled_from(TRACES)),
    attributes=st.lists(_wishes, max_size=1).map(tuple),
    event_name=st.sampled_from(["", "", "", "order.placed", "order."]),
    event_name_begins=st.booleans(),
    subject=st.one_of(st.none(), st.none(), texts),
)

Stored = tuple[int, ChunkHeader, bytes]


def header(
    seq: int, encoding: Encoding, origin: str = "edge-a", last_s: int = T0_S + 20
) -> ChunkHeader:
    """The header of a chunk of the twenty seconds from T0_S on, or whatever `last_s` says."""
    return ChunkHeader(
        origin=origin,
        epoch="e",
        seq=seq,
        signal="logs",
        encoding=encoding,
        codec="zstd",
        records=1,
        raw_bytes=0,
        stored_bytes=0,
        time_min_ns=T0_S * S,
        time_max_ns=last_s * S,
        created_ms=(T0_S + 12) * 1000,
        body_sha256=b"",
        previous_hash=b"",
    )


def body_of(encoding: Encoding, *held: ExportLogsServiceRequest) -> bytes:
    """The requests as they are stored."""
    if encoding is Encoding.PROTO:
        return b"".join(request.SerializeToString() for request in held)
    return b"[" + b",".join(map(to_json, held)) + b"]"


@st.composite
def stocks(draw: st.DrawFn) -> list[Stored]:
    """A few chunks by ascending arrival."""
    drawn = draw(
        st.lists(
            st.tuples(requests, st.sampled_from(list(Encoding)), st.sampled_from(NODES)), max_size=4
        )
    )
    return [
        (2 * at + 1, header(at, encoding, origin), body_of(encoding, request))
        for at, (request, encoding, origin) in enumerate(drawn)
    ]


def entries_of(chunk: Stored) -> list[LogEntry]:
    """Every record of a chunk, as a scan reads it."""
    _, own, body = chunk
    return list(log_entries(Encoding(own.encoding), body))


def words_in(row: LogRow) -> set[bytes]:
    """The words of a record that a search reads."""
    searched = texts_in([row.body, row.event_name, row.attributes])
    return {word for text in searched for word in words_of(fold(text))}


def resource_name(resource: Mapping[str, object]) -> str:
    """The service that a question can name, or ""."""
    service = resource.get("service.name")
    return service if isinstance(service, str) else ""


def bins_of(chunk: Stored) -> Counter[tuple[int, str, int, str]]:
    """Its records by bin, node, severity and service, counted one by one."""
    counted: Counter[tuple[int, str, int, str]] = Counter()
    for row in (entry.row() for entry in entries_of(chunk)):
        at_s = clamp_time(chunk[1], row.time_ns) // S
        name = resource_name(row.resource)
        severity = severity_number(row.severity_number, row.severity_text)
        counted[at_s - at_s % 10, chunk[1].origin, severity, name] += 1
    return counted
