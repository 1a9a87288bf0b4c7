"""Uptime as bars: the page over all nodes, and the part of it that a node's own page shows.

A bar says how bad a time was by its height as well as by its colour, so that neither good eyes for
colours nor a colour screen are needed; every bar and every strip says in words what it shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.query.times import NS_PER_S, format_time, parse_time
from hub.web.address import Asked, Field, read
from hub.web.formats import age
from hub.web.page import Answer, Answers, Call, Page

HEIGHT = 36
GAP_SHARE = 0.18
PIECE_HEIGHT_MIN = 3.0  # A minute of trouble in a day must be seen.
HEIGHTS: Mapping[str, float] = {"offline": 36, "degraded": 30, "healthy": 24, "unknown": 8}
KINDS = ("healthy", "degraded", "offline", "unknown")
FROM_THE_GROUND = ("offline", "degraded", "healthy", "unknown")
SCALES = (("5m", "5 hours"), ("24h", "90 days"))
PAGE_NODES = 25


@dataclass(frozen=True, slots=True)
class UptimePiece:
    """A part of a bar, in pixels from the top."""

    kind: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class UptimeBar:
    """One bar: its place in percent, and what it says."""

    left: float
    width: float
    pieces: tuple[UptimePiece, ...]
    health: str
    start: str
    told: str
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """The bars of one node, oldest first. `told` is all of them in one sentence."""

    node: str
    bars: tuple[UptimeBar, ...]
    told: str
    height: int = HEIGHT

    @property
    def troubles(self) -> tuple[UptimeBar, ...]:
        """The bars that a person may want to read, newest first."""
        found = (bar for bar in self.bars if bar.health in ("offline", "degraded"))
        return tuple(reversed(list(found)))


def strip_of(
    node: str, start: str, step_s: float, all_seconds: Sequence[Sequence[float]], total: Any
) -> Strip:
    """The bars of buckets of `step_s` seconds from a time on; each has its seconds by kind."""
    start_ns, width = parse_time(start, 0, "start"), 100 / max(len(all_seconds), 1)
    bars = tuple(
        _bar(index * width, width, start_ns + round(index * step_s * NS_PER_S), step_s, seconds)
        for index, seconds in enumerate(all_seconds)
    )
    return Strip(node, bars, _told_strip(node, bars, total))


def _bar(
    left: float, width: float, start_ns: int, step_s: float, seconds: Sequence[float]
) -> UptimeBar:
    of_kind = dict(zip(KINDS, seconds, strict=True))
    health = next((kind for kind in FROM_THE_GROUND if of_kind[kind]), "unknown")
    start, end = format_time(start_ns), format_time(start_ns + round(step_s * NS_PER_S))
    words = ", ".join(f"{kind} {age(of_kind[kind])}" for kind in KINDS if of_kind[kind])
    until = end[11:16] if step_s < 86_400 else "a day later"
    told = f"{start[:16].replace('T', ' ')} to {until} UTC: {words or 'still to come'}"
    place = round(left + width * GAP_SHARE / 2, 3), round(width * (1 - GAP_SHARE), 3)
    return UptimeBar(*place, _pieces(of_kind, health), health, start, told, tuple(seconds))


def _pieces(of_kind: Mapping[str, float], health: str) -> tuple[UptimePiece, ...]:
    """The parts of a bar from the ground up; the worst is never too thin to be seen."""
    whole, tall = sum(of_kind.values()), HEIGHTS[health]
    if not whole:
        return ()
    shares = {kind: tall * of_kind[kind] / whole for kind in FROM_THE_GROUND if of_kind[kind]}
    shown = {kind: max(share, PIECE_HEIGHT_MIN) for kind, share in shares.items()}
    shrunk = tall / sum(shown.values())
    floor, pieces = float(HEIGHT), list[UptimePiece]()
    for kind, height in shown.items():
        floor -= height * shrunk
        pieces.append(UptimePiece(kind, round(floor, 2), round(height * shrunk, 2)))
    return tuple(pieces)


def _told_strip(node: str, bars: Sequence[UptimeBar], total: Any) -> str:
    ratio, coverage = (total or {}).get("ratio"), (total or {}).get("coverage")
    if not isinstance(ratio, int | float) or not isinstance(coverage, int | float):
        return f"{node}: nothing is known of this time"
    down = sum(bar.health == "offline" for bar in bars)
    weak = sum(bar.health == "degraded" for bar in bars)
    known = f"{exact_percent(ratio)} up in the {exact_percent(coverage)} of the time that is known"
    return f"{node}: {known}; {down} bars with downtime, {weak} with other trouble"


def exact_percent(value: Any) -> str:
    """A share with two decimals; what is not whole is never shown as 100 %, nor as 0 %."""
    if not isinstance(value, int | float):
        return "unknown"
    if 0 < value < 1:
        value = min(max(value, 0.0001), 0.9999)
    return f"{value:.2%}".replace(".00%", "%").replace("%", " %")


def strip_of_node(answer: Answer) -> Strip | None:
    """The bars of an answer of node.uptime; None when it has none."""
    buckets = answer.get("buckets") or []
    if not buckets:
        return None
    seconds = [[bucket[f"{kind}_s"] for kind in KINDS] for bucket in buckets]
    start, step = buckets[0]["start"], answer["step_s"]
    return strip_of(str(answer["node"]), start, step, seconds, answer.get("total"))


def node_uptime_extras(asked: Asked) -> Mapping[str, Call]:
    """What the page of a node asks for, beside the rest: its bars of both lengths, and its checks."""
    node = asked.parts["node"]
    bars = {
        f"uptime_{scale}": Call("node.uptime", {"node": node, "scale": scale})
        for scale, _ in SCALES
    }
    return {**bars, "checks": Call("node.checks", {"node": node})}


def node_strips(extras: Answers) -> list[tuple[str, Strip, Any]]:
    """What the page of a node shows: the length in words, the bars, and the sums."""
    found = ((words, extras.get(f"uptime_{scale}", {})) for scale, words in SCALES)
    drawn = ((words, strip_of_node(answer), answer.get("total")) for words, answer in found)
    return [(words, strip, total) for words, strip, total in drawn if strip is not None]


_FIELDS = (Field("scale"), Field("text"), Field("after"))


def _call(asked: Asked) -> Call:
    return Call("fleet.uptime", {"limit": PAGE_NODES, **read(asked, _FIELDS)})


def _shape(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    start, step_s = answer.get("start"), answer.get("step_s")
    rows = [
        (item, strip_of(item["node"], start, step_s, item["bars"], item["total"]))
        for item in answer.get("items", [])
        if start and step_s
    ]
    return {
        "rows": rows,
        "scale": answer.get("scale") or asked.one("scale") or SCALES[0][0],
        "scales": SCALES,
        "exact_percent": exact_percent,
        "cursor": answer.get("cursor"),
        "nodes_total": answer.get("nodes", 0),
    }


UPTIME = Page(
    path="/nodes/uptime",
    twin="/nodes/uptime.json",
    template="uptime.html",
    section="nodes",
    main=_call,
    shape=_shape,
    is_live=True,
)
UPTIME_PAGES = (UPTIME,)
