"""The page of a live tail: its filters, its question, and a script that keeps the same position."""

import html
import re
import shutil
import subprocess
from functools import partial
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from hub.tail_position import Position
from hub.tail_query import read_tail_query
from hub.web.desk import Desk, environment
from hub.web.routes import RouteSpec
from hub.web.static_files import FOLDER
from hub.web.tail_page import TAIL
from tests.api.web_world import TOKEN, Web


async def shown(address: str, status: int = 200) -> str:
    """The text of the page at an address."""
    web = Web()
    desk = Desk(web.script.call, web.context, environment())
    spec = RouteSpec("/tail", ("GET",), "admin", partial(desk.page, TAIL))
    app = Starlette(routes=web.guard.routes([spec]))
    cookies = {web.guard.cookie_name: web.guard.check_login(TOKEN) or ""}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", cookies=cookies) as c:
        answer = await c.get(address)
    assert answer.status_code == status, answer.text
    return answer.text


def question_of(text: str) -> dict[str, Any]:
    """What the script of a page asks the hub."""
    found = re.search(r'data-question="([^"]*)"', text)
    assert found
    question: dict[str, Any] = orjson.loads(html.unescape(found[1]))
    return question


async def test_the_page_asks_what_its_address_says() -> None:
    text = await shown("/tail?node=edge-1&severity=warn&text=a%22b&attribute=a%3Db&since=-5m")
    question = question_of(text)
    assert question == {
        "nodes": ["edge-1"],
        "severity": "warn",
        "text": 'a"b',
        "attributes": {"a": "b"},
        "since": "-5m",
    }
    query = read_tail_query(question, 1_700_000_000_000)
    assert query.since_ms == 1_700_000_000_000 - 300_000
    assert query.follows("edge-1")


async def test_the_page_has_what_its_script_needs_and_nothing_inline() -> None:
    text = await shown("/tail")
    for name in ("tail", "tail-state", "tail-pause", "tail-count", "tail-lag", "tail-rows"):
        assert f'id="{name}"' in text
    assert re.search(r'data-csrf="[0-9a-f]{16,}"', text)
    assert re.findall(r"<script(?![^>]*src=)[^>]*>", text) == []
    assert 'id="as-cli"' not in text, "there is no one call that this page is"


async def test_events_are_followed_as_well() -> None:
    assert question_of(await shown("/tail?signal=events")) == {"signal": "events"}


async def test_an_address_that_cannot_be_asked_says_why() -> None:
    text = await shown("/tail?attribute=nonsense", 400)
    assert "key=value" in text
    assert "data-question" not in text
    await shown("/tail?limit=5", 400)


MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("position", {"base": True, "more": True, "start_ms": 7, "logs": [["a", "e", [[1, 4]]]]}),
    ("position", {"base": True, "more": False, "start_ms": 7, "logs": [["b", "e", []]]}),
    ("rows", {"origin": "a", "epoch": "e", "seq": 6, "next": 9, "last": False, "rows": []}),
    ("gap", {"origin": "c", "epoch": "e", "seq": 1, "next": 1, "last": False, "gaps": []}),
    ("lag", {"chunks": 5}),
    ("rows", {"origin": "a", "epoch": "e", "seq": 5, "next": 9, "last": True, "rows": []}),
    ("position", {"logs": [["b", "e", [[3, 3], [8, 9]]], ["d", 'x"\n', [[2, 2]]]]}),
    ("rows", {"origin": "a", "epoch": "e", "seq": 6, "next": 20, "last": True, "rows": []}),
    ("position", {"logs": [["b", "e", [[4, 7]]], ["d", 'x"\n', [[1, 1]]]]}),
]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js to run the script")
@pytest.mark.parametrize("count", range(len(MESSAGES) + 1))
def test_the_script_folds_messages_as_the_hub_does(count: int) -> None:
    told = MESSAGES[:count]
    position = Position()
    for event, data in told:
        position.fold(event, data)
    script = (FOLDER / "tail_position.js").read_text(encoding="utf-8") + (
        "const position = new TailPosition();"
        f"for (const [event, data] of {orjson.dumps(told).decode()}) position.fold(event, data);"
        "console.log(JSON.stringify([position.isWhole, position.toWire()]));"
    )
    ran = subprocess.run(["node", "-"], input=script.encode(), capture_output=True, check=True)
    assert orjson.loads(ran.stdout) == [position.is_whole, position.to_wire()]
