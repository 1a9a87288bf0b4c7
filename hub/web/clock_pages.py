"""The page of clocks: how far every hub and edge is off, who says so, and what that holds up."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, read
from hub.web.page import Answer, Answers, Call, Page

EDGES_ASKED = 200
VERDICT_WORDS = {
    "sound": ("ok", "sound"),
    "suspect": ("warn", "suspect"),
    "quarantined": ("bad", "quarantined"),
    "unknown": ("idle", "not measured yet"),
}


def verdict_mark(verdict: object) -> tuple[str, str]:
    """The tone and the word for a verdict; one of a newer version is shown as it is."""
    return VERDICT_WORDS.get(str(verdict), ("idle", str(verdict)[:40]))


def _clock_list(asked: Asked) -> Call:
    read(asked, ())
    return Call("clock.list", {"limit": EDGES_ASKED, "edges": "all"})


def _clocks(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    edges = answer.get("edges", {})
    return {
        "own": answer.get("own", {}),
        "rows": answer.get("hubs", []),
        "limits": answer.get("limits", {}),
        "matrix": answer.get("matrix", {}),
        "totals": answer.get("totals", {}),
        "withheld": answer.get("withheld", {}),
        "edges": edges,
        "edges_more": max(0, edges.get("known", 0) - len(edges.get("items", []))),
        "blames_us": _blames_us(edges, answer.get("limits", {})),
        "verdict_mark": verdict_mark,
    }


def _blames_us(edges: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Whether the edge in the middle is off, which says more of our clock than of the edges."""
    median_ms, limit_ms = edges.get("median_ms"), limits.get("edge_ms")
    return median_ms is not None and limit_ms is not None and abs(median_ms) > limit_ms


CLOCKS = Page(
    path="/hubs/clocks",
    twin="/hubs/clocks.json",
    template="clocks.html",
    section="hubs",
    main=_clock_list,
    shape=_clocks,
    is_live=True,
)

CLOCK_PAGES = (CLOCKS,)
