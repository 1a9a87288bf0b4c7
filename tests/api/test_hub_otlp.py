"""OTLP straight to a hub: answered as an edge answers it, kept in the hub's own log, and found again."""

import asyncio
import gzip
import logging
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Ships no types.
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from hub.app import asgi_app
from hub.config import HubConfig
from hub.hub import Hub
from hub.otlp_doors import ingest_token, otlp_routes
from hub.own_log import OwnLimits, OwnLog
from hub.own_metrics import own_metrics
from hub.web.guard import Guard
from shared.codec import BODY_BYTES_MAX, compress
from shared.errors import Unavailable
from shared.receive.body import BodyLimits
from shared.receive.counters import ReceiveCounters
from shared.receive.otlp import OtlpReceiver
from shared.receive.sink import Sink
from shared.records import MIB
from shared.runtime import run_inline, system_runtime
from tests.api.conftest import ADMIN_TOKEN, CLUSTER_KEY, World, bearer
from tests.unit.hub.own_world import HUB, LIFE, MemoryStore
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, T0, patient, to_json
from tests.unit.receive.sinks import ListSink, runtime

TOKEN = ingest_token(CLUSTER_KEY)
PATHS = ("/v1/logs", "/v1/metrics", "/v1/traces")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "zstd": compress,
}
REQUESTS: dict[str, Any] = {
    "/v1/logs": samples.logs(T0, T0 + 1),
    "/v1/metrics": samples.metrics(Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint()]))),
    "/v1/traces": samples.spans(Span(name="s", start_time_unix_nano=T0)),
}


def app_over(sink: Sink, limits: BodyLimits | None = None) -> Starlette:
    """The doors of a hub over any sink."""
    counters = ReceiveCounters(CollectorRegistry())
    receiver = OtlpReceiver(sink, counters, limits or BodyLimits(), run_inline)
    guard = Guard("hub-1", ADMIN_TOKEN, CLUSTER_KEY, lambda: 0.0)
    return Starlette(routes=guard.routes(otlp_routes(receiver)))


def client_of(app: Starlette) -> httpx.AsyncClient:
    """A client that reaches an application without a network, with the ingest token."""
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://hub", headers=bearer(TOKEN))


