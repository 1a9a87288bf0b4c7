"""The page of a live tail. Its records come from POST /tail; see static/tail.js."""

from collections.abc import Mapping
from typing import Any

import orjson

from hub.query.match import SEVERITIES
from hub.web.address import Asked, Field, relative
from hub.web.log_pages import BACKFILL_CHOICES, FILTER_FIELDS, read_log_search
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import NODES_TO_CHOOSE
from shared.errors import RpcError

BEGINNINGS = (("-1m", "a minute ago"), ("-5m", "5 minutes ago"), ("-15m", "15 minutes ago"))

TAIL_FIELDS = (*FILTER_FIELDS, Field("since"))


def _main(asked: Asked) -> Call:
    read_log_search(
        asked, TAIL_FIELDS
    )  # An address that cannot be asked is refused as on all pages.
    return Call("node.list", NODES_TO_CHOOSE)


def _shape(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    known = {str(node["node_id"]) for node in answer.get("items", [])}
    kept = [(name, value) for name, value in asked.query.multi_items() if value]
    searched = [(name, value) for name, value in kept if name != "since"]
    return {
        "question": _question(asked),
        "node_ids": sorted(known | set(asked.many("node"))),
        "severities": list(SEVERITIES),
        "backfill_choices": BACKFILL_CHOICES,
        "beginnings": BEGINNINGS,
        "searched": relative(searched) if searched else "",
    }


def _question(asked: Asked) -> str:
    """The body of the POST; nothing when the page shows why there can be none."""
    try:
        return orjson.dumps(read_log_search(asked, TAIL_FIELDS)).decode()
    except RpcError:
        return ""


TAIL = Page(
    path="/tail",
    twin="/tail.json",
    template="tail.html",
    section="logs",
    main=_main,
    shape=_shape,
)
