"""Opening OTLP bodies of either encoding, as objects with the field names of the protobuf files.

Source: https://github.com/open-telemetry/opentelemetry-proto.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared import otlp_json
from shared.errors import BadInput
from shared.otlp_weight import check_json, check_proto, family_of
from shared.records import Encoding, Signal

_MESSAGE: Mapping[Signal, type[Message]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.EVENTS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
}

_FAMILY = {signal: family_of(message) for signal, message in _MESSAGE.items()}


def read_proto(signal: Signal, body: bytes) -> Any:
    """The request in a protobuf body; raises BadInput when it is malformed or nested too deeply.

    Raises TooLarge before a body of countless tiny messages can fill the memory.
    """
    check_size(signal, body)
    try:
        return _MESSAGE[signal].FromString(body)
    except DecodeError as error:
        name = _MESSAGE[signal].__name__
        why = f"the body of {len(body)} bytes is not a protobuf {name}"
        raise BadInput(f"{why}: {_plain(error)}") from error


def check_size(signal: Signal, body: bytes) -> None:
    """Raise TooLarge before a protobuf body of countless tiny messages is walked or decoded."""
    check_proto(_FAMILY[signal], body)


def read_json(signal: Signal, body: bytes) -> Any:
    """The request in a JSON body as it arrives; raises BadInput, or TooLarge as read_proto does."""
    check_json(body)
    return otlp_json.read_request(signal, body)


def open_body(signal: Signal, encoding: Encoding, body: bytes) -> Iterator[Any]:
    """Every request in a stored, decompressed body, in order; raises BadInput."""
    if encoding == Encoding.PROTO:
        yield read_proto(signal, body)
    else:
        check_json(body)
        yield from otlp_json.read_requests(signal, body)


def _plain(error: DecodeError) -> str:
    return str(error).splitlines()[0].rstrip(". ") if str(error) else "malformed"
