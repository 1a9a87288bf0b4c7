"""Uptime bars on pages: what is drawn, and what is said for those who do not see it."""

import re
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from hub.web.address import Asked
from hub.web.desk import environment
from hub.web.static_files import FOLDER
from hub.web.uptime_pages import (
    HEIGHT,
    PIECE_HEIGHT_MIN,
    UPTIME,
    Strip,
    exact_percent,
    node_strips,
    node_uptime_extras,
    strip_of,
    strip_of_node,
)
from shared.errors import RpcError

START = "2026-11-21T00:00:00Z"
Seconds = tuple[float, float, float, float]
WELL: Seconds = (300, 0, 0, 0)
DOWN: Seconds = (100, 0, 200, 0)
NOTHING: Seconds = (0, 0, 0, 300)
COMING: Seconds = (0, 0, 0, 0)
TOTAL = {"ratio": 0.9999999, "coverage": 0.5}


def drawn(*seconds: Seconds, node: str = "edge-1", step_s: float = 300) -> Strip:
    """The strip of a node with these bars."""
    return strip_of(node, START, step_s, seconds, TOTAL)


def asked(query: str = "", **parts: str) -> Asked:
    """An address."""
    return Asked("/nodes/uptime", parts, QueryParams(query))


def shown(answer: dict[str, Any], query: str = "") -> str:
    """The page of an answer."""
    address = asked(query)
    variables = {**UPTIME.shape(address, answer, {}), "asked": address, "answer": answer}
    return environment().get_template(UPTIME.template).render(hub_id="hub-1", **variables)


def test_the_worse_a_bar_the_taller_it_is() -> None:
    """Colour is not the only sign."""
    bars = drawn(NOTHING, WELL, (200, 100, 0, 0), DOWN).bars
    heights = [round(sum(piece.height for piece in bar.pieces)) for bar in bars]
    assert heights == [8, 24, 30, HEIGHT]
    assert all(bar.pieces[0].top + bar.pieces[0].height == HEIGHT for bar in bars)


def test_a_second_of_trouble_is_seen() -> None:
    """A thin piece is drawn thick enough, and the bar stays within the drawing."""
    (bar,) = drawn((86_399, 0, 1, 0), step_s=86_400).bars
    offline, healthy = bar.pieces
    assert (offline.kind, healthy.kind) == ("offline", "healthy")
    assert offline.height > PIECE_HEIGHT_MIN * 0.9
    assert healthy.top >= 0


def test_a_time_to_come_has_no_bar() -> None:
    """And says so."""
    (bar,) = drawn(COMING).bars
    assert (bar.pieces, bar.told) == ((), "2026-11-21 00:00 to 00:05 UTC: still to come")


def test_every_bar_and_the_strip_say_in_words_what_they_show() -> None:
    """For those who hear a page instead of seeing it."""
    strip = drawn(WELL, DOWN, NOTHING)
    words = [bar.told for bar in strip.bars]
    assert words[0] == "2026-11-21 00:00 to 00:05 UTC: healthy 5 min 0 s"
    assert words[1] == "2026-11-21 00:05 to 00:10 UTC: healthy 1 min 40 s, offline 3 min 20 s"
    assert strip.told == (
        "edge-1: 99.99 % up in the 50 % of the time that is known;"
        " 1 bars with downtime, 0 with other trouble"
    )
    assert [bar.told for bar in strip.troubles] == [words[1]]


def test_bars_that_say_the_same_are_pointed_at_as_one() -> None:
    """With the time and the words of all of them; a bar with some of two kinds stands alone."""
    runs = drawn(WELL, WELL, (120, 0, 0, 0), DOWN, DOWN, NOTHING, COMING).runs
    assert [(run.first, run.bars) for run in runs] == [(0, 3), (3, 1), (4, 1), (5, 1), (6, 1)]
    assert runs[0].told == "2026-11-21 00:00 to 00:15 UTC: healthy 12 min 0 s"
    assert runs[-1].told == "2026-11-21 00:30 to 00:35 UTC: still to come"


def test_a_time_over_midnight_names_both_days() -> None:
    """Hours alone would be read as those of one day."""
    (run,) = drawn(WELL, WELL, step_s=86_400).runs
    assert run.told == "2026-11-21 00:00 to 2026-11-23 00:00 UTC: healthy 10 min 0 s"


def test_a_kind_is_one_path_of_all_its_pieces() -> None:
    """Each where its bar stands, from its top down to its foot."""
    strip = drawn(WELL, DOWN, WELL)
    assert strip.paths == {
        "healthy": "M0.9 12h8.2v24h-8.2zM10.9 0h8.2v12h-8.2zM20.9 12h8.2v24h-8.2z",
        "offline": "M10.9 12h8.2v24h-8.2z",
    }