async def send(
    client: httpx.AsyncClient, path: str, body: bytes, content_type: str = PROTO, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(path, content=body, headers={"content-type": content_type, **named})


def message_of(reply: httpx.Response) -> tuple[int, str]:
    """Code and message of a google.rpc.Status, in the encoding that the answer names."""
    if reply.headers["content-type"] == JSON:
        status = reply.json()
        return status["code"], status["message"]
    parsed = Status.FromString(reply.content)
    return parsed.code, parsed.message


@pytest.fixture
async def sender(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A Collector that sends to a hub."""
    async with client_of(world.app) as client:
        yield client


# ---- the doors


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content_type", [PROTO, JSON])
@pytest.mark.parametrize("encoding", PACKERS)
async def test_every_signal_and_encoding_is_kept_and_answered_in_its_own(
    path: str, content_type: str, encoding: str
) -> None:
    sink = ListSink()
    request = REQUESTS[path]
    plain = request.SerializeToString() if content_type == PROTO else to_json(request)
    async with client_of(app_over(sink)) as client:
        packed = PACKERS[encoding](plain)
        reply = await send(client, path, packed, content_type, content_encoding=encoding)
    assert (reply.status_code, reply.headers["content-type"]) == (200, content_type)
    assert reply.content == (b"" if content_type == PROTO else b"{}")
    (part,) = sink.parts
    assert part.signal == path.removeprefix("/v1/")
    assert part.body == (plain if content_type == PROTO else b"[" + plain + b"]")


WRONG_TOKENS = {
    "none": {"authorization": ""},
    "the cluster key": bearer(CLUSTER_KEY),
    "the admin token": bearer(ADMIN_TOKEN),
    "a token cut short": bearer(TOKEN[:-1]),
    "another scheme": {"authorization": f"Basic {TOKEN}"},
}


@pytest.mark.parametrize("name", WRONG_TOKENS)
@pytest.mark.parametrize("content_type", [PROTO, JSON])
async def test_without_the_ingest_token_nothing_is_read(name: str, content_type: str) -> None:
    sink = ListSink()
    async with client_of(app_over(sink)) as client:
        client.headers.update(WRONG_TOKENS[name])
        replies = [await send(client, path, b"{}", content_type) for path in PATHS]
    for reply in replies:
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        code, message = message_of(reply)
        assert code == 16
        assert "the ingest token" in message
        assert reply.headers["content-type"] == content_type
    assert sink.parts == []


async def test_the_ingest_token_opens_no_other_door(world: World) -> None:
    """It lies in the configuration of Collectors, where many can read it."""
    for spec in world.hub.route_table():
        if spec.role not in ("open", "otlp"):
            answer = await world.client.request(
                spec.methods[0], spec.path, headers=bearer(TOKEN), content=b"{}"
            )
            assert answer.status_code == 401, spec.path


@pytest.mark.parametrize(
    ("status", "body", "content_type", "headers", "words"),
    [
        (400, b"what is this", PROTO, {}, "not a protobuf"),
        (400, b"{", JSON, {}, "not JSON"),
        (400, b'{"resourceLogs":7}', JSON, {}, "resourceLogs"),
        (400, b"plain", PROTO, {"content_encoding": "gzip"}, "not gzip"),
        (400, b"plain", PROTO, {"content_encoding": "zstd"}, "not zstd"),
        (400, b"", PROTO, {"content_length": "ten"}, "is not a size"),
        (403, b"{}", JSON, {"origin": "https://somewhere.example"}, "web pages"),
        (413, b"", PROTO, {"content_length": str(BODY_BYTES_MAX + 1)}, str(BODY_BYTES_MAX)),
        (413, compress(bytes(70 * MIB)), PROTO, {"content_encoding": "zstd"}, "larger than"),
        (413, zlib.compress(bytes(70 * MIB), wbits=31), PROTO, {"content_encoding": "gzip"}, "l"),
        (415, b"{}", "text/plain", {}, "send application/x-protobuf or application/json"),
        (415, b"{}", JSON, {"content_encoding": "br"}, "send gzip, zstd or none"),
    ],
)
async def test_what_cannot_be_kept_is_refused_for_good_and_says_why(
    status: int, body: bytes, content_type: str, headers: dict[str, str], words: str
) -> None:
    sink = ListSink()
    async with client_of(app_over(sink)) as client:
        reply = await send(client, "/v1/logs", body, content_type, **headers)
    assert reply.status_code == status
    assert "retry-after" not in reply.headers
    code, message = message_of(reply)
    assert code > 0
    assert words in message
    assert sink.parts == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_another_method_is_405_and_names_the_right_one(method: str) -> None:
    async with client_of(app_over(ListSink())) as client:
        reply = await client.request(method, "/v1/logs")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


bodies = st.binary(max_size=200) | samples.logs_requests.map(lambda r: bytes(r.SerializeToString()))


@patient
@given(
    path=st.sampled_from(PATHS),
    body=bodies,
    content_type=st.sampled_from([PROTO, JSON, "", "application/json; charset=\xff"]),
    encoding=st.sampled_from([*PACKERS, "br"]),
    packed=st.booleans(),
    cut=st.integers(0, 5),
)
def test_whatever_is_sent_is_kept_or_refused_and_never_an_error_of_ours(
    path: str, body: bytes, content_type: str, encoding: str, packed: bool, cut: int
) -> None:
    sink = ListSink()
    sent = PACKERS[encoding](body) if packed and encoding in PACKERS else body

    async def post() -> httpx.Response:
        async with client_of(app_over(sink, BodyLimits(body_bytes_max=10_000))) as client:
            headers = [(b"content-type", content_type.encode("latin-1"))]
            headers += [(b"content-encoding", encoding.encode())]
            whole = sent[: len(sent) - cut]
            return await client.post(path, content=whole, headers=headers)

    reply = asyncio.run(post())
    assert reply.status_code in (200, 400, 413, 415)
    assert len(sink.parts) <= (reply.status_code == 200)


async def test_a_hub_that_cannot_keep_answers_503_and_says_when_to_come_again(
    world: World, sender: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> Any:
        raise Unavailable("the disk of this hub is nearly full", 10.0)

    with monkeypatch.context() as patch:
        patch.setattr(world.hub.store, "keep", refuse)
        reply = await send(sender, "/v1/logs", to_json(REQUESTS["/v1/logs"]), JSON)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert reply.json()["code"] == 14
    assert "nearly full" in reply.json()["message"]
    again = await send(sender, "/v1/logs", to_json(REQUESTS["/v1/logs"]), JSON)
    assert again.status_code == 200


async def test_a_hub_under_pressure_answers_429_and_goes_on_afterwards() -> None:
    store = MemoryStore(gate=asyncio.Event())
    body = REQUESTS["/v1/logs"].SerializeToString()
    limits = OwnLimits(waiting_bytes_max=2 * len(body))
    own = OwnLog(HUB, LIFE, store, runtime(threads=False), Counter(), limits=limits)
    loop = asyncio.create_task(own.run())
    async with client_of(app_over(own)) as client:
        waiting = [asyncio.create_task(send(client, "/v1/logs", body)) for _ in range(2)]
        while own.waiting_bytes < 2 * len(body):
            await asyncio.sleep(0)
        reply = await send(client, "/v1/logs", body)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
        assert message_of(reply)[0] == 8
        assert store.gate is not None
        store.gate.set()
        assert {(await each).status_code for each in waiting} == {200}
        assert (await send(client, "/v1/logs", body)).status_code == 200
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert len(store.texts()) == 6


# ---- in a hub


async def test_what_a_collector_sends_is_found_in_the_log_of_the_hub(
    world: World, sender: httpx.AsyncClient
) -> None:
    for n in range(3):
        body = samples.logs(T0 + n, text=f"line {n}").SerializeToString()
        assert (await send(sender, "/v1/logs", body)).status_code == 200
    found = await world.call("log.query", nodes=["hub-1"], order="oldest")
    assert [item["body"] for item in found["items"]] == ["line 0 0", "line 1 0", "line 2 0"]
    assert {item["node"] for item in found["items"]} == {"hub-1"}


async def test_many_senders_at_once_are_kept_once_each(
    world: World, sender: httpx.AsyncClient
) -> None:
    sent = {f"line {n}" for n in range(100)}
    replies = await asyncio.gather(
        *(
            send(sender, "/v1/logs", samples.logs(T0, text=text).SerializeToString())
            for text in sent
        )
    )
    assert {reply.status_code for reply in replies} == {200}
    found = await world.call("log.query", nodes=["hub-1"], limit=1000)
    assert sorted(item["body"] for item in found["items"]) == sorted(f"{text} 0" for text in sent)
    assert world.hub.store.chunks < 100


async def test_the_ledger_accounts_for_the_log_of_a_hub(
    world: World, sender: httpx.AsyncClient
) -> None:
    for path in PATHS:
        body = REQUESTS[path].SerializeToString()
        assert (await send(sender, path, body)).status_code == 200
    shown = await world.call("ledger.show", node="hub-1")
    assert shown["complete"]
    (epoch,) = shown["epochs"]
    assert epoch["epoch"] == world.hub.store_epoch
    assert {name: each["records"] for name, each in epoch["by_signal"].items()} == {
        "logs": 2,
        "metrics": 1,
        "traces": 1,
    }
    verified = await world.call("ledger.verify", node="hub-1")
    assert verified["verdict"] == "verified"


async def test_peers_are_told_of_the_log_of_a_hub(world: World, sender: httpx.AsyncClient) -> None:
    await send(sender, "/v1/logs", REQUESTS["/v1/logs"].SerializeToString())
    question = {"hub_id": "hub-2", "since": 0, "store_epoch": world.hub.store_epoch}
    answer = (await world.peer("/peer/have", question)).json()
    assert answer["have"] == [["hub-1", world.hub.store_epoch, [[1, 1]]]]


async def test_events_and_lines_of_the_hub_itself_are_found_in_its_log(world: World) -> None:
    logger = logging.getLogger("hub.somewhere")
    logger.addHandler(world.hub.own.voice.handler)
    try:
        logger.warning("the peer %s is late", "hub-2")
    finally:
        logger.removeHandler(world.hub.own.voice.handler)
    world.hub.own.voice.report("store.refilled", {"day": "2026-11-21"})
    assert await world.hub.own.voice.flush()
    found = await world.call("log.query", nodes=["hub-1"])
    assert [item["body"] for item in found["items"]] == ["the peer hub-2 is late"]
    events = await world.call("log.query", nodes=["hub-1"], signal="events")
    assert [item["event_name"] for item in events["items"]] == ["store.refilled"]


async def test_the_metrics_of_the_hub_are_in_its_log(world: World) -> None:
    hub = world.hub
    metrics = own_metrics("hub-1", hub.runtime, hub.own.log, hub.own.registry)
    assert await metrics.take()
    names = await world.call("metric.names", nodes=["hub-1"])
    assert {"headwater_hub_chunks", "headwater_receive_held_bytes"} <= {
        item["name"] for item in names["items"]
    }


class Life:
    """One start of a hub, from open to close."""

    def __init__(self, folder: Path) -> None:
        self.config = HubConfig(
            "hub-1", folder, "http://hub-1.invalid:8470", [], CLUSTER_KEY, ADMIN_TOKEN, "NORMAL"
        )

    async def __aenter__(self) -> tuple[Hub, httpx.AsyncClient]:
        self.hub = await Hub.open(self.config, system_runtime())
        self.loops = asyncio.create_task(self.hub.run())
        self.client = client_of(asgi_app(self.hub))
        return self.hub, self.client

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        self.loops.cancel()
        await asyncio.gather(self.loops, return_exceptions=True)
        await self.hub.close()


async def test_after_a_restart_the_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Last words included, which are told when all loops have ended."""
    body = REQUESTS["/v1/logs"].SerializeToString()
    for _ in range(3):
        async with Life(tmp_path) as (hub, client):
            assert (await send(client, "/v1/logs", body)).status_code == 200
            hub.own.voice.report("hub.stopped", {})
    async with Life(tmp_path) as (hub, _):
        key = ("hub-1", hub.store_epoch)
        assert dict(hub.store.held).keys() == {key}
        assert hub.store.held[key].to_wire() == [[1, 6]]
