"""The settings that can be given to all hubs or to edges while they run: one table for both sides.

A hub checks with it what people write before it spreads; an edge checks again with all it knows of its
machine, and has the last word. What is not here is for the owner of a machine alone, and no hub can
change it: ports, folders, secrets, where data may go, what may run, and what is scrubbed from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared import readers
from shared.conf_scope import EDGES, HUBS
from shared.signals import Signal

SIGNALS = tuple(map(str, Signal))
LIST_MAX = 256  # As many log files or alert rules as an edge takes.
MIB = 1024 * 1024
DAY_SECONDS = 86400.0

AT_ONCE = "at once"
AT_START = "at the next start"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: `read` gives its value as it is kept (plain JSON), or raises ValueError, whose text
    completes "NAME must be ..."; `applies` says when those for whom it is follow."""

    key: str
    read: Callable[[object], Any]
    meaning: str
    applies: str = AT_ONCE


def _bounded(
    read: Callable[[object], Any], least: float, most: float, told: str
) -> Callable[[object], Any]:
    def within(value: object) -> Any:
        found = read(value)
        if not least <= found <= most:
            raise ValueError(told)
        return found

    return within


def _pace(least: float, told: str) -> Callable[[object], Any]:
    """A time between two rounds; 0 turns them off where `least` is 0."""
    read = _bounded(readers.seconds, least, DAY_SECONDS, told)
    # Between 0, which is off, and a tenth of a second lies nothing that anybody wants.
    return lambda value: _not_tiny(read(value), told)


def _not_tiny(seconds: float, told: str) -> float:
    if 0 < seconds < 0.1:
        raise ValueError(told)
    return seconds


def _texts_or_tables(value: object) -> list[Any]:
    """Log files: a text with commas, or a list of texts or tables; the edge reads them closely."""
    items = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str | dict) for item in items):
        raise ValueError("a list of paths, as in /a.log,/b/*.log, or a list of tables")
    wanted = [item for item in items if item]
    if len(wanted) > LIST_MAX:
        raise ValueError(f"a list of at most {LIST_MAX} paths")
    return wanted


def _alerts(value: object) -> Any:
    if isinstance(value, str) and value.strip().lower() in ("on", "off"):
        return value.strip().lower()
    tables = isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("name"), str) for item in value
    )
    if not tables or len(value) > 100:  # type: ignore[arg-type]  # A list, as was just seen.
        raise ValueError("on, off, or a list of at most 100 tables, each with a name")
    return value


def _bytes(least: int, told: str) -> Callable[[object], Any]:
    return _bounded(readers.size_bytes, least, 2**50, told)


_LEVEL = readers.one_of("debug", "info", "warning", "error")
_INTERVAL = "a duration from 0.1s to 1d, or 0 for never"

EDGE_SETTINGS: Sequence[Setting] = (
    Setting("log_level", _LEVEL, "least severe line to log"),
    Setting(
        "host_metrics_seconds",
        _pace(0.0, _INTERVAL),
        "time between two measurements of the machine; 0 turns them off",
        AT_START,
    ),
    Setting(
        "scrape_seconds",
        _pace(0.1, "a duration from 0.1s to 1d"),
        "time between two scrapes of a target",
        AT_START,
    ),
    Setting(
        "scrape_timeout_seconds",
        _pace(0.1, "a duration from 0.1s to 1d"),
        "how long a target may take to answer",
        AT_START,
    ),
    Setting("alerts", _alerts, "alert rules: on, off, or a list of tables", AT_START),
    Setting("tail", _texts_or_tables, "log files to follow, by path or pattern", AT_START),
    Setting(
        "buffer_bytes_max",
        _bytes(16 * MIB, "a size from 16MiB to 1024TiB"),
        "room for what no hub has confirmed yet",
        AT_START,
    ),
    Setting(
        "buffer_policy",
        readers.one_of("reject", "shed"),
        "what a full buffer does: reject new data, or shed the oldest of the least important",
        AT_START,
    ),
    Setting(
        "buffer_floors",
        readers.shares(*SIGNALS),
        "shares of the buffer that are kept free for a signal, as in events=0.02",
        AT_START,
    ),
    Setting(
        "buffer_ceilings",
        readers.shares(*SIGNALS),
        "shares of the buffer that a signal may take at most",
        AT_START,
    ),
)

HUB_SETTINGS: Sequence[Setting] = (
    Setting("log_level", _LEVEL, "least severe line to log"),
    *(
        Setting(
            f"keep_{signal}_days",
            readers.count(0, 36500),
            f"days that {signal} are kept, 0 for ever",
        )
        for signal in SIGNALS
    ),
    *(
        Setting(
            f"keep_{signal}_bytes",
            _bytes(0, "a size up to 1024TiB, or 0 for all"),
            f"bytes of {signal} that are kept, 0 for all",
        )
        for signal in SIGNALS
    ),
    Setting(
        "backlog_bytes_per_s",
        _bytes(0, "a size up to 1024TiB, or 0 for no limit"),
        "bytes a second that all backlogs together may bring to a hub, 0 for no limit",
    ),
)

TABLES: Mapping[str, Mapping[str, Setting]] = {
    HUBS: {setting.key: setting for setting in HUB_SETTINGS},
    EDGES: {setting.key: setting for setting in EDGE_SETTINGS},
}


PAIRS = (("buffer_floors", "buffer_ceilings"), ("scrape_seconds", "scrape_timeout_seconds"))
"""The keys that can contradict each other."""


def check_together(settings: Mapping[str, Any]) -> None:
    """Whether the settings of one edge fit each other; raises ValueError that says which do not."""
    floors, ceilings = settings.get("buffer_floors", {}), settings.get("buffer_ceilings", {})
    if sum(floors.values()) > 1:
        raise ValueError("buffer_floors add up to more than the whole buffer")
    for signal in sorted(floors.keys() & ceilings.keys()):
        if floors[signal] > ceilings[signal]:
            raise ValueError(
                f"buffer_floors keep {floors[signal]:g} of the buffer for {signal}, "
                f"of which buffer_ceilings allow {ceilings[signal]:g}"
            )
    pace, patience = settings.get("scrape_seconds"), settings.get("scrape_timeout_seconds")
    if pace is not None and patience is not None and patience > pace:
        raise ValueError(
            f"scrape_timeout_seconds ({patience:g}) must not be more than "
            f"scrape_seconds ({pace:g}): a target would be asked again before it may fail"
        )
