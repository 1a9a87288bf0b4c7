"""What a reader of a live tail asks for: the filters of log.query, and where it stands."""

from dataclasses import dataclass
from typing import Any

from hub.query.log_filter import LogFilter
from hub.query.log_params import LogFilterParams, read_filter, read_log_params
from hub.query.times import parse_time
from hub.tail_position import Position, read_position
from shared.errors import BadInput, RpcError
from shared.records import Gap, Signal

_SIGNALS = frozenset(map(str, Signal))


@dataclass(frozen=True, slots=True)
class TailQuery:
    """Which rows are followed. Without a position the tail begins now, or at `since_ms`."""

    signal: Signal
    nodes: frozenset[str] | None
    wanted: LogFilter
    position: Position | None = None
    since_ms: int | None = None

    def follows(self, origin: str) -> bool:
        """Whether the logs of an origin are wanted."""
        return self.nodes is None or origin in self.nodes

    def concerns(self, gap: Gap) -> bool:
        """Whether a declared loss can have held rows of this tail."""
        return gap.signal == self.signal or gap.signal not in _SIGNALS


def read_tail_query(params: dict[str, Any], now_ms: int) -> TailQuery:
    """Check the body of a request for a tail; raises BadInput that names what is wrong."""
    filters = dict(params)
    position, since = filters.pop("position", None), filters.pop("since", None)
    if position is not None and since is not None:
        raise BadInput("since: a tail that goes on from a position has none")
    try:
        asked = read_log_params(filters, LogFilterParams)
        wanted = read_filter(asked)
        since_ms = None if since is None else _since_ms(since, now_ms)
    except RpcError as error:
        raise BadInput(str(error)) from error
    if asked.start is not None or asked.end is not None:
        raise BadInput("start: a tail has no start and end; see since and position")
    return TailQuery(
        Signal(asked.signal),
        None if asked.nodes is None else frozenset(asked.nodes),
        wanted,
        None if position is None else read_position(position),
        since_ms,
    )


def _since_ms(since: object, now_ms: int) -> int:
    if isinstance(since, bool) or not isinstance(since, str | int | float):
        raise BadInput("since: it must be a time, as in -5m")
    return parse_time(since, now_ms * 1_000_000, "since") // 1_000_000
