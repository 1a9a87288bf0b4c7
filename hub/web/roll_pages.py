"""The page of the roll: nodes that were removed, which of them ask to come back, and who may come."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, read
from hub.web.page import Answer, Answers, Call, Page

LISTED = 500


def _call(asked: Asked) -> Call:
    read(asked, ())
    return Call("node.removed", {"limit": LISTED})


def _shape(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    items = answer.get("items", [])
    return {"rows": items, "rows_total": answer.get("total", len(items))}


REMOVED = Page(
    path="/nodes/removed",
    twin="/nodes/removed.json",
    template="removed.html",
    section="nodes",
    main=_call,
    shape=_shape,
)
ROLL_PAGES = (REMOVED,)
