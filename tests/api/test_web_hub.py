"""The pages over a real hub, read as a browser and a screen reader would: scripted answers cannot
hide that a shape has changed."""

from collections.abc import AsyncIterator

import httpx
import pytest

from hub.web.pages import PAGES
from tests.api.conftest import ADMIN_TOKEN, Log, World
from tests.api.web_answers import vm
from tests.api.web_html import Html


@pytest.fixture
async def browser(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is logged in at a hub that knows a node with a VM and some logs."""
    await world.beat("edge-1", vms=[vm()])
    assert (await world.push(Log().chunks(3))).status_code == 200
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app),
        base_url="http://hub",
        headers={"accept": "text/html"},
    ) as client:
        assert (await client.get("/login", params={"token": ADMIN_TOKEN})).status_code == 303
        yield client


@pytest.mark.parametrize("path", [page.path for page in PAGES if "{" not in page.path])
async def test_every_page_is_sound_over_a_real_hub(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    assert Html(answer.text).problems() == []


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nodes/edge-1", 200, "box-1"),
        ("/nodes/edge-9", 404, "no node is called edge-9"),
        ("/vms/box-1?node=edge-1", 200, "has a link to edge-1"),
        ("/vms/box-9", 404, "no node has told of a VM called box-9"),
        ("/traces/" + "ab" * 16, 404, "is not on this hub"),
        ("/traces/nonsense", 400, "invalid_params"),
    ],
)
async def test_pages_of_one_thing_tell_what_is_known_of_it(
    browser: httpx.AsyncClient, path: str, status: int, said: str
) -> None:
    answer = await browser.get(path)
    assert answer.status_code == status
    assert said in answer.text
    assert Html(answer.text).problems() == []
