"""log.histogram: how many records each step of a range has, by severity, node or service.

Steps begin at whole multiples of their length since 1970, so that the bars of two hubs, or of two
pages, stand at the same places; the first and the last one are cut to the range.

Where an index has sums for every 10 s, only the ends of the range that lie inside of such a bin, and
the chunks that it does not cover, are read. The counts are the same either way.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hub.query.log_census import Census, group_by, service_group, severity_group
from hub.query.log_chunk import LogIndex
from hub.query.log_filter import LogFilter
from hub.query.log_params import HistogramParams, read_filter, read_log_params
from hub.query.log_scan import COUNT_LIMITS, LogRange, LogScan
from hub.query.params import read_range
from hub.query.scan import ChunkReader, Limits, MayHold
from hub.query.times import NS_PER_S, format_time, parse_duration
from shared.errors import BadInput, RpcError
from shared.records import Signal

BIN_SECONDS = 10
"""Of the sums in an index."""

STEPS_MAX = 2000
DEFAULT_RANGE_NS = 3600 * NS_PER_S

ALL = "all"
"""The group of every record when there is to be only one."""

_BIN_NS = BIN_SECONDS * NS_PER_S
_DAY_S = 86_400
_STEPS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(seconds * 1000 for seconds in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800)),
    *(hours * 3_600_000 for hours in (1, 2, 3, 6, 12)),
)
_SEVERITY_LOWEST = -(2**31)
"""The wire has room for numbers below zero; a record with one counts as any other."""

Bin = tuple[int, str, int, str, int]
"""(bin_s, node, severity number, service, records) of the BIN_SECONDS from bin_s on."""


class BinIndex(Protocol):
    """The sums of all chunks of one signal that are indexed, as of one moment."""

    @property
    def uncovered(self) -> MayHold:
        """Tells the chunks whose records are not in the sums."""
        ...

    def covers(self, arrival: int, received_ms: int, signal: Signal) -> bool:
        """Whether the records of this chunk are in the sums."""
        ...

    def bins(
        self,
        start_s: int,
        end_s: int,
        nodes: Collection[str] | None = None,
        severity_min: int = 0,
        service: str | None = None,
    ) -> Iterable[Bin]:
        """The bins that begin in [start_s, end_s), several rows of a bin at will; raises BadInput."""
        ...

    def sums(
        self,
        start_s: int,
        end_s: int,
        step_s: int,
        nodes: Collection[str] | None = None,
        severity_min: int = 0,
        service: str | None = None,
    ) -> Iterable[tuple[int, int, int]]:
        """(start of the step, severity number, records) of the same bins; steps are counted from
        `start_s`, and all three times are multiples of BIN_SECONDS. Raises BadInput."""
        ...


@dataclass(frozen=True, slots=True)
class HistogramQuery:
    """Which records to count, in which steps."""

    asked: LogRange
    step_ns: int
    by: str


def read_histogram_query(params: dict[str, Any], now_ns: int) -> HistogramQuery:
    """Check the parameters; the range is the last hour by default. Raises RpcError invalid_params."""
    asked = read_log_params(params, HistogramParams)
    start_ns, end_ns = read_range(asked, now_ns, max(0, now_ns - DEFAULT_RANGE_NS), now_ns)
    if asked.step is None:
        step_ns = default_step_ns(end_ns - start_ns, asked.bins)
    else:
        step_ns = parse_duration(asked.step, "step")
    if (end_ns - start_ns) // step_ns >= STEPS_MAX:
        raise RpcError(
            "invalid_params",
            f"step: the range has more than {STEPS_MAX} of these; make it longer or the range shorter",
            {"parameter": "step"},
        )
    nodes = None if asked.nodes is None else frozenset(asked.nodes)
    where = LogRange(start_ns, end_ns, Signal(asked.signal), nodes, read_filter(asked))
    return HistogramQuery(where, step_ns, asked.by)


def default_step_ns(range_ns: int, bins: int) -> int:
    """The shortest round step that needs no more than so many bins for the range, but for the cut
    ones at its ends."""
    wanted_ms = -(-range_ns // (bins * 1_000_000))
    days = -(-wanted_ms // (_DAY_S * 1000)) * _DAY_S * 1000
    return next((step for step in _STEPS_MS if step >= wanted_ms), days) * 1_000_000


def can_use_bins(query: HistogramQuery) -> bool:
    """Whether the sums of an index can tell all that is asked."""
    wanted = query.asked.wanted
    plain = LogFilter(
        severity_min=wanted.severity_min,
        severity_max=wanted.severity_max,
        services=wanted.services,
    )
    return query.step_ns % _BIN_NS == 0 and wanted == plain


def count_logs(
    reader: ChunkReader,
    query: HistogramQuery,
    limits: Limits = COUNT_LIMITS,
    index: LogIndex | None = None,
    bins: BinIndex | None = None,
) -> dict[str, Any]:
    """The counts of each step, empty ones too; `scanned.complete` tells whether all was counted.

    `index` must be made for needs_of(query.asked.wanted); it and `bins` only save reading. Raises
    RpcError quota.
    """
    census, scan = Census(), LogScan(reader, limits)
    is_indexed = bins is not None and can_use_bins(query) and _count_bins(census, query, bins)
    if bins is not None and is_indexed:
        _count_around_bins(census, scan, query, bins)
    else:
        _count_records(census, scan, query, query.asked, index.may_hold if index else None)
    return _answer(census, scan, query, is_indexed=is_indexed)


def _inner_s(asked: LogRange) -> tuple[int, int]:
    """The whole bins inside of the range; the end is not behind the start when there is none."""
    return -(-asked.start_ns // _BIN_NS) * BIN_SECONDS, asked.end_ns // _BIN_NS * BIN_SECONDS


def _count_records(
    census: Census,
    scan: LogScan,
    query: HistogramQuery,
    asked: LogRange,
    may_hold: MayHold | None,
) -> None:
    group = group_by(query.by) if query.by != "none" else lambda _: ALL
    for accepted in scan.records(asked, may_hold):
        census.add(accepted.time_ns // query.step_ns, group(accepted) or "")


def _count_around_bins(
    census: Census, scan: LogScan, query: HistogramQuery, bins: BinIndex
) -> None:
    """Count what the sums leave out: chunks they do not cover, and the cut bins at both ends."""
    asked = query.asked
    start_ns, end_ns = (each * NS_PER_S for each in _inner_s(asked))
    _count_records(census, scan, query, asked, bins.uncovered)
    for edge_start_ns, edge_end_ns in ((asked.start_ns, start_ns), (end_ns, asked.end_ns)):
        if edge_start_ns < edge_end_ns:
            edge = replace(asked, start_ns=edge_start_ns, end_ns=edge_end_ns)
            _count_records(census, scan, query, edge, bins.covers)


def _count_bins(census: Census, query: HistogramQuery, bins: BinIndex) -> bool:
    """Count the whole bins of the range; False, with nothing counted, when there are none or they
    cannot be read."""
    start_s, end_s = _inner_s(query.asked)
    if start_s >= end_s:
        return False
    try:
        counted = list(_bin_counts(query, bins, start_s, end_s))
    except BadInput:
        return False  # The chunks tell the same.
    for at, group, records in counted:
        census.add(at, group, records)
    return True


def _bin_counts(
    query: HistogramQuery, bins: BinIndex, start_s: int, end_s: int
) -> Iterator[tuple[int, str, int]]:
    """(step, group, records)."""
    wanted, nodes = query.asked.wanted, query.asked.nodes
    services = wanted.services
    service = next(iter(services)) if services is not None and len(services) == 1 else None
    lowest = wanted.severity_min or _SEVERITY_LOWEST
    step_s = query.step_ns // NS_PER_S
    if query.by in ("severity", "none") and (services is None or service is not None):
        for first_s, last_s in _whole_steps(start_s, end_s, step_s):
            sums = bins.sums(first_s, last_s, step_s, nodes, lowest, service)
            for at_s, severity, records in sums:
                if wanted.severity_max is None or severity <= wanted.severity_max:
                    group = severity_group(severity) if query.by == "severity" else ALL
                    yield at_s // step_s, group, records
        return
    for bin_s, node, severity, name, records in bins.bins(start_s, end_s, nodes, lowest, service):
        if wanted.severity_max is not None and severity > wanted.severity_max:
            continue
        if services is None or name in services:
            groups = {
                "node": node,
                "service": service_group(name),
                "severity": severity_group(severity),
            }
            yield bin_s // step_s, groups.get(query.by, ALL), records


def _whole_steps(start_s: int, end_s: int, step_s: int) -> Iterator[tuple[int, int]]:
    """The part of the range in its first step, where that is cut, and the part behind it."""
    cut_s = min(-(-start_s // step_s) * step_s, end_s)
    if start_s < cut_s:
        yield start_s, cut_s
    if cut_s < end_s:
        yield cut_s, end_s


def _answer(
    census: Census, scan: LogScan, query: HistogramQuery, *, is_indexed: bool
) -> dict[str, Any]:
    asked, step_ns = query.asked, query.step_ns
    counts: dict[int, dict[str, int]] = {}
    for (at, group), records in sorted(census.counts.items()):
        counts.setdefault(at, {})[group] = records
    steps = range(asked.start_ns // step_ns, (asked.end_ns - 1) // step_ns + 1)
    return {
        "start": format_time(asked.start_ns),
        "end": format_time(asked.end_ns),
        "step_s": step_ns / NS_PER_S,
        "by": query.by,
        "bins": [
            {
                "time": format_time(at * step_ns),
                "records": sum(counts.get(at, {}).values()),
                "counts": counts.get(at, {}),
            }
            for at in steps
        ],
        "totals": dict(census.totals()),
        "scanned": {**scan.to_wire(), "indexed": is_indexed},
    }