def test_a_page_of_quiet_nodes_is_drawn_with_few_elements() -> None:
    """Thousands of elements would keep a hub from its other work while it draws them."""
    quiet = {"node": "edge-1", "state": "online", "bars": [WELL] * 90, "total": TOTAL}
    strip = (
        shown({**answer(), "items": [quiet]}).partition("uptime-strip")[2].partition("</svg>")[0]
    )
    assert strip.count("<path") == strip.count("<rect") == strip.count("<title>") == 1


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1, "100 %"),
        (0, "0 %"),
        (0.5, "50 %"),
        (0.99999, "99.99 %"),
        (0.9512, "95.12 %"),
        (None, "unknown"),
    ],
)
def test_shares_are_not_rounded_up_to_whole(share: float | None, words: str) -> None:
    """Nothing that was down is shown as 100 %."""
    assert exact_percent(share) == words


def item(node: str) -> dict[str, Any]:
    """A node as fleet.uptime tells it."""
    return {"node": node, "state": "online", "bars": [WELL, DOWN], "total": TOTAL}


def answer(*nodes: str, cursor: str | None = None) -> dict[str, Any]:
    """What fleet.uptime says."""
    items = [item(node) for node in nodes]
    frame = {"scale": "5m", "step_s": 300, "start": START, "nodes": 40}
    return {**frame, "items": items, "cursor": cursor}


def test_the_page_has_a_strip_for_each_node_and_where_to_go_on() -> None:
    """With the key, the scales and the address of the next nodes."""
    page = shown(answer("edge-1", "edge-2", cursor="edge-2"), "text=edge&scale=5m")
    assert page.count('role="img" aria-label="edge-') == 2
    assert "nobody observed" in page
    assert 'href="?text=edge&amp;scale=5m&amp;after=edge-2"' in page
    assert 'href="?text=edge&amp;scale=24h"' in page


def test_a_hostile_name_is_only_a_name() -> None:
    """What a node calls itself is text."""
    page = shown(answer("<script>alert(1)</script>"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_page_without_nodes_says_so() -> None:
    """Also when the call behind it failed: then it says nothing of nodes."""
    assert "No nodes yet" in shown(answer())
    assert "No node to show" in shown(answer(), "text=edge")
    assert UPTIME.shape(asked(), {}, {})["rows"] == []


def test_the_address_becomes_the_call() -> None:
    """An unknown name in it is refused."""
    call = UPTIME.main(asked("scale=24h&after=edge-9"))
    assert (call.method, call.params) == (
        "fleet.uptime",
        {"limit": 25, "scale": "24h", "after": "edge-9"},
    )
    with pytest.raises(RpcError, match="scal"):
        UPTIME.main(asked("scal=24h"))


def test_a_node_page_has_both_scales_and_bears_that_one_fails() -> None:
    """What could not be asked is left out."""
    calls = node_uptime_extras(asked(node="edge-1"))
    assert [calls[f"uptime_{scale}"].params["scale"] for scale in ("5m", "24h")] == ["5m", "24h"]
    kinds = ("healthy_s", "degraded_s", "offline_s", "unknown_s")
    buckets = [{"start": START, **dict(zip(kinds, DOWN, strict=True))}]
    extras: dict[str, dict[str, Any]] = {
        "uptime_5m": {"node": "edge-1", "step_s": 300, "buckets": buckets, "total": TOTAL},
        "uptime_24h": {"error": {"kind": "internal"}},
    }
    strips = node_strips(extras)
    assert [words for words, _, _ in strips] == ["5 hours"]
    source = "{% from 'uptime_macros.html' import uptime_part with context %}{{ uptime_part(strips, exact) }}"
    part = environment().from_string(source).render(strips=strips, exact=exact_percent)
    assert "Times of trouble, in words" in part
    assert "<strong>99.99 %</strong> up" in part
    assert strip_of_node({}) is None


def test_every_kind_of_bar_has_its_colour() -> None:
    """The classes of the drawing are those of the style sheet, in colours that know light and dark."""
    styles = (FOLDER / "uptime.css").read_text()
    strip = drawn(WELL, DOWN, NOTHING, (0, 300, 0, 0))
    kinds = {piece.kind for bar in strip.bars for piece in bar.pieces}
    assert kinds == set(re.findall(r"^\.up-(\w+) \{ fill: var\(--\w+\)", styles, re.MULTILINE))
