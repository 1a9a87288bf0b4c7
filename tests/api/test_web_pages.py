"""The pages: what they show, what they say when there is nothing, and what they must never do."""

import pytest

from hub.web.pages import PAGES
from tests.api.web_answers import TRACE_ID, empty_answers, full_answers, node, record, span
from tests.api.web_html import Html
from tests.api.web_world import ADDRESSES, Script, Web, page, twin_of


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_page_is_sound_for_browsers_and_screen_readers(address: str) -> None:
    html = Html(await page(Web(), address))
    assert html.problems() == []
    (current,) = html.all("a", aria_current="page")
    assert current.get("href") in ("/", "/nodes", "/vms", "/logs", "/charts", "/traces", "/hubs")


@pytest.mark.parametrize("address", ADDRESSES)
async def test_an_empty_hub_has_sound_pages_too(address: str) -> None:
    assert Html(await page(Web(Script(empty_answers())), address)).problems() == []


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_page_may_only_run_and_load_what_is_ours(address: str) -> None:
    async with Web().client() as client:
        headers = (await client.get(address)).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy)
    assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} <= set(policy)
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_twin_tells_what_the_main_call_told(address: str) -> None:
    web = Web()
    async with web.client() as client:
        await client.get(address)
        of_page = web.script.asked[0]
        web.script.asked.clear()
        answer = await client.get(twin_of(address))
    assert answer.headers["content-type"] == "application/json"
    assert web.script.asked == [of_page]
    told = await web.script.call(*of_page)
    assert answer.json() == {
        **told,
        **({"items": answer.json()["items"]} if "text=" in address else {}),
    }


async def test_every_page_and_its_twin_are_in_the_table() -> None:
    paths = {spec.path: spec.role for spec in Web().specs}
    for each in PAGES:
        assert paths[each.path] == paths[each.twin] == "admin"
        assert each.twin.endswith(".json")


@pytest.mark.parametrize("address", ADDRESSES)
async def test_no_page_makes_more_than_a_few_calls(address: str) -> None:
    web = Web()
    await page(web, address)
    assert 1 <= len(web.script.asked) <= 10


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_page_leads_to_its_twin_and_to_the_same_page_of_other_hubs(address: str) -> None:
    html = Html(await page(Web(), address))
    links = {each.get("href") for each in html.all("a")}
    assert any(link.partition("?")[0] == twin_of(address).partition("?")[0] for link in links)
    (other,) = html.all("a", data_other_hub="hub-2")
    path = address.partition("?")[0]
    assert other.get("href").partition("?")[0] == f"http://hub-2.example:8470{path}"


# ---- Contents


async def test_logs_are_asked_for_as_the_address_says() -> None:
    web = Web()
    await page(
        web,
        "/logs?text=paid&severity=warn&node=edge-1&node=edge-2&service=&start=-15m&end=now"
        "&attribute=http.route%3D%2Fpay&limit=50&cursor=abc",
    )
    assert web.script.params_of("log.query") == {
        "text": "paid",
        "severity": "warn",
        "nodes": ["edge-1", "edge-2"],
        "start": "-15m",
        "end": "now",
        "attributes": {"http.route": "/pay"},
        "limit": 50,
        "cursor": "abc",
    }


async def test_a_record_opens_to_everything_that_is_known_of_it() -> None:
    web = Web()
    whole = record(body={"text": "structured", "n": 3}, attributes={"k": [1, {"deep": True}]})
    web.script.answers["log.query"] = {"items": [whole], "cursor": None}
    text = await page(web, "/logs")
    for shown in ("structured", "&#34;deep&#34;:true", "host.name", "shop.payment", TRACE_ID):
        assert shown in text
    assert f"/traces/{TRACE_ID}?start=" in text
    assert "record 0 of chunk 100 in epoch <code>e1</code>" in text


async def test_the_next_page_keeps_the_question() -> None:
    html = Html(await page(Web(), "/logs?text=paid&severity=warn"))
    (older,) = [a for a in html.all("a") if "cursor=next-page" in a.get("href")]
    assert older.get("href") == "?text=paid&severity=warn&cursor=next-page"


async def test_a_search_that_is_not_at_its_end_says_so() -> None:
    web = Web(Script(empty_answers()))
    web.script.answers["log.query"] = {**web.script.answers["log.query"], "cursor": "further"}
    text = await page(web, "/logs?text=rare")
    assert "Nothing found so far" in text
    assert "Search further back" in text


async def test_a_partial_answer_says_what_is_missing() -> None:
    text = await page(Web(), "/logs")
    assert "Partial answer" in text
    assert "is offline, may hold the last 3 min 10 s (12 chunks, 800 records)" in " ".join(
        text.split()
    )


