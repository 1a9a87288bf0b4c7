"""What the pages about telemetry ask of a hub, and what they tell of an answer beside its rows."""

from typing import Any

import pytest

from hub.web.searches import dropped_day
from tests.api.web_answers import COVERAGE, node
from tests.api.web_html import Html
from tests.api.web_moments import series
from tests.api.web_query_answers import dropped, event, retention
from tests.api.web_world import Web, page, web_with


def plain(text: str) -> str:
    """A page with its line breaks made spaces."""
    return " ".join(text.split())


# ---- Events


async def test_events_are_told_in_sentences() -> None:
    text = plain(await page(Web(), "/events"))
    for said in (
        "hub-1 has started: version 0.1.0 at http://hub-1:8470",
        "4,800 records of logs in 12 chunks (numbers 41 to 52) are declared lost (shed): the buffer",
        "Let logs of 2026-11-06 go for their age: 4,000,000 records, 286.1 MiB; not all of them",
        "The file with logs of 2026-11-20 was damaged: 41 chunks are sound, 2 are lost here",
        "All that was lost of logs of 2026-11-20 is here again",
        "The disk is nearly full (82.0 GiB free, 1.0 GiB are kept free): no data is taken in",
        "There is room on the disk again (82.0 GiB free): data is taken in",
        "Is 42 s behind hub-2",
        "box-1 has started",
    ):
        assert said in text


async def test_events_are_asked_for_as_the_address_says() -> None:
    web = Web()
    await page(web, "/events?type=vm.*&subject=box-1&severity=warn&node=edge-1&start=-1d")
    assert web.script.params_of("event.list") == {
        "type": "vm.*",
        "subject": "box-1",
        "severity": "warn",
        "nodes": ["edge-1"],
        "start": "-1d",
    }


async def test_the_live_tail_takes_over_what_it_knows() -> None:
    html = Html(await page(Web(), "/events?type=vm.*&severity=warn&start=-1d&attribute=a%3Db"))
    (follow,) = [a for a in html.all("a") if a.text == "Follow"]
    assert follow.get("href") == "/tail?signal=events&severity=warn&attribute=a%3Db"


async def test_the_types_to_choose_from_are_those_that_there_are() -> None:
    html = Html(await page(Web(), "/events"))
    offered = {option.get("value") for option in html.all("option")}
    assert {"a-event_name", "vm.started", "store.*"} <= offered


@pytest.mark.parametrize("attributes", [None, {}, {"seconds": "long"}, {"first_seq": "x"}])
async def test_an_event_with_other_facts_is_shown_all_the_same(attributes: Any) -> None:
    types = ("peer.lag", "store.damaged", "retention.dropped", "disk.guard.closed", "buffer.gap")
    items = [event(n, name, attributes=attributes or {}) for n, name in enumerate(types)]
    html = Html(await page(web_with(event_list={"items": items, "cursor": None}), "/events"))
    assert html.problems() == []


# ---- Metrics


async def test_a_quantile_goes_with_its_aggregation_only() -> None:
    web = Web()
    await page(web, "/charts?name=a&aggregation=quantile")
    assert web.script.params_of("metric.query")["quantile"] == 0.95
    await page(web, "/charts?name=a&aggregation=quantile&quantile=0.5")
    assert web.script.params_of("metric.query")["quantile"] == 0.5
    await page(web, "/charts?name=a&aggregation=rate&quantile=0.5")
    assert "quantile" not in web.script.params_of("metric.query")


async def test_a_metric_is_asked_for_with_its_groups_and_labels() -> None:
    web = Web()
    await page(
        web,
        "/charts?name=a&aggregation=rate&group_by=http.route&group_by=node&group=sum"
        "&attribute=http.route%3D%2Fpay*&attribute=code%21%3D500",
    )
    asked = web.script.params_of("metric.query")
    assert asked["group_by"] == ["http.route", "node"]
    assert asked["group"] == "sum"
    assert asked["attributes"] == {"http.route": "/pay*", "code": "!=500"}
    assert web.script.params_of("series.list")["attributes"] == asked["attributes"]


async def test_the_labels_of_a_metric_lead_to_narrower_questions() -> None:
    html = Html(await page(Web(), "/charts?name=a&group_by=http.route"))
    links = {a.get("href") for a in html.all("a")}
    assert "?name=a&group_by=http.route&attribute=http.route%3D%3D%2Fpay" in links
    assert "?name=a&group_by=http.route&node=edge-2" in links
    boxes = {
        box.get("value"): "checked" in box.attributes for box in html.all("input", type="checkbox")
    }
    assert boxes == {
        "http.response.status_code": False,
        "http.route": True,
        "node": False,
    }


async def test_a_line_of_all_series_together_has_a_name() -> None:
    line = {**series("", 0), "node": "", "attributes": {}, "series": 7}
    answer = {"unit": "1", "aggregation": "avg", "group": "sum", "series": [line], "step_s": 30}
    text = await page(web_with(metric_query=answer), "/charts?name=a&group=sum")
    assert "all together" in text


