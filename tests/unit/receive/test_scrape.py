"""Targets scraped over real connections: each on its own, whatever the others do."""

import asyncio
import contextlib
import gzip
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from edge.receive.scrape import Scrape, ScrapeLimits
from edge.receive.scrape_target import Target, read_targets
from shared.address import Address
from shared.http import HttpxClient
from shared.otlp_points import MetricPoint
from shared.otlp_rows import metric_points
from shared.records import KIB
from shared.runtime import Runtime
from tests.unit.receive.sinks import ListSink, runtime

Page = tuple[int, dict[str, str], bytes]


@dataclass
class Server:
    """A small HTTP/1.1 server of pages; a page that is not there never answers."""

    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], float]] = field(default_factory=list)
    port: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (status, {"content-type": CONTENT_TYPE_LATEST, **named}, body)

    def target(self, path: str) -> Target:
        (target,) = read_targets(f"test=http://127.0.0.1:{self.port}{path}")
        return target

    def asked(self, path: str) -> list[float]:
        return [moment for asked, _, moment in self.requests if asked == path]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while head := await self._head(reader):
                path, headers = head
                self.requests.append((path, headers, asyncio.get_running_loop().time()))
                if path not in self.pages:
                    await self.closing.wait()
                    return
                writer.write(_response(self.pages[path]))
                await writer.drain()

    async def _head(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        return head[0].split(" ")[1], {name.lower(): value for name, value in pairs}


def _response(page: Page) -> bytes:
    status, headers, body = page
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *lines])
    return f"{head}\r\n\r\n".encode() + body


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(served.answer(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    served.port = listening.sockets[0].getsockname()[1]
    yield served
    served.closing.set()
    listening.close()
    await listening.wait_closed()
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def world() -> Runtime:
    return replace(runtime(), http=HttpxClient)


@contextlib.asynccontextmanager
async def scraping(scrape: Scrape) -> AsyncIterator[None]:
    task = asyncio.create_task(scrape.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass
class Once:
    """What one scrape of one target gave."""

    sink: ListSink
    registry: CollectorRegistry
    up: bool

    def points(self) -> dict[str, MetricPoint]:
        return {point.name: point for point in points(self.sink)}

    def count(self, outcome: str) -> float | None:
        return self.registry.get_sample_value("headwater_edge_scrapes_total", {"outcome": outcome})


async def once(target: Target, sink: ListSink | None = None, **limits: int) -> Once:
    kept, registry, client = sink or ListSink(), CollectorRegistry(), HttpxClient()
    scrape = Scrape(
        world(), kept, "edge-1", [target], 15, 2, limits=ScrapeLimits(**limits), registry=registry
    )
    try:
        return Once(kept, registry, await scrape.take(client, target))
    finally:
        await client.close()


def points(sink: ListSink) -> list[MetricPoint]:
    return [point for part in sink.parts for point in metric_points(part.encoding, part.body)]


def exposition() -> bytes:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Counter("jobs", "Jobs.", ["queue"], registry=registry).labels("mail").inc(3)
    Histogram("took_seconds", "Time.", registry=registry).observe(0.3)
    return generate_latest(registry)


async def test_a_real_exposition_arrives_with_its_target(server: Server) -> None:
    server.put("/metrics", exposition())
    done = await once(server.target("/metrics"))
    found = done.points()
    assert done.up
    assert found["up"].value == 1
    assert (found["jobs_total"].value, found["jobs_total"].attributes) == (3, {"queue": "mail"})
    assert (found["took_seconds"].kind, found["took_seconds"].count) == ("histogram", 1)
    assert (found["process_resident_memory_bytes"].value or 0) > 1000
    assert found["scrape_samples_scraped"].value == exposition().count(b"\n") - exposition().count(
        b"# "
    )
    assert (found["scrape_duration_seconds"].value or 0) > 0
    assert found["up"].resource == found["jobs_total"].resource
    assert found["up"].resource == {
        "service.name": "test",
        "service.instance.id": f"127.0.0.1:{server.port}",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "url.scheme": "http",
        "headwater.node": "edge-1",
    }
    assert done.count("stored") == 1


async def test_a_target_is_asked_as_prometheus_asks(server: Server) -> None:
    server.put("/metrics?x=1", b"a 1\n")
    assert (await once(server.target("/metrics?x=1"))).up
    ((_, headers, _),) = server.requests
    assert headers["accept"].startswith("text/plain;version=0.0.4,application/openmetrics-text")
    assert headers["x-prometheus-scrape-timeout-seconds"] == "2"


async def test_a_compressed_answer_and_open_metrics_are_read(server: Server) -> None:
    body = b"# TYPE jobs counter\njobs_total 4\n# EOF\n"
    kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    server.put("/metrics", gzip.compress(body), content_type=kind, content_encoding="gzip")
    assert (await once(server.target("/metrics"))).points()["jobs_total"].value == 4


@pytest.mark.parametrize(
    ("page", "outcome", "reason"),
    [
        ((500, {}, b"oh"), "status", "answered with status 500"),
        (
            (302, {"location": "/elsewhere"}, b""),
            "status",
            "status 302, and redirects are not followed",
        ),
        ((200, {}, b"a 1\nb{ 2\n"), "unreadable", "cannot be read: line 2: 'b{ 2'"),
        ((200, {}, b"a 1\n" * 11), "unreadable", "line 11: more than 10 samples"),
        ((200, {}, b"# " + b"x" * 5000), "too_large", "larger than the limit of 4096 bytes"),
        ((200, {"content-encoding": "gzip"}, b"no gzip"), "unreachable", "does not answer"),
    ],
)
async def test_a_target_that_gives_nothing_is_down_and_says_why(
    server: Server, caplog: pytest.LogCaptureFixture, page: Page, outcome: str, reason: str
) -> None:
    server.pages["/metrics"] = page
    server.put("/elsewhere", b"a 1\n")
    done = await once(server.target("/metrics"), body_bytes_max=4 * KIB, samples_max=10)
    assert not done.up
    assert set(done.points()) == {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
    assert done.points()["up"].value == 0
    assert done.count(outcome) == 1
    assert server.asked("/elsewhere") == []
    (record,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert reason in record.getMessage()


async def test_a_target_that_nobody_serves_is_down() -> None:
    (target,) = read_targets("127.0.0.1:1/metrics")
    done = await once(target)
    assert done.points()["up"].value == 0
    assert done.count("unreachable") == 1


async def test_a_scrape_for_which_there_is_no_room_is_counted_as_lost(server: Server) -> None:
    server.put("/metrics", b"a 1\n")
    sink = ListSink(refusals=1)
    done = await once(server.target("/metrics"), sink)
    assert done.up
    assert sink.parts == []
    assert done.count("buffer_full") == 1
    lost = {"outcome": "lost"}
    assert done.registry.get_sample_value("headwater_edge_scrape_points_total", lost) == 4


async def test_a_slow_a_broken_and_a_mad_target_do_not_delay_the_others(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The good one keeps its pace while another never answers; each complaint is logged once."""
    server.put("/good", b"a 1\n")
    server.put("/mad", b"\xff")
    sink, paths = ListSink(), ("/never", "/good", "/mad")
    targets = [server.target(path) for path in paths]
    scrape = Scrape(world(), sink, "edge-1", targets, 1.0, 30)
    async with scraping(scrape):
        await until(lambda: len(server.asked("/good")) >= 3 and len(server.asked("/mad")) >= 3)
    by_path: dict[object, set[float | None]] = {}
    for point in points(sink):
        if point.name == "up":
            by_path.setdefault(point.resource["url.path"], set()).add(point.value)
    assert by_path["/good"] == {1}
    assert by_path["/mad"] == {0}
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert len([text for text in warnings if "/mad" in text]) == 1
    assert not [text for text in warnings if "/good" in text]


async def test_targets_are_spread_evenly_over_the_interval(server: Server) -> None:
    server.put("/a", b"")
    server.put("/b", b"")
    asked: list[tuple[str, float]] = []
    scrape = Scrape(world(), ListSink(), "edge-1", [server.target("/a"), server.target("/b")], 0.4)

    async def take(client: object, target: Target) -> bool:
        asked.append((target.path, asyncio.get_running_loop().time()))
        return True

    scrape.take = take  # type: ignore[method-assign]
    async with scraping(scrape):
        await until(lambda: len(asked) >= 2)
    (first, begun), (second, later) = asked[:2]
    assert (first, second) == ("/a", "/b")
    assert later - begun >= 0.19  # Half of it, less what clocks round.


async def test_a_target_that_comes_back_is_up_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.receive.scrape")
    server.put("/metrics", b"", status=503)
    sink = ListSink()
    scrape = Scrape(world(), sink, "edge-1", [server.target("/metrics")], 0.5)

    def ups() -> list[float | None]:
        return [point.value for point in points(sink) if point.name == "up"]

    async with scraping(scrape):
        await until(lambda: 0 in ups())
        server.put("/metrics", b"a 1\n")
        await until(lambda: 1 in ups())
    assert [entry.getMessage().rpartition(": ")[2] for entry in caplog.records] == [
        "answered with status 503",
        "well again",
    ]


async def test_no_targets_are_no_fault() -> None:
    await Scrape(world(), ListSink(), "edge-1", []).run()


@pytest.mark.parametrize(
    ("written", "url", "job"),
    [
        ("127.0.0.1:9100", "http://127.0.0.1:9100/metrics", "127.0.0.1:9100"),
        ("host:9100/other/page", "http://host:9100/other/page", "host:9100"),
        ("host", "http://host:80/metrics", "host:80"),
        ("https://host/metrics?a=b", "https://host:443/metrics?a=b", "host:443"),
        ("http://[::1]:9100", "http://[::1]:9100/metrics", "[::1]:9100"),
        ("node=host:9100", "http://host:9100/metrics", "node"),
        ("node = host:9100", "", ""),
        ("my-app=http://host:1/m?x=y", "http://host:1/m?x=y", "my-app"),
        ("host:9100/?x=y", "http://host:9100/?x=y", "host:9100"),
    ],
)
def test_targets_are_read_as_people_write_them(written: str, url: str, job: str) -> None:
    if not url:
        with pytest.raises(ValueError, match="without spaces"):
            read_targets(written)
        return
    (target,) = read_targets(written)
    assert (target.url, target.job) == (url, job)


def test_lists_of_targets_are_read_in_order_and_without_repetitions() -> None:
    one, two = Target("h:1", Address("h", 1)), Target("x", Address("h", 2), "/a,b")
    assert read_targets(" h:1 ,, http://h:1/metrics,") == (one,)
    assert read_targets(["x=h:2/a,b", "h:1", "h:1"]) == (two, one)
    assert read_targets("") == read_targets([]) == ()


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (5, "neither a list of texts"),
        ([5], "neither a list of texts"),
        ("ftp://host/metrics", "must start with http"),
        ("host:0", "port from 1 to 65535"),
        ("host:99999", "port from 1 to 65535"),
        ("http://me:secret@host/metrics", "must not carry a user name"),
        ("host:1/metrics#top", "fragment"),
        ("host:1/a b", "without spaces"),
        ("host:1/\tx", "without spaces"),
        ("höst:1", "ASCII"),
        ("http://[::1/metrics", "not a target"),
        ("/metrics", "not an address"),
        ("h:1/" + "x" * 3000, "longer than 2000"),
    ],
)
def test_what_is_no_target_is_refused_in_a_sentence(written: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_targets(written)
    assert str(caught.value).startswith("a list of targets such as ")


@given(st.text(max_size=60) | st.lists(st.text(max_size=20), max_size=3))
def test_no_text_raises_anything_but_value_error(written: object) -> None:
    try:
        targets = read_targets(written)
    except ValueError:
        return
    for target in targets:
        (again,) = read_targets([target.url])
        assert again.url == target.url
