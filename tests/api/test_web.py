"""The pages over a real hub, its own methods, store and guard; the other files script the answers."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from shared.codec import compress
from tests.api.conftest import ADMIN_TOKEN, T0, Log, World

HOSTILE = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"

PAGES = {
    "/": "/overview.json",
    "/nodes": "/nodes.json",
    "/nodes/edge-1": "/nodes/edge-1.json",
    "/vms": "/vms.json",
    "/logs": "/logs.json",
    "/charts": "/charts.json",
    "/traces": "/traces.json",
    "/hubs": "/hubs.json",
}
FORMS = ("/logout", "/vms", "/vms/box-1/start", "/vms/box-1/delete", "/nodes/edge-1/drain")

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


@asynccontextmanager
async def browser(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that nobody has logged in with."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app),
        base_url="http://hub",
        headers={"accept": "text/html"},
    ) as client:
        yield client


@pytest.fixture
async def stranger(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a session."""
    async with browser(world) as client:
        yield client


@pytest.fixture
async def person(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A browser with a session, on a hub that has heard of a node."""
    await world.beat("edge-1")
    async with browser(world) as client:
        answer = await client.post("/login", data={"token": ADMIN_TOKEN})
        assert answer.status_code == 303
        yield client


def policy_of(answer: httpx.Response) -> dict[str, str]:
    """The content security policy, by directive."""
    parts = answer.headers["content-security-policy"].split(";")
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in parts)}


def hidden(page: str, name: str) -> list[str]:
    """The values of all hidden fields of a name."""
    return re.findall(rf'name="{name}" value="([^"]*)"', page)


def hostile_chunk(log: Log) -> Any:
    """A chunk with one record, all of whose texts want to be markup."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = HOSTILE
    record = group.scope_logs.add().log_records.add()
    record.time_unix_nano = T0
    record.severity_text = HOSTILE
    record.body.string_value = HOSTILE
    record.attributes.add(key=HOSTILE).value.string_value = HOSTILE
    raw = request.SerializeToString()
    return log.chunk(1, compress(raw), raw_bytes=len(raw))


# ---- Pages and their twins


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_and_its_twin_answer_a_person(person: httpx.AsyncClient, path: str) -> None:
    page, twin = await person.get(path), await person.get(PAGES[path])
    assert page.status_code == twin.status_code == 200, page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert PAGES[path] in page.text, "a page links to its twin"
    assert isinstance(twin.json(), dict)


@pytest.mark.parametrize("path", PAGES)
async def test_a_stranger_is_led_to_the_login(stranger: httpx.AsyncClient, path: str) -> None:
    for address in (path, PAGES[path]):
        answer = await stranger.get(address)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2F")


@pytest.mark.parametrize("path", [*PAGES, "/login"])
async def test_every_page_is_locked_in(person: httpx.AsyncClient, path: str) -> None:
    answer = await person.get(path)
    allowed = policy_of(answer)
    if path == "/login":  # Its styles are within it, so that nothing else need be open.
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", allowed.pop("style-src"))
        assert allowed == {name: held for name, held in POLICY.items() if name != "style-src"}
    else:
        assert allowed == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<[^>]*\s(style|on[a-z]+)\s*=", answer.text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", answer.text)


async def test_a_page_names_what_it_does_not_know(person: httpx.AsyncClient) -> None:
    page = await person.get("/nodes/edge-9")
    twin = await person.get("/nodes/edge-9.json")
    assert page.status_code == twin.status_code == 404
    assert "no node is called edge-9" in page.text
    assert "not_found" in page.text
    assert "Traceback" not in page.text
    assert twin.json()["error"]["data"]["kind"] == "not_found"


@pytest.mark.parametrize("query", ["start=soon", "limit=many", "colour=red", "cursor=%00", "end=-"])
async def test_a_wrong_question_is_answered_with_a_page(
    person: httpx.AsyncClient, query: str
) -> None:
    page = await person.get(f"/logs?{query}")
    assert page.status_code == 400
    assert "invalid_params" in page.text
    assert "Traceback" not in page.text


async def test_records_are_shown_page_by_page(world: World, person: httpx.AsyncClient) -> None:
    await world.push([Log().chunk(3)])
    first = await person.get("/logs?limit=2")
    assert first.text.count('<details class="record') == 2
    (older,) = re.findall(r'class="button" href="([^"]*cursor=[^"]*)"', first.text)
    second = await person.get("/logs" + older.replace("&amp;", "&"))
    assert second.text.count('<details class="record') == 1


async def test_what_a_node_sends_is_never_markup(world: World, person: httpx.AsyncClient) -> None:
    await world.push([hostile_chunk(Log())])
    await world.beat(
        "edge-1", beat=2, facts_number=2, facts={"hostname": HOSTILE, HOSTILE: HOSTILE}
    )
    assert (await person.get("/logs.json")).json()["items"][0]["body"] == HOSTILE
    for path in ("/", "/nodes", "/nodes/edge-1", "/logs"):
        page = await person.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
    assert "&lt;script&gt;alert(" in (await person.get("/logs")).text


# ---- Files


