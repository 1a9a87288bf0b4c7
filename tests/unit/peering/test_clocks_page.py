"""The page of clocks over real answers: what it says when all is well, and when it is not."""

from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette

from hub.peering.clock_answers import ListClocks
from hub.web.clock_pages import CLOCKS, verdict_mark
from hub.web.desk import Desk, environment
from hub.web.routes import RouteSpec
from tests.api.web_html import Html
from tests.api.web_world import TOKEN, Script, Web
from tests.unit.peering.clock_mesh import Mesh, answer_of


async def page_of(answer: dict[str, Any]) -> str:
    """The page over an answer; it is sound for browsers and screen readers."""
    web = Web(Script({"clock.list": answer}))
    desk = Desk(web.script.call, web.context, environment())
    routes = [
        RouteSpec(CLOCKS.twin, ("GET",), "admin", partial(desk.twin, CLOCKS)),
        RouteSpec(CLOCKS.path, ("GET",), "admin", partial(desk.page, CLOCKS)),
    ]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=web.guard.routes(routes))),
        base_url="http://hub",
        cookies={web.guard.cookie_name: web.guard.check_login(TOKEN) or ""},
        headers={"accept": "text/html"},
    ) as client:
        shown = await client.get(CLOCKS.path)
        assert (await client.get(CLOCKS.twin)).json() == answer
    assert shown.status_code == 200
    assert Html(shown.text).problems() == []
    msgspec.convert(web.script.params_of("clock.list"), ListClocks)
    return shown.text


async def test_when_all_clocks_are_right_the_page_says_so_and_warns_of_nothing() -> None:
    text = await page_of(answer_of(Mesh({"a": 0.0, "b": 3.0, "c": 0.0}).run(5), "a", (5, -5)))
    assert "notice" not in text
    assert "of 2, by more than 2.00 s" in text
    assert text.index("/nodes/edge-0") < text.index(
        "/nodes/edge-1"
    )  # All edges, not only wrong ones.
    assert "5.0 ms ahead" in text
    assert "5.0 ms behind" in text
    assert "the median of a, b, c" in text


async def test_the_page_shows_the_wrong_hub_the_orders_that_wait_and_the_worst_edges() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 7_200.0}).run(5)
    text = await page_of(answer_of(mesh, "a", (0, 0, 0, 90_000, -4_000), poisoned=2))
    assert "1 order waits until the clock of a hub is right" in text
    assert "2 stored orders carry a time that has not come yet" in text
    assert text.index("/nodes/edge-3") < text.index("/nodes/edge-4")
    assert "4.00 s behind" in text
    assert "so says b" in text
    assert "quarantined" in text


async def test_the_hub_whose_clock_is_wrong_shows_what_the_others_say_of_it() -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 7_200.0}).run(5)
    text = await page_of(answer_of(mesh, "c", (-7_200,) * 5))
    assert "Two hubs say that this hub&#39;s clock is 7.2 s ahead: a, b." in text
    assert "What is ordered here waits on the other hubs until this clock is right." in text
    assert "It may well be the clock of this hub that is wrong." in text


async def test_a_hub_that_is_alone_has_a_page_too() -> None:
    text = await page_of(answer_of(Mesh({"a": 0.0}).run(5), "a"))
    assert "No other hub has answered yet" in text
    assert "nobody has compared it yet" in text


@pytest.mark.parametrize("verdict", ["sound", "suspect", "quarantined", "unknown", "novel", 3])
def test_every_verdict_has_a_tone_and_a_word(verdict: object) -> None:
    tone, word = verdict_mark(verdict)
    assert tone in {"ok", "warn", "bad", "idle"}
    assert word