async def test_the_chart_is_drawn_without_a_script_and_has_its_numbers() -> None:
    html = Html(await page(Web(), "/charts?name=system.cpu.utilization"))
    (drawing,) = html.all("svg", role="img")
    assert drawing.get("aria-label").startswith("system.cpu.utilization: 3 series")
    lines = [each for each in html.all("path") if each.get("class").startswith("line")]
    paths = [
        each.get("d") for each in lines if each.get("d").startswith("M") and "L" in each.get("d")
    ]
    assert len(paths) == 3
    assert all(path.count("M") == 2 for path in paths), "the gap in the data is a gap in the line"
    assert {"user", "system", "iowait"} <= {each.text.strip() for each in html.all("th")}


async def test_a_waterfall_shows_each_span_below_its_parent() -> None:
    html = Html(await page(Web(), f"/traces/{TRACE_ID}"))
    indents = [e.get("class") for e in html.all("span") if e.get("class").startswith("span-name")]
    assert indents == ["span-name i0", "span-name i1", "span-name i2", "span-name i1"]
    bars = [each for each in html.all("rect") if each.get("class").startswith("bar c")]
    assert len(bars) == 4
    for bar in bars:
        assert 0 <= float(bar.get("x")[:-1]) <= 100
        assert float(bar.get("x")[:-1]) + float(bar.get("width")[:-1]) <= 100.001
    assert "refused" in html.source


async def test_a_huge_trace_is_cut_and_says_so() -> None:
    web = Web()
    spans = [span(n, min(n, 1)) for n in range(1200)]
    web.script.answers["trace.get"] = {**full_answers()["trace.get"], "spans": spans}
    text = await page(web, f"/traces/{TRACE_ID}")
    assert text.count('class="span"') == 1000
    assert "The first 1,000 of 1,200 spans" in text


async def test_a_page_of_many_nodes_says_how_many_there_are_and_goes_on_with_its_conditions() -> (
    None
):
    web = Web()
    web.script.answers["node.list"] = {
        "items": [node(f"edge-{n:03}") for n in range(100)],
        "total": 70_000,
        "states": {"offline": 3, "online": 69_997},
        "cursor": "edge-099",
    }
    text = await page(web, "/nodes?text=edge&state=online&label=site%3Dnorth&label=rack")
    assert "100 of 70,000 nodes that match" in text
    kept = "?text=edge&amp;state=online&amp;label=site%3Dnorth&amp;label=rack"
    assert f'href="{kept}&amp;after=edge-099"' in text
    assert "?text=edge&amp;label=site%3Dnorth&amp;label=rack&amp;state=offline" in text
    asked = {
        "limit": 100,
        "text": "edge",
        "states": ["online"],
        "labels": ["site=north", "rack"],
    }
    assert ("node.list", asked) in web.script.asked
    assert "First nodes" in await page(web, "/nodes?text=edge&after=edge-099")


async def test_where_too_many_nodes_are_to_choose_from_a_name_is_typed() -> None:
    web = Web()
    web.script.answers["node.list"] = {"items": [node(f"edge-{n:03}") for n in range(1000)]}
    for path in ("/logs?node=edge-7&node=edge-9", "/vms"):
        text = await page(web, path)
        assert '<datalist id="nodes-known">' in text
        assert 'list="nodes-known"' in text
    assert 'value="edge-9" list="nodes-known"' in await page(web, "/logs?node=edge-7&node=edge-9")


async def test_a_vm_on_a_silent_node_is_unknown_and_takes_no_orders() -> None:
    text = await page(Web(), "/vms")
    row = text[text.index("old-1") :].partition("</tr>")[0]
    assert 'mark-idle">unknown (was running)' in row
    assert "<form" not in row


async def test_the_overview_names_what_needs_attention_worst_first() -> None:
    text = await page(Web(), "/")
    sentences = ("hub-3 does not answer.", "edge-3 is offline.", "edge-2 is late.")
    places = [text.index(sentence) for sentence in sentences]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/", "make start MODE=worker MASTERS=hub"),
        ("/nodes", "make start MODE=worker MASTERS=hub"),
        ("/vms", "They run on nodes"),
        ("/logs", "curl http://127.0.0.1:4318/v1/logs"),
        ("/logs?signal=events", "Create one"),
        ("/events", "Create a VM"),
        ("/events?type=x", "clear the search"),
        ("/hubs/storage", "This hub holds no data yet"),
        ("/logs?text=x", "clear the search"),
        ("/charts", "http://127.0.0.1:4318/v1/metrics"),
        ("/charts?name=a", "choose another metric"),
        ("/traces", "pip install opentelemetry-sdk"),
        ("/traces?service=x", "clear the search"),
        ("/hubs", "make start MODE=master PEER_MASTERS=hub"),
    ],
)
async def test_an_empty_page_says_what_to_do_next(address: str, said: str) -> None:
    assert said in await page(Web(Script(empty_answers())), address)


async def test_a_node_without_vms_leads_to_the_form() -> None:
    web = Web()
    web.script.answers["node.get"] = node(vms=[])
    assert "/vms?node=edge-1#create" in await page(web, "/nodes/edge-1")
    html = Html(await page(web, "/vms?node=edge-2"))
    (chosen,) = [o for o in html.all("option", value="edge-2") if "selected" in o.attributes]
    assert chosen
