"""Uptime as bars: the page over all nodes, and the part of it that a node's own page shows.

A bar says how bad a time was by its height as well as by its colour, so that neither good eyes for
colours nor a colour screen are needed; every bar and every strip says in words what it shows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

from hub.query.times import NS_PER_S, format_time, parse_time
from hub.web.address import Asked, Field, read
from hub.web.formats import age
from hub.web.page import Answer, Answers, Call, Page

HEIGHT = 36
BAR_WIDTH = 10  # In units of the drawing, which is as wide as there is room.
GAP = 1.8
THICK = BAR_WIDTH - GAP
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
    """One bar: how it looks, and what it says."""

    pieces: tuple[UptimePiece, ...]
    health: str
    told: str


@dataclass(frozen=True, slots=True)
class UptimeRun:
    """Bars side by side that say the same: the number of the first, how many, and their words."""

    first: int
    bars: int
    told: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The bars of one node, oldest first. `told` is all of them in one sentence.

    It is drawn as one path for each kind, and one place to point at for each run: a page has
    thousands of bars, and is drawn while a hub has other things to do.
    """

    node: str
    bars: tuple[UptimeBar, ...]
    runs: tuple[UptimeRun, ...]
    told: str
    height: int = HEIGHT
    bar_width: int = BAR_WIDTH

    @property
    def width(self) -> int:
        """Of the drawing, in its own units."""
        return len(self.bars) * self.bar_width

    @property
    def paths(self) -> Mapping[str, str]:
        """What is drawn of each kind, as the path of an SVG."""
        drawn: dict[str, list[str]] = {}
        for number, bar in enumerate(self.bars):
            left = number * self.bar_width + GAP / 2
            for piece in bar.pieces:
                sides = f"M{left:g} {piece.top:g}h{THICK:g}v{piece.height:g}h-{THICK:g}z"
                drawn.setdefault(piece.kind, []).append(sides)
        return {kind: "".join(parts) for kind, parts in drawn.items()}

    @property
    def troubles(self) -> tuple[UptimeBar, ...]:
        """The bars that a person may want to read, newest first."""
        found = (bar for bar in self.bars if bar.health in ("offline", "degraded"))
        return tuple(reversed(list(found)))


def strip_of(
    node: str, start: str, step_s: float, all_seconds: Sequence[Sequence[float]], total: Any
) -> Strip:
    """The bars of buckets of `step_s` seconds from a time on; each has its seconds by kind."""
    times = _times(start, step_s, len(all_seconds))
    looks = [_look(tuple(seconds)) for seconds in all_seconds]
    bars = tuple(
        UptimeBar(look.pieces, look.health, _told(times, number, 1, look.words))
        for number, look in enumerate(looks)
    )
    return Strip(node, bars, tuple(_runs(looks, times)), _told_strip(node, bars, total))


@dataclass(frozen=True, slots=True)
class _Look:
    """What follows from the seconds of a bar, whenever it was. `kind` when it has one only."""

    pieces: tuple[UptimePiece, ...]
    health: str
    words: str
    seconds: float
    kind: str | None


@lru_cache(maxsize=1024)  # Most bars of most nodes are healthy throughout.
def _look(seconds: tuple[float, ...]) -> _Look:
    of_kind = dict(zip(KINDS, seconds, strict=True))
    kinds = [kind for kind in FROM_THE_GROUND if of_kind[kind]]
    health = kinds[0] if kinds else "unknown"
    words = ", ".join(f"{kind} {age(of_kind[kind])}" for kind in KINDS if of_kind[kind])
    kind = health if len(kinds) == 1 else None
    return _Look(_pieces(of_kind, health), health, words or "still to come", sum(seconds), kind)


@lru_cache(maxsize=8)  # All nodes of a page have the same.
def _times(start: str, step_s: float, bars: int) -> tuple[str, ...]:
    """When each bar begins, and when the last one ends, to the minute."""
    start_ns = parse_time(start, 0, "start")
    moments = (start_ns + round(number * step_s * NS_PER_S) for number in range(bars + 1))
    return tuple(format_time(moment)[:16].replace("T", " ") for moment in moments)


def _runs(looks: Sequence[_Look], times: Sequence[str]) -> Iterator[UptimeRun]:
    """Neighbours of one and the same kind together, all others alone."""
    numbers = range(len(looks))
    for _, found in groupby(numbers, lambda number: looks[number].kind or number):
        members = list(found)
        first, words = members[0], looks[members[0]].words
        if len(members) > 1:
            seconds = sum(looks[number].seconds for number in members)
            words = f"{looks[first].kind} {age(seconds)}"
        yield UptimeRun(first, len(members), _told(times, first, len(members), words))


def _told(times: Sequence[str], first: int, bars: int, words: str) -> str:
    start, end = times[first], times[first + bars]
    until = end.removeprefix(start[:11])
    return f"{start} to {until} UTC: {words}"


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
