"""The log records that edges of a simulation produce, each with a name of its own."""

from collections.abc import Iterator, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from shared.codec import decompress
from shared.otlp import read_part
from shared.otlp_make import resource_of, value_of
from shared.otlp_rows import log_rows
from shared.records import Chunk, Encoding, Part, Signal

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def part_of(names: Sequence[str], time_ns: int, *, as_json: bool) -> Part:
    """One OTLP request with a log record for each name, read as the receiver reads it."""
    if as_json:
        return read_part(Signal.LOGS, JSON, _json(names, time_ns))
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add(resource=resource_of({"service.name": "simulated"}))
    records = held.scope_logs.add().log_records
    for name in names:
        records.add(time_unix_nano=time_ns, body=value_of(name))
    return read_part(Signal.LOGS, PROTOBUF, request.SerializeToString())


def _json(names: Sequence[str], time_ns: int) -> bytes:
    records = ",".join(
        f'{{"timeUnixNano":"{time_ns}","body":{{"stringValue":"{name}"}}}}' for name in names
    )
    return f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}'.encode()


def names_in(chunk: Chunk) -> Iterator[str]:
    """The names of the records in a chunk, in their order."""
    for row in log_rows(Encoding(chunk.header.encoding), decompress(chunk.body)):
        yield str(row.body)
