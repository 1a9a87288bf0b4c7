"""Answers as lines: all pages of an answer, one at a time, and how they end."""

import asyncio
import csv
import io
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.query.metric_selector import read_selector
from hub.rest import STREAMS_MAX
from hub.rest_attributes import read_attributes
from shared.errors import RpcError
from tests.api.rest_world import (
    COVERAGE,
    RestWorld,
    lines_of,
    paged_answers,
    real_answers,
    stock,
)

NDJSON = "application/x-ndjson"


def page(first: int, count: int, cursor: str | None, **more: Any) -> dict[str, Any]:
    return {"items": [{"n": n} for n in range(first, first + count)], "cursor": cursor, **more}


THREE_PAGES = {None: page(0, 3, "a"), "a": page(3, 0, "b"), "b": page(3, 2, None)}


async def test_a_stream_has_every_row_once_and_in_order() -> None:
    world = RestWorld(real_answers(stock()))
    *rows, end = lines_of(await world.get("/logs?start=-1h&order=oldest", NDJSON))
    assert [row["body"] for row in rows] == [f"line {number}" for number in range(2500)]
    assert (end["end"], end["items"], end["cursor"]) == (True, 2500, None)
    assert end["coverage"] == COVERAGE
    assert [params["limit"] for _, params in world.asked] == [1000, 1000, 1000]


async def test_pages_that_are_short_or_empty_do_not_end_it() -> None:
    response = await RestWorld(paged_answers(THREE_PAGES)).get("/logs?format=ndjson")
    *rows, end = lines_of(response)
    assert [row["n"] for row in rows] == [0, 1, 2, 3, 4]
    assert end["scanned"] == {"chunks": 3}


async def test_a_limit_ends_it_and_tells_where_to_go_on() -> None:
    world = RestWorld(real_answers(stock()))
    *rows, end = lines_of(await world.get("/logs?limit=1200&format=ndjson"))
    *more, _ = lines_of(await world.get(f"/logs?limit=1300&format=ndjson&cursor={end['cursor']}"))
    bodies = [row["body"] for row in rows + more]
    assert bodies == [f"line {number}" for number in reversed(range(2500))]
    assert [params["limit"] for _, params in world.asked] == [1000, 200, 1000, 300]


@pytest.mark.parametrize("limit", ["0", "10000001", "-1"])
async def test_a_stream_has_a_bound_of_its_own(limit: str) -> None:
    response = await RestWorld(paged_answers(THREE_PAGES)).get(f"/logs?limit={limit}", NDJSON)
    assert (response.status_code, response.json()["parameter"]) == (400, "limit")


async def test_a_first_page_that_fails_is_a_problem_with_its_status() -> None:
    response = await RestWorld(paged_answers({None: RpcError("busy", "later")})).get(
        "/logs", NDJSON
    )
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_later_page_that_fails_is_the_last_line() -> None:
    pages = {**THREE_PAGES, "b": RpcError("quota", "too much")}
    *rows, last = lines_of(await RestWorld(paged_answers(pages)).get("/logs", NDJSON))
    assert [row["n"] for row in rows] == [0, 1, 2]
    assert last["error"]["kind"] == "quota"
    assert last["error"]["detail"] == "too much"
    assert (last["cursor"], last["items"]) == ("b", 3)
    assert "end" not in last


async def test_a_cursor_that_stands_still_ends_it_with_an_error() -> None:
    pages = {None: page(0, 1, "a"), "a": page(1, 1, "a")}
    *_, last = lines_of(await RestWorld(paged_answers(pages)).get("/logs", NDJSON))
    assert last["error"]["kind"] == "internal"


async def test_the_end_covers_no_more_than_the_worst_page() -> None:
    worse = {
        **COVERAGE,
        "complete_until": "2026-11-21T04:00:00Z",
        "partial": True,
        "behind": [{"node": "b"}],
        "missing_nodes": ["x"],
    }
    other = {**COVERAGE, "behind": [{"node": "a"}], "missing_nodes": ["y"]}
    pages = {
        None: page(0, 1, "a", coverage=other),
        "a": page(1, 1, "b", coverage=worse),
        "b": page(2, 1, None),
    }
    response = await RestWorld(paged_answers(pages)).get("/logs", NDJSON)
    told = lines_of(response)[-1]["coverage"]
    assert response.headers["x-headwater-partial"] == "false", "of the first page"
    assert told["partial"] is True
    assert told["complete_until"] == "2026-11-21T04:00:00Z"
    assert [node["node"] for node in told["behind"]] == ["a", "b"]
    assert told["missing_nodes"] == ["x", "y"]


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/metrics/query?name=m", "/series", "/logs/histogram", "/traces?order=slowest"],
)
async def test_answers_of_one_page_stream_too(path: str) -> None:
    world = RestWorld(real_answers(stock()))
    *rows, end = lines_of(await world.get(path, NDJSON))
    assert end["end"] is True
    assert end["items"] == len(rows) > 0
    assert len(world.asked) == 1
    assert "limit" not in world.asked[0][1]


async def test_what_an_answer_says_beside_its_items_is_in_the_last_line() -> None:
    *_, end = lines_of(await RestWorld(real_answers(stock())).get("/logs/histogram", NDJSON))
    assert end["answer"].keys() == {"start", "end", "step_s", "by", "totals"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json, application/x-ndjson", "application/json"),
        ("application/x-ndjson;q=0, */*", "application/json"),
        ("text/html, Application/X-NDJSON;q=0.5", "application/x-ndjson"),
        ("application/jsonl", "application/x-ndjson"),
    ],
)
async def test_the_form_is_what_the_reader_takes(accept: str, kind: str) -> None:
    response = await RestWorld(paged_answers(THREE_PAGES)).get("/logs", accept)
    assert response.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("way", ["/logs?format=csv", "/logs"])
