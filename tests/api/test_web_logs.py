"""The page about logs: its bars, its filters, records that came late, and the losses among them."""

import json
from typing import Any

import pytest

from shared.errors import RpcError
from tests.api.web_answers import TRACE_ID, record
from tests.api.web_html import Html
from tests.api.web_moments import time
from tests.api.web_query_answers import gap, histogram
from tests.api.web_world import Web, page, web_with


async def test_logs_and_bars_are_asked_the_same_question() -> None:
    web = Web()
    await page(
        web,
        "/logs?word=paid+late&severity=info&severity_max=warn&service=a&service=b&backfilled=yes"
        "&attribute=http.route%3D%2Fpay&attribute=code%21%3D200&start=-1h&limit=7&cursor=c&bars=1",
    )
    asked = {
        "words": ["paid", "late"],
        "severity": "info",
        "severity_max": "warn",
        "services": ["a", "b"],
        "backfilled": True,
        "attributes": {"http.route": "/pay", "code": {"not": "200"}},
        "start": "-1h",
    }
    assert web.script.params_of("log.query") == {**asked, "limit": 7, "cursor": "c"}
    assert ("log.histogram", {**asked, "bins": 60}) in web.script.asked


async def test_a_bar_leads_to_its_time_and_keeps_the_rest_of_the_question() -> None:
    html = Html(await page(Web(), "/logs?severity=info&start=-1h&cursor=c"))
    drawn = [a for a in html.all("a", tabindex="-1") if "start=" in a.get("href")]
    assert len(drawn) == len(html.drawn_titles) == 48
    assert all("severity=info" in a.get("href") and "cursor" not in a.get("href") for a in drawn)
    assert html.drawn_titles[0].endswith("(41 info, 1 error)")


async def test_the_bars_are_a_table_too() -> None:
    """A drawing says nothing to a screen reader, and its parts cannot be reached by keys."""
    html = Html(await page(Web(), "/logs?start=-1h"))
    cells = [a for a in html.all("a") if a.get("href").startswith("?start=2026")]
    assert len([a for a in cells if not a.get("tabindex")]) == 48


async def test_a_count_that_fails_does_not_hide_the_records() -> None:
    web = web_with(log_histogram=RpcError("quota", "too much to count"))
    text = await page(web, "/logs?text=x&bars=1")
    assert "cannot be counted: too much to count" in text
    assert "40 records, newest first" in text


async def test_bars_that_are_counted_in_part_say_so() -> None:
    part = {**histogram({}), "scanned": {"complete": False, "from": time(600)}}
    text = await page(web_with(log_histogram=part), "/logs?text=x&start=-1h&bars=1")
    assert "Counted in part" in text


@pytest.mark.parametrize(
    "query", ["text=a", "word=a", "attribute=a%3Db", "backfilled=yes", f"trace_id={TRACE_ID}"]
)
async def test_records_do_not_wait_for_a_count_that_takes_reading(query: str) -> None:
    """The count stands behind a link, which a script follows; what an index sums up comes along."""
    web = Web()
    html = Html(await page(web, f"/logs?{query}&start=-1h"))
    assert ("log.histogram", {"by": "service", "bins": 1}) in web.script.asked
    assert [name for name, _ in web.script.asked].count("log.histogram") == 1
    (link,) = html.all("a", data_part="bars")
    assert link.get("href") == f"?{query}&start=-1h&bars=1"
    counted = Html(await page(web, "/logs" + link.get("href")))
    assert counted.drawn_titles
    assert not [a for a in counted.all("a", tabindex="-1") if "bars=" in a.get("href")]
    assert counted.all("div", id="bars")
    assert Html(await page(web, "/logs?severity=warn&service=a&node=b")).drawn_titles


async def test_without_a_beginning_there_are_no_bars_of_another_time() -> None:
    web = Web()
    await page(web, "/logs?end=-2d")
    assert all(params.get("by") == "service" for name, params in web.script.asked if "hist" in name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"delay_s": 190.0}, "arrived 3 min 10 s later</span>"),
        ({"delay_s": 190.0, "backfilled": True}, "arrived 3 min 10 s later, backfilled</span>"),
        ({"delay_s": -30.0}, "its clock is 30 s ahead</span>"),
    ],
)
async def test_a_record_that_came_at_an_odd_time_says_so(changes: Any, said: str) -> None:
    text = await page(web_with(log_query={"items": [record(**changes)], "cursor": None}), "/logs")
    assert said in text


async def test_a_record_that_came_as_usual_is_not_marked() -> None:
    usual = {"items": [record(delay_s=4.0)], "cursor": None}
    text = await page(web_with(log_query=usual), "/logs")
    assert 'class="late' not in text
    assert "4.0 s after its own time" in text


@pytest.mark.parametrize(("order", "places"), [("newest", [0, 1, 2]), ("oldest", [2, 1, 0])])
async def test_a_loss_stands_between_the_records_around_it(order: str, places: list[int]) -> None:
    rows = [record(0, body="the newer one"), record(20, body="the older one")]
    if order == "oldest":
        rows.reverse()
    web = web_with(log_query={"items": rows, "cursor": None})
    text = await page(web, f"/logs?order={order}")
    told = ("the newer one", "4,800 records of logs in 12 chunks", "the older one")
    found = sorted(range(3), key=lambda index: text.index(told[index]))
    assert found == places
    assert "the buffer was full" in text


@pytest.mark.parametrize(
    ("lost", "query"),
    [
        (gap(1, signal="traces"), ""),
        (gap(1, reason="split"), ""),
        (gap(9000), "cursor=c"),
        ({**gap(1), "time": time(-60)}, "cursor=c"),
    ],
)
async def test_losses_of_other_signals_pages_or_none_at_all_are_left_out(
    lost: dict[str, Any], query: str
) -> None:
    web = web_with(event_list={"items": [lost], "cursor": None})
    assert "declared lost" not in (await page(web, f"/logs?{query}")).split('id="coverage"')[0]


async def test_a_loss_is_told_where_it_has_left_no_records() -> None:
    web = web_with(log_query={"items": [], "cursor": None})
    text = await page(web, "/logs?text=x")
    assert "4,800 records of logs in 12 chunks" in text
    assert "No record matches" in text


async def test_the_live_tail_is_asked_the_same_question() -> None:
    web = Web()
    query = "text=paid&word=late&service=a&severity_max=warn&backfilled=no&attribute=a%3Db"
    html = Html(await page(web, f"/logs?{query}&start=-1h&limit=5&cursor=x&bars=1"))
    (follow,) = [a for a in html.all("a") if a.text == "Follow"]
    assert follow.get("href") == f"/tail?{query}"
    (place,) = Html(await page(web, follow.get("href"))).all("section", id="tail")
    assert json.loads(place.get("data-question")) == {
        "text": "paid",
        "words": ["late"],
        "services": ["a"],
        "severity_max": "warn",
        "backfilled": False,
        "attributes": {"a": "b"},
    }


@pytest.mark.parametrize("query", ["backfilled=maybe", "attribute=a", "attribute=a%21%3Db*"])
async def test_a_wrong_filter_is_named(query: str) -> None:
    text = await page(Web(), f"/logs?{query}", 400)
    assert query.partition("=")[0] in text
    assert "invalid_params" in text