# ---- Traces


async def test_traces_are_asked_for_as_the_address_says() -> None:
    web = Web()
    text = await page(
        web, "/traces?order=slowest&min_duration_ms=5&max_duration_ms=90&attribute=a%3Db&start=-1h"
    )
    assert web.script.params_of("trace.search") == {
        "order": "slowest",
        "min_duration_ms": 5.0,
        "max_duration_ms": 90.0,
        "attributes": {"a": "b"},
        "start": "-1h",
    }
    assert "slowest first" in text
    offered = {option.get("value") for option in Html(text).all("option")}
    assert {"a-service", "a-name"} <= offered


# ---- What an answer covers


@pytest.mark.parametrize("address", ["/logs", "/events", "/charts", "/charts?name=a", "/traces"])
async def test_every_search_says_what_its_answer_covers(address: str) -> None:
    covered = {
        **COVERAGE,
        "hub": "hub-7",
        "index": {"behind_chunks": 1204, "error": None},
        "damaged_chunks": 3,
        "partial": True,
        "gaps": {
            "count": 1,
            "records": 4800,
            "reasons": {"dead_letter": 4800},
            "nodes": ["edge-1"],
        },
        "skewed": [{"node": "edge-2", "clock_skew_ms": -90_000}],
    }
    web = Web()
    for method in ("log.query", "event.list", "metric.names", "metric.query", "trace.search"):
        web.script.answers[method] = {"items": [], "coverage": covered}
    text = plain(await page(web, address))
    for said in (
        "answered by hub-7",
        "The index is 1,204 chunks behind: answers are as complete, only slower.",
        "3 chunks are damaged on this hub",
        "Declared lost by edge-1: 4,800 records dead letter.",
        "is 1 min 30 s behind: its records stand that far from their place",
    ):
        assert said in text


async def test_a_range_that_reaches_what_was_let_go_says_so() -> None:
    assert "What came on 2026-11-06 or earlier was let go" in await page(Web(), "/logs")
    assert "was let go" not in await page(Web(), "/logs?start=-1h")


@pytest.mark.parametrize(
    ("start", "day"),
    [
        ("", "2026-11-06"),
        ("-15d", "2026-11-06"),
        ("-14d", ""),
        ("-1h", ""),
        ("2026-11-06T12:00:00Z", "2026-11-06"),
        ("2026-11-07T00:00:00Z", ""),
        ("nonsense", ""),
    ],
)
def test_the_day_up_to_which_data_went_concerns_only_ranges_that_reach_it(
    start: str, day: str
) -> None:
    assert dropped_day(start, retention(), "logs") == day
    assert dropped_day(start, retention(), "traces") == ""
    assert dropped_day(start, {"error": {"kind": "internal"}}, "logs") == ""


# ---- Hubs


async def test_a_wrong_clock_needs_attention() -> None:
    web = web_with(node_list={"items": [node(clock_skew_ms=-90_000)]})
    assert "The clock of edge-1 is wrong." in await page(web, "/")


async def test_the_standing_with_each_peer_is_told() -> None:
    text = plain(await page(Web(), "/hubs"))
    for said in (
        "caught up",
        "1 min 4 s",
        "11 chunks of edge-11",
        "and of 3 more",
        "wrong hash 2",
        "14<span",
        "the last 12 s ago",
        "connection refused",
        "42.0 ms",
        "234 ms",
    ):
        assert said in text


async def test_a_hub_that_takes_no_data_says_so_wherever_it_is_looked_at() -> None:
    status = Web().script.answers["hub.status"]
    told = {**status, "disk": {**status["disk"], "accepting": False}, "damaged_chunks": 3}
    web = web_with(hub_status=told)
    assert "The disk of hub-1 is nearly full" in await page(web, "/")
    assert "3 damaged chunks of hub-1 are not back yet" in await page(web, "/")
    assert "3 chunks that were here are lost by damage" in await page(web, "/hubs/storage")
    assert "takes no data in" in await page(web, "/hubs")
    assert "no data is taken in" in await page(web, "/hubs/storage")


async def test_the_storage_page_shows_days_policies_and_what_went() -> None:
    text = plain(await page(Web(), "/hubs/storage"))
    for said in (
        "14 days",
        "1.0 GiB",
        "4.8 MiB over",
        "2026-11-20",
        "12,000 records in 40 chunks",
        "1 not safe yet",
        "their age",
        "the room they took",
        "not all were on enough",
    ):
        assert said in text


async def test_a_signal_without_data_is_shown_with_dashes() -> None:
    policy = {"traces": {"days": 7, "bytes": 0}}
    text = await page(web_with(hub_retention={**retention(), "policy": policy}), "/hubs/storage")
    assert "7 days</td>\n<td>\u2013</td>" in text
    assert "&#34;&#34;" not in text


async def test_the_storage_page_says_why_nothing_goes() -> None:
    paused = {**retention(), "paused": True, "dropped": [dropped()]}
    text = await page(web_with(hub_retention=paused), "/hubs/storage")
    assert "Nothing is let go now" in text
