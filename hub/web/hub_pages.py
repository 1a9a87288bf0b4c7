"""Pages about hubs: how they keep up with each other, and what this one keeps on its disk."""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.web.address import Asked, read
from hub.web.event_words import REASONS
from hub.web.fleet_pages import CLOCK_OFFSET_MS_MAX, LAG_CHUNKS_MAX
from hub.web.page import Answer, Answers, Call, Page

LAG_SECONDS_MAX = 30.0
DAYS_ASKED = 500
ORIGINS_SHOWN = 8


def _hub_list(asked: Asked) -> Call:
    read(asked, ())
    return Call("hub.list")


def _hubs(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    rows = answer.get("items", [])
    return {
        "rows": rows,
        "peers": [_peer(hub) for hub in rows if isinstance(hub.get("replication"), Mapping)],
        "status": extras.get("status", {}),
        "clock_offset_ms_max": CLOCK_OFFSET_MS_MAX,
        "lag_chunks_max": LAG_CHUNKS_MAX,
        "lag_seconds_max": LAG_SECONDS_MAX,
    }


def _peer(hub: Mapping[str, Any]) -> dict[str, Any]:
    held = hub["replication"]
    lacking = sorted((held.get("lag_by_origin") or {}).items(), key=lambda each: -each[1])
    return {
        **held,
        "hub_id": hub["hub_id"],
        "lacking": lacking[:ORIGINS_SHOWN],
        "lacking_more": max(0, len(lacking) - ORIGINS_SHOWN),
        "faults_total": sum((held.get("faults") or {}).values()),
    }


def _retention(asked: Asked) -> Call:
    read(asked, ())
    return Call("hub.retention", {"limit": DAYS_ASKED})


def _storage(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    files, policies = answer.get("files", []), answer.get("policy", {})
    held = answer.get("signals", {})
    signals = sorted({*held, *policies})
    whole_bytes = sum(each["bytes"] for each in held.values()) or 1
    return {
        "signals": [
            {
                "signal": signal,
                **held.get(signal, {}),
                "share": held.get(signal, {}).get("bytes", 0) / whole_bytes,
                "policy": policies.get(signal, {}),
            }
            for signal in signals
        ],
        "days": _by_day(files),
        "day_signals": sorted({file["signal"] for file in files}),
        "unsafe": [file for file in files if not file.get("safe")],
        "reasons": REASONS,
        "status": extras.get("status", {}),
    }


def _by_day(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The files of each day, by signal, the newest day first."""
    days: dict[str, dict[str, Any]] = {}
    for file in files:
        day = days.setdefault(file["day"], {"day": file["day"], "files": {}, "bytes": 0})
        day["files"][file["signal"]] = file
        day["bytes"] += file["bytes"]
    return [days[day] for day in sorted(days, reverse=True)]


HUBS = Page(
    path="/hubs",
    twin="/hubs.json",
    template="hubs.html",
    section="hubs",
    main=_hub_list,
    extras=lambda asked: {"status": Call("hub.status")},
    shape=_hubs,
    is_live=True,
)
STORAGE = Page(
    path="/hubs/storage",
    twin="/hubs/storage.json",
    template="storage.html",
    section="hubs",
    main=_retention,
    extras=lambda asked: {"status": Call("hub.status")},
    shape=_storage,
    is_live=True,
)

HUB_PAGES = (HUBS, STORAGE)
