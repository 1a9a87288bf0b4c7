"""The matrix on its page and on the command line: every state in words, and nothing that breaks either."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette

from hub.cli.matrix import matrix
from hub.peering.detect_row import Entry, Row
from hub.peering.detect_values import PeerState
from hub.peering.matrix import Matrix, SeenRow
from hub.peering.matrix_drawing import draw_text
from hub.peering.matrix_wire import read_matrix
from hub.web.desk import Desk, environment
from hub.web.matrix_pages import MATRIX
from hub.web.routes import RouteSpec
from tests.api.web_answers import HOSTILE
from tests.api.web_html import Html
from tests.api.web_world import TOKEN, Script, Web
from tests.unit.cli.conftest import Counterpart

TROUBLE = Matrix(
    (
        SeenRow(
            Row(
                "hub-1",
                "i",
                1,
                1,
                [
                    Entry("hub-2", PeerState.ALIVE, 60.0, 0.2, 0.2, 0.83),
                    Entry("hub-3", PeerState.DEAD, 12.0, 19.0, 19.0, 0.9, 21, HOSTILE[:64]),
                    Entry("hub-4", PeerState.UNKNOWN, 3.0),
                ],
                health=3.0,
            ),
            0.0,
        ),
        SeenRow(
            Row("hub-2", "i", 1, 1, [Entry("hub-1", PeerState.AVOID, 3.0)], isolated=True), 0.2
        ),
        SeenRow(Row("hub-3", "i", 1, 1, [Entry("hub-1", PeerState.ALIVE, 9.0)]), 19.0),
    )
)
WELL = Matrix(
    tuple(
        SeenRow(Row(one, "i", 1, 1, [Entry(other, PeerState.ALIVE, 9.0, 0.1, 0.1, 0.5)]), 0.1)
        for one, other in (("hub-1", "hub-2"), ("hub-2", "hub-1"))
    )
)
ALONE = Matrix((SeenRow(Row("hub-1", "i", 1, 1, []), 0.0),))


def answer_of(drawn: Matrix) -> dict[str, Any]:
    return {"hub": "hub-1", **drawn.to_wire()}


async def page_of(drawn: Matrix) -> str:
    """The page over an answer; it is sound for browsers and screen readers."""
    answer = answer_of(drawn)
    web = Web(Script({"hub.matrix": answer}))
    desk = Desk(web.script.call, web.context, environment())
    routes = [
        RouteSpec(MATRIX.twin, ("GET",), "admin", partial(desk.twin, MATRIX)),
        RouteSpec(MATRIX.path, ("GET",), "admin", partial(desk.page, MATRIX)),
    ]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=web.guard.routes(routes))),
        base_url="http://hub",
        cookies={web.guard.cookie_name: web.guard.check_login(TOKEN) or ""},
        headers={"accept": "text/html"},
    ) as client:
        shown = await client.get(MATRIX.path)
        assert (await client.get(MATRIX.twin)).json() == answer
    assert shown.status_code == 200
    assert Html(shown.text).problems() == []
    return shown.text


@pytest.mark.parametrize("drawn", [TROUBLE, WELL, ALONE])
def test_an_answer_is_read_back_as_the_matrix_that_it_tells(drawn: Matrix) -> None:
    assert read_matrix(answer_of(drawn)) == drawn


async def test_the_page_draws_and_lists_and_tells_the_same_as_a_table() -> None:
    text = await page_of(TROUBLE)
    for words in (
        "hub-3 is dead: hub-1 declared it, and nobody hears it",
        "told 19 s ago: too old to count",
        "now, doubts itself (3.0 times slower)",
        "told 0.2 s ago, isolated",
        "has not answered yet",
        "not told",
        "has not told",
        "hub-1 to hub-3: dead, 12 s, 21 missed",
        "peers matrix",
    ):
        assert words in text
    assert HOSTILE[:64] not in text


async def test_the_page_brings_its_colours_in_a_file_of_its_own() -> None:
    """The policy of all pages forbids styles in the page, and one inside the drawing is one."""
    text = await page_of(TROUBLE)
    assert "<style" not in text
    assert "/static/matrix.css" in text


async def test_the_page_says_that_all_is_well_and_that_a_hub_is_alone() -> None:
    assert "Every hub reaches every other" in await page_of(WELL)
    alone = await page_of(ALONE)
    assert "This hub knows no other." in alone
    assert "Every hub reaches every other" not in alone


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counterpart]:
    """A hub in the data folder."""
    monkeypatch.setenv("DATA", str(tmp_path))
    counterpart = Counterpart("hub-1")
    counterpart.announce(tmp_path)
    yield counterpart
    counterpart.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(matrix, words, catch_exceptions=False)


def test_the_command_shows_the_table_and_what_is_wrong(hub: Counterpart) -> None:
    hub.answers = {"hub.matrix": answer_of(TROUBLE)}
    assert run().stdout == draw_text(TROUBLE)
    assert hub.asked == [("hub.matrix", {})]


def test_programs_get_a_line_for_each_pair_of_hubs(hub: Counterpart) -> None:
    hub.answers = {"hub.matrix": answer_of(TROUBLE)}
    lines = run("-o", "csv").stdout.splitlines()
    assert lines[0].startswith("from,to,state,")
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["hub-1", "hub-2", "alive"],
        ["hub-1", "hub-3", "dead"],
        ["hub-1", "hub-4", "unknown"],
        ["hub-2", "hub-1", "avoid"],
        ["hub-3", "hub-1", "alive"],
    ]
    assert '"findings"' in run("-o", "json").stdout


def test_the_drawing_is_written_whole(hub: Counterpart) -> None:
    hub.answers = {"hub.matrix": answer_of(TROUBLE)}
    drawing = ET.fromstring(run("--svg").stdout)
    assert drawing.tag.endswith("svg")
    assert any(each.tag.endswith("style") for each in drawing)