async def test_a_table_has_its_titles_once_and_all_rows(way: str) -> None:
    made = RestWorld(real_answers(stock()))
    response = await made.get(way, "text/csv" if way == "/logs" else "*/*")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["body"] for row in rows] == [f"line {number}" for number in reversed(range(2500))]
    assert rows[0].keys() == {"time", "node", "severity", "service", "body"}


async def test_the_points_of_a_metric_are_a_table() -> None:
    response = await RestWorld(real_answers(stock())).get("/metrics/query?name=m", "text/csv")
    titles, *points = response.text.splitlines()
    assert titles == "time,node,value,attributes"
    assert [point.split(",")[1:3] for point in points] == [["edge-1", "1.5"]]


async def test_what_is_no_table_has_no_csv() -> None:
    world = RestWorld(real_answers(stock()))
    refused = await world.get("/labels/node/values?format=csv")
    assert (refused.status_code, refused.json()["parameter"]) == (400, "format")
    assert (await world.get("/labels/node/values", "text/csv")).json()["label"] == "node"


async def test_a_table_that_ends_too_early_is_cut_off() -> None:
    """The last message never comes, so that no reader takes the part for the whole."""
    reader = Reader(RestWorld(paged_answers({**THREE_PAGES, "b": RpcError("quota", "no")})), "csv")
    for _ in range(10):
        reader.room.release()
    await reader.served
    assert b"".join(each.get("body", b"") for each in reader.sent).count(b"\r\n") == 4
    assert all(each.get("more_body", True) for each in reader.sent)


class Reader:
    """A client at the level of ASGI, which reads as fast or slowly as a test wants."""

    def __init__(self, world: RestWorld, form: str = "ndjson", method: str = "GET") -> None:
        self.sent: list[dict[str, Any]] = []
        self.room, self.left = asyncio.Semaphore(0), asyncio.Event()
        self._told_request = False
        scope = {
            "type": "http",
            "method": method,
            "path": "/api/v1/logs",
            "query_string": f"format={form}".encode(),
            "headers": [],
        }
        self.served = asyncio.ensure_future(world.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._told_request:
            self._told_request = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.room.acquire()
        self.sent.append(dict(message))

    @property
    def lines(self) -> list[Any]:
        body = b"".join(message.get("body", b"") for message in self.sent)
        return [orjson.loads(line) for line in body.splitlines()]


def endless(method: str, params: dict[str, Any]) -> dict[str, Any]:
    number = int(params.get("cursor") or 0)
    return {**page(number, 1, str(number + 1)), "scanned": {}, "coverage": COVERAGE}


async def until(is_so: Any) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0)


async def test_it_reads_no_further_than_the_reader_takes() -> None:
    world = RestWorld(endless)
    reader = Reader(world)
    for taken in range(1, 6):
        reader.room.release()
        await until(lambda taken=taken: len(reader.sent) == taken)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(world.asked) <= taken + 1
    reader.left.set()
    await reader.served


async def test_a_reader_that_leaves_stops_the_work() -> None:
    world = RestWorld(endless)
    reader = Reader(world)
    for _ in range(4):
        reader.room.release()
    await until(lambda: len(reader.sent) == 4)
    reader.left.set()
    await reader.served
    asked = len(world.asked)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (len(world.asked), world.busy) == (asked, 0)


async def test_a_hub_that_stops_says_so_and_ends() -> None:
    world = RestWorld(endless)
    reader = Reader(world)
    for _ in range(100):
        reader.room.release()
    await until(lambda: len(reader.sent) > 5)
    world.stopping.set()
    await reader.served
    assert reader.lines[-1]["error"]["kind"] == "busy"
    assert reader.sent[-1]["more_body"] is False


async def test_a_head_asks_for_no_more_than_one_page() -> None:
    world = RestWorld(endless)
    reader = Reader(world, method="HEAD")
    for _ in range(100):
        reader.room.release()
    await reader.served
    assert len(world.asked) == 1
    assert reader.lines == []


async def test_there_is_room_for_a_bounded_number_of_streams_and_places_come_back() -> None:
    world = RestWorld(endless)
    readers = [Reader(world) for _ in range(STREAMS_MAX)]
    await until(lambda: len(world.asked) == STREAMS_MAX)
    refused = await world.get("/logs", NDJSON)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    readers[0].left.set()
    readers[0].room.release()
    await readers[0].served
    one_more = Reader(world)
    await until(lambda: len(world.asked) > STREAMS_MAX)
    for reader in (*readers[1:], one_more):
        reader.left.set()
        for _ in range(3):
            reader.room.release()
        await reader.served


@given(
    texts=st.lists(st.text(max_size=20), max_size=5),
    manner=st.sampled_from(["records", "series", "spans"]),
)
def test_attributes_of_anything_are_read_or_refused(texts: list[str], manner: Any) -> None:
    try:
        read = read_attributes(texts, manner)
    except RpcError as error:
        read = {error.kind: error.data["parameter"]}
    assert read == {"invalid_params": "attributes"} or all(read)


@given(value=st.text(max_size=20))
def test_a_value_as_it_stands_is_found_as_it_stands(value: str) -> None:
    written = read_attributes([f"k=={value}"], "series")
    selector = read_selector(written)
    assert selector.fits({"k": value}, {})
    assert not selector.fits({"k": value + "x"}, {})
    assert read_attributes([f"k=={value}"], "records") == {"k": value}
