"""The reachability matrix for people: a table of text, and a drawing that stands on its own.

The SVG holds its own colours for light and dark, a title and a description, and no script. Every
cell says in words what its colour says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from hub.peering.detect_row import Entry
from hub.peering.detect_values import PeerState
from hub.peering.matrix import Finding, Matrix, verdicts

NAME_SHOWN_MAX = 16
CELL_WIDTH, CELL_HEIGHT, HEAD_WIDTH, HEAD_HEIGHT, MARGIN = 118, 44, 190, 40, 12
LINE_HEIGHT = 20
FINDINGS_SHOWN_MAX = 12
ALL_IS_WELL = "every hub reaches every other"

_STYLE = """
.m{color-scheme:light dark;font:13px system-ui,sans-serif}
.m .ground{fill:#fff}.m text{fill:#15202a}.m .soft{fill:#54636f}
.m rect.alive{fill:#e9f6ee;stroke:#16713f}.m rect.avoid{fill:#fdf4e2;stroke:#8a5800}
.m rect.dead{fill:#fdeceb;stroke:#b3261e;stroke-width:2}
.m rect.unknown,.m rect.self{fill:#eef2f5;stroke:#b9c5ce}.m rect.old{stroke-dasharray:4 3}
@media (prefers-color-scheme:dark){
.m .ground{fill:#141c22}.m text{fill:#e4ebf0}.m .soft{fill:#9dacb8}
.m rect.alive{fill:#12281d;stroke:#57c98a}.m rect.avoid{fill:#2b2312;stroke:#e3b04b}
.m rect.dead{fill:#331a19;stroke:#ff8a80}
.m rect.unknown,.m rect.self{fill:#1c262d;stroke:#3d4d58}}
""".strip()


def draw_text(matrix: Matrix) -> str:
    """A table: each line is what one hub says of all others; below it, what is wrong."""
    hubs = matrix.hubs
    lines = [
        ["from \\ to", *hubs],
        *([_head(matrix, hub), *_told(matrix, hub)] for hub in hubs),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(hubs) + 1)]
    table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([*table, "", *_findings_text(verdicts(matrix))]) + "\n"


def _told(matrix: Matrix, hub: str) -> list[str]:
    return [" ".join(_cell(matrix, hub, peer).lines) for peer in matrix.hubs]


def _head(matrix: Matrix, hub: str) -> str:
    """A hub and how far its word can be trusted."""
    return " ".join(filter(None, (hub, _standing(matrix, hub))))


def _standing(matrix: Matrix, hub: str) -> str:
    seen = matrix.seen(hub)
    if hub in matrix.away:
        return "(away by plan)"
    if seen is None:
        return "(silent)"
    if seen.is_old:
        return f"(old: {seen.age_s:.0f} s)"
    if seen.row.isolated:
        return "(isolated)"
    return f"(slow x{seen.row.health:.1f})" if seen.row.health >= 2 else ""


def _findings_text(findings: Iterable[Finding]) -> list[str]:
    lines: list[str] = []
    for each in findings:
        lines.append(f"{each.severity}: {each.words}")
        lines.extend(f"  {line}" for line in each.evidence)
    return lines or [ALL_IS_WELL]


@dataclass(frozen=True, slots=True)
class _Cell:
    kind: str
    lines: tuple[str, ...]


def _cell(matrix: Matrix, hub: str, peer: str) -> _Cell:
    seen = matrix.seen(hub)
    if hub == peer:
        return _Cell("self", ("-",))
    entry = seen.row.entry(peer) if seen else None
    if entry is None:
        return _Cell("unknown", ("?",))
    if peer in matrix.away and entry.state is not PeerState.ALIVE:
        return _Cell("unknown", ("away", "by plan"))
    return _Cell(entry.state.value, _lines(entry))


def _lines(entry: Entry) -> tuple[str, ...]:
    if entry.state is PeerState.UNKNOWN:
        return ("unknown",)
    if entry.state is PeerState.ALIVE:
        return ("alive",) if entry.rtt_ms is None else ("alive", f"{entry.rtt_ms:.1f} ms")
    return (entry.state.value, f"{entry.state_age_s:.0f} s, {entry.misses} missed")


def draw_svg(matrix: Matrix, *, styled: bool = True) -> str:
    """The same as a drawing: SVG 1.1 as text, complete in itself.

    Without its style it goes into a page, which forbids styles that are not from its own files.
    """
    hubs, findings = matrix.hubs, verdicts(matrix)
    words = [each.words for each in findings] or [ALL_IS_WELL]
    shown = words[:FINDINGS_SHOWN_MAX]
    if len(words) > len(shown):
        shown.append(f"and {len(words) - len(shown)} more")
    table = MARGIN + HEAD_HEIGHT + CELL_HEIGHT * len(hubs)
    longest = max(len(line) for line in shown) * 8  # A letter of 13 px is narrower than that.
    width = max(HEAD_WIDTH + CELL_WIDTH * len(hubs), longest) + 2 * MARGIN
    height = table + LINE_HEIGHT * (len(shown) + 1) + MARGIN
    parts = [
        *_opening(width, height, words, styled=styled),
        *_columns(hubs),
        *(part for at, hub in enumerate(hubs) for part in _line(matrix, hub, at)),
        *(_text(MARGIN, table + LINE_HEIGHT * (at + 1), line) for at, line in enumerate(shown)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _opening(width: int, height: int, words: list[str], *, styled: bool) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="m" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" '
        'aria-label="Which hub reaches which" aria-describedby="matrix-words">',
        "<title>Which hub reaches which</title>",
        f'<desc id="matrix-words">{escape(". ".join(words))}.</desc>',
        *([f"<style>{_STYLE}</style>"] if styled else []),
        f'<rect class="ground" width="{width}" height="{height}"/>',
    ]


def _columns(hubs: list[str]) -> list[str]:
    heads = [_text(_x(at) + 6, MARGIN + 26, _short(hub)) for at, hub in enumerate(hubs)]
    return [_text(MARGIN, MARGIN + 26, "from \\ to", "soft"), *heads]


def _line(matrix: Matrix, hub: str, at: int) -> list[str]:
    seen, y = matrix.seen(hub), MARGIN + HEAD_HEIGHT + at * CELL_HEIGHT
    standing = _standing(matrix, hub)
    parts = [_text(MARGIN, y + 18, _short(hub))]
    if standing:
        parts.append(_text(MARGIN, y + 34, standing, "soft"))
    old = seen is not None and seen.is_old
    for column, peer in enumerate(matrix.hubs):
        parts.extend(_box(_x(column), y, _cell(matrix, hub, peer), f"{hub} to {peer}", old=old))
    return parts


def _box(x: int, y: int, cell: _Cell, path: str, *, old: bool) -> list[str]:
    kind = f"{cell.kind} old" if old else cell.kind
    words = escape(f"{path}: {', '.join(cell.lines)}{' (old)' if old else ''}")
    size = f'width="{CELL_WIDTH - 4}" height="{CELL_HEIGHT - 4}"'
    lines = [_text(x + 6, y + 17 + 16 * at, line) for at, line in enumerate(cell.lines)]
    rect = f'<rect class="{kind}" x="{x}" y="{y}" {size} rx="4"/>'
    return [f"<g><title>{words}</title>{rect}", *lines, "</g>"]


def _x(column: int) -> int:
    return MARGIN + HEAD_WIDTH + column * CELL_WIDTH


def _text(x: int, y: int, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{named}>{escape(words)}</text>'


def _short(name: str) -> str:
    return name if len(name) <= NAME_SHOWN_MAX else name[: NAME_SHOWN_MAX - 1] + "…"
