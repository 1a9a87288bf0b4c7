"""The OTLP door as a client sees it: statuses, bodies, headers and counters."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Ships no types.
from prometheus_client import CollectorRegistry

from edge.receive.otlp import otlp_app
from shared.codec import BODY_BYTES_MAX, compress
from shared.receive.body import BodyLimits
from shared.receive.counters import ReceiveCounters
from shared.records import MIB, Part, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, T0, to_json
from tests.unit.receive.sinks import ListSink

LOGS = samples.logs(T0, T0 + 1)
REQUESTS = {
    "/v1/logs": LOGS,
    "/v1/metrics": samples.metrics(),
    "/v1/traces": samples.spans(),
}

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": compress}


class Door:
    """The app, a client to it, and what both leave behind."""

    def __init__(self, limits: BodyLimits | None = None) -> None:
        self.sink = ListSink()
        self.registry = CollectorRegistry()
        self.app = otlp_app(self.sink, ReceiveCounters(self.registry), limits=limits)
        transport = httpx.ASGITransport(self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://edge")

    async def post(
        self, path: str, body: Any, content_type: str = PROTO, **headers: str
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(
            path, content=body, headers={"content-type": content_type, **named}
        )

    def counted(self, signal: str, outcome: str, reason: str) -> float:
        labels = {"signal": signal, "outcome": outcome, "reason": reason}
        return self.registry.get_sample_value("headwater_receive_requests_total", labels) or 0.0


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    yield door
    await door.client.aclose()


@pytest.fixture
async def narrow_door() -> AsyncIterator[Door]:
    """A door with limits small enough to be passed cheaply."""
    door = Door(BodyLimits(body_bytes_max=10_000, held_bytes_max=25_000, read_seconds_max=0.2))
    yield door
    await door.client.aclose()


async def test_a_protobuf_request_is_kept_as_it_came(door: Door) -> None:
    body = LOGS.SerializeToString()
    reply = await door.post("/v1/logs", body)
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["content-type"] == PROTO
    (part,) = door.sink.parts
    assert (part.body, part.signal, part.records) == (body, Signal.LOGS, 2)


async def test_a_json_request_is_answered_in_json(door: Door) -> None:
    reply = await door.post("/v1/logs", to_json(LOGS), "application/json; charset=utf-8")
    assert (reply.status_code, reply.json()) == (200, {})
    assert reply.headers["content-type"] == JSON
    assert door.sink.lines() == ["hello 0", "hello 1"]


@pytest.mark.parametrize("size", [2, 5_000])
@pytest.mark.parametrize("content_type", [PROTO, JSON])
@pytest.mark.parametrize("encoding", PACKERS)
async def test_a_packed_request_is_kept_unpacked(
    door: Door, encoding: str, content_type: str, size: int
) -> None:
    request = samples.logs(*range(T0, T0 + size))
    plain = request.SerializeToString() if content_type == PROTO else to_json(request)
    packed = PACKERS[encoding](plain)
    reply = await door.post("/v1/logs", packed, content_type, content_encoding=encoding)
    assert reply.status_code == 200
    assert door.sink.parts[0].records == size
    assert door.sink.parts[0].body == (plain if content_type == PROTO else b"[" + plain + b"]")


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(
    ("content_type", "body", "empty"), [(PROTO, b"", b""), (JSON, b"{}", b"{}")]
)
async def test_an_empty_request_succeeds_and_keeps_nothing(
    door: Door, path: str, content_type: str, body: bytes, empty: bytes
) -> None:
    reply = await door.post(path, body, content_type)
    assert (reply.status_code, reply.content) == (200, empty)
    assert door.sink.parts == []


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        (PROTO, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not a protobuf"),
        (PROTO, b"what is this", "not a protobuf"),
        (JSON, b"{", "not JSON"),
        (JSON, b'{"resourceLogs":[{"scopeLogs":7}]}', "resourceLogs[0].scopeLogs"),
    ],
)
async def test_bad_data_is_refused_for_good_with_a_status_that_says_why(
    door: Door, content_type: str, body: bytes, words: str
) -> None:
    reply = await door.post("/v1/logs", body, content_type)
    assert reply.status_code == 400
    assert reply.headers["content-type"] == content_type
    assert "retry-after" not in reply.headers
    if content_type == JSON:
        status = reply.json()
        code, message = status["code"], status["message"]
    else:
        parsed = Status.FromString(reply.content)
        code, message = parsed.code, parsed.message
    assert code == 3
    assert words in message
    assert door.counted("logs", "refused", "bad_data") == 1
    assert door.sink.parts == []


async def test_bad_data_disturbs_nothing_else(door: Door) -> None:
    bad = [door.post("/v1/logs", b"\xff" * 100) for _ in range(20)]
    good = [door.post("/v1/logs", LOGS.SerializeToString()) for _ in range(20)]
    replies = await asyncio.gather(*bad, *good)
    assert [reply.status_code for reply in replies] == [400] * 20 + [200] * 20
    assert len(door.sink.parts) == 20


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_other_content_types_are_415(door: Door, content_type: str) -> None:
    reply = await door.post("/v1/traces", b"x", content_type)
    assert reply.status_code == 415
    assert "send application/x-protobuf or application/json" in reply.json()["message"]
    assert door.counted("traces", "refused", "unsupported_type") == 1


@pytest.mark.parametrize("encoding", ["zstd, zstd", "deflate", "br", "gzip, gzip"])
async def test_other_content_encodings_are_415(door: Door, encoding: str) -> None:
    reply = await door.post("/v1/logs", b"x", JSON, content_encoding=encoding)
    assert reply.status_code == 415
    assert "send gzip, zstd or none" in reply.json()["message"]


@pytest.mark.parametrize("encoding", PACKERS)
async def test_what_is_not_packed_as_it_says_is_400(door: Door, encoding: str) -> None:
    whole = PACKERS[encoding](LOGS.SerializeToString())
    for body in (b"", b"plain", whole[:-5], whole + b"more"):
        reply = await door.post("/v1/logs", body, content_encoding=encoding)
        assert reply.status_code == 400
        assert encoding in Status.FromString(reply.content).message


async def test_a_big_body_is_read_off_the_event_loop() -> None:
    offloaded = 0

    async def offload(work: Callable[[], Part]) -> Part:
        nonlocal offloaded
        offloaded += 1
        return work()

    sink = ListSink()
    app = otlp_app(sink, ReceiveCounters(CollectorRegistry()), offload=offload)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
        for text in ("small", "big" * MIB):
            body = samples.logs(T0, text=text).SerializeToString()
            reply = await client.post("/v1/logs", content=body, headers={"content-type": PROTO})
            assert reply.status_code == 200
    assert offloaded == 1
    assert len(sink.parts) == 2


async def test_an_unknown_path_is_404_with_the_paths_there_are(door: Door) -> None:
    for path in ("/v1/profiles", "/", "/v1/logs/", "/V1/LOGS", "/v1/events"):
        reply = await door.post(path, b"{}", JSON)
        assert reply.status_code == 404
        assert "POST /v1/logs, POST /v1/metrics, POST /v1/traces" in reply.json()["message"]
    assert door.counted("none", "refused", "unknown_path") == 5


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "DELETE"])
async def test_another_method_is_405_and_names_the_right_one(door: Door, method: str) -> None:
    reply = await door.client.request(method, "/v1/logs")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert "access-control-allow-origin" not in reply.headers


async def test_a_web_page_cannot_write(door: Door) -> None:
    reply = await door.post("/v1/logs", b"{}", JSON, origin="https://somewhere.example")
    assert reply.status_code == 403
    assert door.counted("logs", "refused", "browser") == 1


async def test_a_full_buffer_is_503_with_whole_seconds(door: Door) -> None:
    door.sink.refusals, door.sink.retry_after_seconds = 1, 2.3
    reply = await door.post("/v1/logs", to_json(LOGS), JSON)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "3")
    assert reply.json() == {"code": 14, "message": "the buffer is full"}
    assert door.counted("logs", "refused", "busy") == 1
    assert (await door.post("/v1/logs", to_json(LOGS), JSON)).status_code == 200


async def test_a_zstd_bomb_is_413(door: Door) -> None:
    bomb = compress(bytes(70 * MIB))
    assert len(bomb) < MIB
    reply = await door.post("/v1/logs", bomb, content_encoding="zstd")
    assert reply.status_code == 413


async def test_a_declared_body_over_the_limit_is_413_before_it_is_read(door: Door) -> None:
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b""

    length = str(BODY_BYTES_MAX + 1)
    reply = await door.post("/v1/logs", body(), content_length=length)
    assert reply.status_code == 413
    assert not read
    assert str(BODY_BYTES_MAX) in Status.FromString(reply.content).message


async def test_an_undeclared_body_over_the_limit_is_413_while_it_is_read(narrow_door: Door) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield bytes(1000)

    messages = body()
    answers = await call(narrow_door, {"transfer-encoding": "chunked"}, messages)
    assert answers[0]["status"] == 413
    assert sent <= 12_000


@pytest.mark.parametrize("level", [1, 9])
async def test_a_gzip_bomb_is_413(door: Door, level: int) -> None:
    packer = zlib.compressobj(level, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(70)) + packer.flush()
    assert len(bomb) < MIB
    reply = await door.post("/v1/logs", bomb, content_encoding="gzip")
    assert reply.status_code == 413
    assert door.counted("logs", "refused", "too_large") == 1


@pytest.mark.parametrize("length", ["-5", "ten", "1e3"])
async def test_a_content_length_that_is_no_size_is_400(door: Door, length: str) -> None:
    answers = await call(door, {"content-length": length}, pieces())
    assert answers[0]["status"] == 400


async def pieces(*held: bytes) -> AsyncIterator[bytes]:
    for piece in held:
        yield piece


async def call(
    door: Door, headers: dict[str, str], body: AsyncIterator[bytes], *, then: str = "end"
) -> list[Any]:
    """One request straight into the app: what it sent back. `then` is how the body ends."""
    sent: list[Any] = []
    all_headers = {"content-type": PROTO, **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/logs",
        "headers": [(name.encode(), value.encode()) for name, value in all_headers.items()],
    }

    async def receive() -> Any:
        async for piece in body:
            return {"type": "http.request", "body": piece, "more_body": True}
        if then == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect" if then == "gone" else "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await door.app(scope, receive, send)
    return sent


async def test_a_body_in_many_pieces_is_put_together(door: Door) -> None:
    body = LOGS.SerializeToString()
    answers = await call(door, {}, pieces(*(body[at : at + 1] for at in range(len(body)))))
    assert answers[0]["status"] == 200
    assert door.sink.parts[0].body == body


async def test_a_sender_that_hangs_up_gets_no_answer_and_leaves_nothing(door: Door) -> None:
    assert await call(door, {}, pieces(b"\x0a"), then="gone") == []
    assert door.sink.parts == []
    assert door.counted("logs", "gone", "client_gone") == 1
    assert held_bytes(door) == 0


async def test_a_sender_that_stops_in_the_middle_is_408(narrow_door: Door) -> None:
    answers = await call(narrow_door, {}, pieces(b"\x0a"), then="silence")
    assert answers[0]["status"] == 408
    assert held_bytes(narrow_door) == 0


def held_bytes(door: Door) -> float:
    value = door.registry.get_sample_value("headwater_receive_held_bytes")
    assert value is not None
    return value


async def test_many_bodies_at_once_are_bounded_together(narrow_door: Door) -> None:
    """Each body is within its limit, but three do not fit in memory at once."""
    waiting = [
        asyncio.create_task(call(narrow_door, {"content-length": "9000"}, pieces(), then="silence"))
        for _ in range(2)
    ]
    while held_bytes(narrow_door) < 18_000:
        await asyncio.sleep(0)
    (start, _) = await call(narrow_door, {"content-length": "9000"}, pieces())
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    await asyncio.gather(*waiting)
    assert held_bytes(narrow_door) == 0


async def test_livez_answers_and_metrics_show_what_came_in(door: Door) -> None:
    assert (await door.client.get("/livez")).text == "ok\n"
    await door.post("/v1/logs", LOGS.SerializeToString())
    reply = await door.client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    assert 'headwater_receive_records_total{signal="logs"} 2.0' in reply.text
    assert (await door.post("/metrics", b"")).headers["allow"] == "GET"


async def test_a_websocket_is_closed_at_once(door: Door) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await door.app({"type": "websocket", "path": "/v1/logs"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1003}]


def test_the_paths_in_the_message_are_those_that_answer() -> None:
    from edge.receive.otlp import PATHS
    from shared.receive.otlp import SIGNALS

    assert {f"POST {path}" for path in SIGNALS} | {"GET /livez", "GET /metrics"} == set(PATHS)
