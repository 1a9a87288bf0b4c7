"""Images from elsewhere: only from where the settings allow, bounded, and cut off without a trace."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.vm.waiting import until

from .conftest import DISK, OpenShelf, Shelf, sha256

PIECE = b"\x33" * 65536


class Site:
    """A small web server on loopback that remembers what it was asked for."""

    def __init__(self) -> None:
        self.base = ""
        self.asked: list[str] = []
        self.pages: dict[str, bytes] = {}
        self.is_asked = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.sent_bytes = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            self.asked.append(path)
            await self._answer(path, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # Whoever hangs up early is what some tests are about.
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/endless":
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            while True:
                writer.write(PIECE)
                await writer.drain()
                self.sent_bytes += len(PIECE)
        if path == "/slow":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n" + bytes(512))
            await writer.drain()
            self.is_asked.set()
            await self.may_go_on.wait()
            return
        writer.write(self.pages[path])
        await writer.drain()


def page(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"content-length: {size}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.base = f"http://127.0.0.1:{port}"
    yield made
    made.may_go_on.set()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def shelf(open_shelf: OpenShelf, site: Site) -> Shelf:
    return await open_shelf(image_urls=(f"{url_of(site, '')}/",))


def url_of(site: Site, path: str) -> str:
    return f"{site.base}{path}"


async def bring(shelf: Shelf, site: Site, path: str, **order: Any) -> dict[str, Any]:
    source = {"url": url_of(site, path)}
    return await shelf.wait(
        "image.import", **{"name": "a", "source": source, "sha256": sha256(DISK), **order}
    )


async def failure(shelf: Shelf, site: Site, path: str, **order: Any) -> dict[str, Any]:
    operation = await bring(shelf, site, path, **order)
    assert operation["state"] == "failed", operation
    assert shelf.files() == []
    assert shelf.store._claims == {}
    error: dict[str, Any] = operation["error"]
    return error


async def test_an_image_is_fetched_and_its_key_is_not_kept(shelf: Shelf, site: Site) -> None:
    site.pages["/a.img?key=1"] = page(DISK)
    operation = await bring(shelf, site, "/a.img?key=1")
    assert (operation["state"], operation["progress"]) == ("done", 100), operation["error"]
    assert operation["result"]["source"] == url_of(site, "/a.img")
    assert shelf.store.path_of("a").read_bytes() == DISK


async def test_an_address_outside_is_refused_without_a_request(shelf: Shelf, site: Site) -> None:
    source = {"url": "http://127.0.0.2:1/a.img"}
    refusal = await shelf.refusal("image.import", name="a", source=source, sha256=sha256(DISK))
    assert (refusal.kind, site.asked) == ("unauthorized", [])


async def test_a_redirect_inside_is_followed(shelf: Shelf, site: Site) -> None:
    site.pages["/a"] = page(b"", "location: /b/c.img", status="302 Found")
    site.pages["/b/c.img"] = page(DISK)
    assert (await bring(shelf, site, "/a"))["state"] == "done"


async def test_a_redirect_to_elsewhere_is_not_followed(open_shelf: OpenShelf, site: Site) -> None:
    shelf = await open_shelf(image_urls=(url_of(site, "/in/"),))
    site.pages["/in/a"] = page(b"", f"location: {url_of(site, '/out')}", status="302 Found")
    site.pages["/out"] = page(DISK)
    error = await failure(shelf, site, "/in/a")
    assert (error["kind"], site.asked) == ("unauthorized", ["/in/a"])


async def test_a_ring_of_redirects_has_an_end(shelf: Shelf, site: Site) -> None:
    site.pages["/a"] = page(b"", "location: /a", status="302 Found")
    assert "redirects more than" in (await failure(shelf, site, "/a"))["message"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (page(b"", status="404 Not Found"), "answers 404"),
        (page(b"", status="302 Found"), "answers 302"),
        (page(DISK[:100], length=len(DISK)), "cannot be fetched"),
        (page(DISK, "content-encoding: gzip"), "encoded as 'gzip'"),
        (b"nonsense\r\n\r\n", "cannot be fetched"),
        (b"", "cannot be fetched"),
        (page(b"other" * 512), "has the sha256"),
        (page(DISK, length=1 << 62), "are needed"),
    ],
)
async def test_answers_that_are_no_image_leave_nothing(
    shelf: Shelf, site: Site, answer: bytes, why: str
) -> None:
    site.pages["/a"] = answer
    assert why in (await failure(shelf, site, "/a"))["message"]


async def test_nobody_there_is_an_error_with_the_address(open_shelf: OpenShelf) -> None:
    shelf = await open_shelf(image_urls=("http://127.0.0.1:1/",))
    source = {"url": "http://127.0.0.1:1/a?key=1"}
    operation = await shelf.wait("image.import", name="a", source=source, sha256=sha256(DISK))
    assert operation["error"]["kind"] == "driver_error"
    assert "http://127.0.0.1:1/a cannot" in operation["error"]["message"]


async def test_an_endless_answer_is_cut_at_the_cap(open_shelf: OpenShelf, site: Site) -> None:
    shelf = await open_shelf(image_urls=(url_of(site, "/"),), image_bytes_max=4 * 1024 * 1024)
    assert (await failure(shelf, site, "/endless"))["kind"] == "insufficient"
    assert site.sent_bytes < 64 * 1024 * 1024


async def test_an_import_tells_its_bytes_and_can_be_cancelled(shelf: Shelf, site: Site) -> None:
    order = {"name": "a", "source": {"url": url_of(site, "/slow")}, "sha256": sha256(DISK)}
    begun = await shelf.call("image.import", **order, wait_s=0, request_id="r-1")
    await site.is_asked.wait()
    await until(lambda: asyncio.to_thread(shelf.files), bool)
    operation = await shelf.operations.get(begun["op_id"])
    assert operation.result is not None
    assert (operation.stage, operation.result["total_bytes"]) == ("fetching", 1024)
    busy = await shelf.refusal("image.import", **order)
    assert (busy.kind, busy.data["op_id"]) == ("busy", begun["op_id"])
    over = await shelf.operations.cancel(operation)
    assert (over.state, over.result, shelf.files()) == ("cancelled", None, [])
    assert shelf.store._claims == {}
    assert (await shelf.call("image.import", **order, request_id="r-1"))["state"] == "cancelled"


async def test_an_agent_that_leaves_during_an_import_tells_the_truth_later(
    open_shelf: OpenShelf, site: Site
) -> None:
    shelf = await open_shelf(image_urls=(url_of(site, "/"),))
    order = {"name": "a", "source": {"url": url_of(site, "/slow")}, "sha256": sha256(DISK)}
    await shelf.call("image.import", **order, wait_s=0)
    await site.is_asked.wait()
    again = await open_shelf()
    assert again.files() == []
    unfinished = await again.records.read(lambda ledger: ledger.unfinished())
    assert [operation.vm_id for operation in unfinished] == ["image:a"]
