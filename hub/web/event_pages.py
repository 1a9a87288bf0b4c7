"""The page about events: what edges and hubs report of themselves, of their VMs and of their data."""

from collections.abc import Mapping
from typing import Any

from hub.query.match import SEVERITIES
from hub.web.address import Asked, Field, relative
from hub.web.event_words import KNOWN_TYPES, sentence_of
from hub.web.log_pages import BACKFILL_CHOICES, PAGE_FIELDS, record_of
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import (
    ATTRIBUTE,
    BACKFILLED,
    NODES,
    RANGE,
    common_extras,
    common_shape,
    is_narrowed,
    range_of,
    read_backfilled,
    read_search,
    values_of,
)

TYPE_LABEL = "event_name"
TYPES_SINCE = "-7d"

EVENT_FIELDS = (
    *RANGE,
    NODES,
    Field("type"),
    Field("subject"),
    Field("severity"),
    Field("severity_max"),
    Field("text"),
    *PAGE_FIELDS,
)
_NARROWING = (
    *("start", "end", "node", "type", "subject", "severity", "severity_max", "text"),
    *(ATTRIBUTE, BACKFILLED),
)
_OF_A_TAIL = frozenset({"node", "severity", "severity_max", "text", ATTRIBUTE, BACKFILLED})


def _event_call(asked: Asked) -> Call:
    params = read_search(asked, EVENT_FIELDS, "records", (BACKFILLED,))
    return Call("event.list", {**params, **read_backfilled(asked)})


def _event_extras(asked: Asked) -> Mapping[str, Call]:
    since = {"start": TYPES_SINCE, **range_of(_event_call(asked).params)}
    types = {"signal": "events", "label": TYPE_LABEL, **since}
    return {**common_extras(), "types": Call("label.values", types)}


def _events(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    rows = [_row(row) for row in answer.get("items", [])]
    seen = {str(row["type"]) for row in rows if row["type"]}
    return {
        **common_shape(asked, extras, "events"),
        "rows": rows,
        "types": sorted({*KNOWN_TYPES, *seen, *values_of(extras.get("types", {}))}),
        "severities": list(SEVERITIES),
        "backfill_choices": BACKFILL_CHOICES,
        "tail_query": _tail_query(asked),
        "is_narrowed": is_narrowed(asked, _NARROWING),
    }


def _tail_query(asked: Asked) -> str:
    """The part of the search that a live tail knows, too."""
    pairs = asked.query.multi_items()
    kept = [(name, value) for name, value in pairs if value and name in _OF_A_TAIL]
    return relative([("signal", "events"), *kept])


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**record_of(row), "sentence": sentence_of(row)}


EVENTS = Page(
    path="/events",
    twin="/events.json",
    template="events.html",
    section="logs",
    main=_event_call,
    extras=_event_extras,
    shape=_events,
)

EVENT_PAGES = (EVENTS,)
