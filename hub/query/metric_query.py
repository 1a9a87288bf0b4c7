"""One question about one metric, and the times that it needs."""

from dataclasses import dataclass

from hub.index.rollup import RESOLUTIONS_NS
from hub.query.buckets import Grid
from hub.query.metric_selector import Selector
from hub.query.times import NS_PER_S

GAP_SECONDS_MIN = 300  # A counter that is silent for longer tells nothing about the time between.
LOOKBACK_SECONDS_MAX = 3600


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which series of an answer become one: those with equal labels, combined step by step."""

    labels: tuple[str, ...]
    combination: str | None


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """One question about one metric."""

    name: str
    grid: Grid
    nodes: frozenset[str] | None
    selector: Selector
    aggregation: str | None
    quantile: float | None = None
    grouping: Grouping | None = None

    @property
    def gap_ns_max(self) -> int:
        """Two readings further apart than this do not make an increase."""
        return max(GAP_SECONDS_MIN * NS_PER_S, 2 * self.grid.step_ns)

    @property
    def read_from_ns(self) -> int:
        """Where reading begins: the first bucket needs the reading before it. Rollups can be cut
        here, so that an index knows neither more nor less than the chunks tell."""
        lookback_ns = min(self.gap_ns_max, LOOKBACK_SECONDS_MAX * NS_PER_S)
        finest_ns = RESOLUTIONS_NS[-1]
        return max(0, self.grid.start_ns - lookback_ns) // finest_ns * finest_ns