async def test_only_listed_files_are_served(world: World, person: httpx.AsyncClient) -> None:
    page = (await person.get("/")).text
    addresses = re.findall(r'(?:src|href)="(/static/[^"#]+)', page)
    assert {address.partition("?")[0] for address in addresses} >= {
        "/static/app.css",
        "/static/app.js",
    }
    for address in addresses:
        answer = await person.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        held = {"if-none-match": answer.headers["etag"]}
        assert (await person.get(address, headers=held)).status_code == 304
    for path in ("/static/", "/static/../hub.py", "/static/%2e%2e/hub.py", "/static/nothing.js"):
        assert (await person.get(path)).status_code == 404, path


# ---- Going in and out


async def test_the_link_that_a_hub_prints_logs_in(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/login", params={"token": ADMIN_TOKEN, "next": "/nodes?text=a"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/nodes?text=a"
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("headwater-hub-1=")
    for word in ("httponly", "samesite=lax", "path=/", "max-age=43200"):
        assert word in cookie
    assert ADMIN_TOKEN not in answer.headers["set-cookie"]
    assert (await stranger.get("/nodes")).status_code == 200


@pytest.mark.parametrize("token", ["wrong", "", ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x", "ä" * 1000])
async def test_a_wrong_token_stays_outside(stranger: httpx.AsyncClient, token: str) -> None:
    by_form = await stranger.post("/login", data={"token": token, "next": "/logs"})
    by_link = await stranger.get("/login", params={"token": token, "next": "/logs"})
    for answer in (by_form, by_link):
        assert answer.status_code == 403
        assert 'role="alert"' in answer.text
        assert hidden(answer.text, "next") == ["/logs"]
        assert "set-cookie" not in answer.headers
    assert (await stranger.get("/")).status_code == 303


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil",
        "/\r\nset-cookie: a=b",
        "//[",
        "http://[",
        "/login?token=x",
        "/logout",
    ],
)
async def test_a_login_leads_to_no_other_place(stranger: httpx.AsyncClient, target: str) -> None:
    by_link = await stranger.get("/login", params={"token": ADMIN_TOKEN, "next": target})
    by_form = await stranger.post("/login", data={"token": ADMIN_TOKEN, "next": target})
    assert by_link.headers["location"] == by_form.headers["location"] == "/"


# ---- Forms


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_of_another_place_does_nothing(
    world: World, person: httpx.AsyncClient, path: str
) -> None:
    own = hidden((await person.get("/")).text, "csrf")[0]
    for csrf in ({}, {"csrf": ""}, {"csrf": "wrong"}, {"csrf": own[:-1]}, {"csrf": "ä"}):
        fields = {"name": "box-1", "image": "builtin:shell", "node": "edge-1", **csrf}
        answer = await person.post(path, data=fields)
        assert answer.status_code == 403, csrf
    assert (await person.get("/")).status_code == 200


async def test_an_order_that_finds_no_way_says_so_and_can_be_repeated(
    person: httpx.AsyncClient,
) -> None:
    page = (await person.get("/vms")).text
    csrf, request_id = hidden(page, "csrf")[0], hidden(page, "request_id")[0]
    fields = {"name": "box-1", "image": "builtin:shell", "node": "edge-1", "start": "1"}
    answer = await person.post("/vms", data={**fields, "csrf": csrf, "request_id": request_id})
    assert answer.status_code == 502
    assert "no_path" in answer.text
    assert "Try again" in answer.text
    assert request_id in hidden(answer.text, "request_id"), "the same order, not a new one"
    assert "Traceback" not in answer.text


# ---- The stream


class Reader:
    """Somebody who reads /stream over ASGI; httpx would wait for the end of it."""

    def __init__(self, world: World, cookie: str) -> None:
        self.said = ""
        self.heard = asyncio.Event()
        self.gone = asyncio.Event()
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/stream",
            "raw_path": b"/stream",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"host", b"hub"), (b"cookie", cookie.encode())],
            "client": ("127.0.0.1", 1),
            "server": ("hub", 80),
            "http_version": "1.1",
        }
        self.task = asyncio.create_task(world.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.said += message.get("body", b"").decode()
        self.heard.set()

    async def until(self, words: str) -> None:
        """Read on until these words were said."""
        async with asyncio.timeout(60):
            while words not in self.said:
                self.heard.clear()
                await self.heard.wait()

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(60):
            await self.task


def cookie_of(client: httpx.AsyncClient) -> str:
    """The session as the browser would send it."""
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


async def test_a_stream_tells_of_changes_and_ends_with_the_hub(
    world: World, person: httpx.AsyncClient
) -> None:
    reader = Reader(world, cookie_of(person))
    await reader.until("retry:")
    await world.push([Log().chunk()])
    await reader.until("event: changed")
    world.hub.stop()
    await reader.ended()
    assert reader.said.rstrip().endswith("data: this hub stops")
    assert "event: bye" in reader.said


async def test_a_stream_ends_when_its_reader_leaves(
    world: World, person: httpx.AsyncClient
) -> None:
    reader = Reader(world, cookie_of(person))
    await reader.until("retry:")
    reader.gone.set()
    await reader.ended()
    assert "event: bye" not in reader.said
    await world.still_works()
