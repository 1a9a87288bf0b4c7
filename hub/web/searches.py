"""What the search pages share: time ranges, nodes to choose from, attributes, and what retention took."""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.query.times import parse_time
from hub.rest_attributes import Manner, read_attributes
from hub.web.address import NO, YES, Asked, Field, read
from hub.web.page import Answer, Answers, Call
from shared.errors import RpcError

RANGES = (
    ("-15m", "15 min"),
    ("-1h", "1 hour"),
    ("-6h", "6 hours"),
    ("-1d", "1 day"),
    ("-7d", "7 days"),
)

RANGE = (Field("start"), Field("end"))
NODES = Field("node", "many", "nodes")
ATTRIBUTE = "attribute"
BACKFILLED = "backfilled"

NODES_TO_CHOOSE = {"brief": True, "limit": 1000}
"""A list of more nobody scrolls through: then a name is typed, and these are suggested."""

DROPPED_DAYS_ASKED = 100  # The newest ones: four signals for some weeks.


def read_search(
    asked: Asked, fields: Sequence[Field], manner: Manner, others: Sequence[str] = ()
) -> dict[str, Any]:
    """The parameters of a search, its attributes as `key=value`, `key!=value` or `key=start*`.

    Raises RpcError invalid_params.
    """
    params = read(asked, fields, (ATTRIBUTE, *others))
    texts = asked.many(ATTRIBUTE)
    return {**params, "attributes": read_attributes(texts, manner)} if texts else params


def read_backfilled(asked: Asked) -> dict[str, bool]:
    """Whether records that came late are wanted, or only they; raises RpcError invalid_params."""
    text = asked.one(BACKFILLED)
    if not text:
        return {}
    if text.lower() not in YES | NO:
        raise RpcError(
            "invalid_params",
            f"{BACKFILLED}: {text[:60]!r} is not yes or no",
            {"parameter": BACKFILLED},
        )
    return {BACKFILLED: text.lower() in YES}


def range_of(params: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """The range of a question, and some of its other parameters where they are given."""
    return {key: params[key] for key in ("start", "end", *others) if key in params}


def common_extras() -> dict[str, Call]:
    """What every search page asks beside its own question."""
    return {
        "nodes": Call("node.list", NODES_TO_CHOOSE),
        "retention": Call("hub.retention", {"limit": DROPPED_DAYS_ASKED}),
    }


def common_shape(asked: Asked, extras: Answers, signal: str) -> dict[str, Any]:
    """What the template of every search page needs."""
    return {
        "node_ids": node_ids(asked, extras),
        "ranges": RANGES,
        "dropped": dropped_day(asked.one("start"), extras.get("retention", {}), signal),
    }


def node_ids(asked: Asked, extras: Answers) -> list[str]:
    """The nodes to choose from, with those that are chosen although nobody knows them."""
    known = {str(node["node_id"]) for node in extras.get("nodes", {}).get("items", [])}
    return sorted(known | set(asked.many("node")))


def values_of(answer: Answer) -> list[str]:
    """The values of an answer of label.values."""
    return [str(item["value"]) for item in answer.get("items", [])]


def is_narrowed(asked: Asked, names: Sequence[str]) -> bool:
    """Whether one of the names is asked for."""
    return any(asked.one(name) for name in names)


def dropped_day(start: str, retention: Answer, signal: str) -> str:
    """The last day of a signal that retention took data of, where a range reaches that far back;
    else nothing. Without a start it reaches back to the beginning."""
    days = [gone["day"] for gone in retention.get("dropped", []) if gone["signal"] == signal]
    last = max(days, default="")
    if not last or not start:
        return last
    try:
        today_ns = parse_time(f"{retention['today']}T00:00:00Z", 0, "today")
        first_ns = parse_time(start, today_ns, "start")
        end_of_last_ns = parse_time(f"{last}T23:59:59Z", 0, "day")
    except RpcError:
        return ""  # The search itself says what is wrong with its start.
    return last if first_ns <= end_of_last_ns else ""
