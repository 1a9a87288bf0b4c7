"""OTLP log bodies as an ordinary fleet sends them: a dozen messages, a few attributes, some traces."""

from random import Random

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

MESSAGES = (
    "GET /api/v1/orders/{n} 200 in {m} ms",
    "POST /api/v1/orders 201 in {m} ms",
    "cache miss for key user:{n}",
    "connection from 10.0.{m}.17 accepted",
    "job {n} finished in {m} ms",
    "retrying request {n} after {m} ms",
    "slow query: {m} ms for select * from orders where id = {n}",
    "user {n} signed in",
    "queue depth is {m}",
    "wrote segment {n} of {m} KiB",
    "health check passed in {m} ms",
    "session {n} expired after {m} s",
)


def log_body(records: int, first: int, time_ns: int) -> bytes:
    """One export request with this many records, numbered from `first`."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.append(text_attribute("service.name", "shop"))
    group.resource.attributes.append(text_attribute("host.name", "web-17"))
    scope = group.scope_logs.add()
    scope.scope.name = "shop.web"
    # Ids must not compress, but every run should send the same.
    chance = Random(first)  # noqa: S311  # No secret is made of it.
    for number in range(first, first + records):
        record = scope.log_records.add()
        record.time_unix_nano = record.observed_time_unix_nano = time_ns + number * 1000
        record.severity_number = SeverityNumber.SEVERITY_NUMBER_INFO
        record.severity_text = "INFO"
        record.body.string_value = MESSAGES[number % 12].format(n=number, m=chance.randrange(997))
        record.attributes.append(
            text_attribute("http.request.method", "GET" if number % 3 else "POST")
        )
        record.attributes.append(
            text_attribute("url.path", f"/api/v1/orders/{chance.randrange(10**6)}")
        )
        if number % 2:
            record.attributes.append(
                text_attribute("client.address", f"10.0.{chance.randrange(256)}.17")
            )
        if number % 5 < 2:
            record.trace_id, record.span_id = chance.randbytes(16), chance.randbytes(8)
    return request.SerializeToString()


def text_attribute(key: str, value: str) -> KeyValue:
    """An attribute with a text."""
    return KeyValue(key=key, value=AnyValue(string_value=value))
