"""What hubs observed of a node: the page of all of it, and the newest lines on the page of the node."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, Field, read
from hub.web.page import Answer, Answers, Call, Page

LINES_SHOWN = 6
START = "-7d"
_FIELDS = (Field("check"), Field("start"), Field("end"), Field("limit", "whole"))


def newest_lines(asked: Asked) -> Call:
    """The call for the newest lines about a node."""
    params = {"node": asked.parts["node"], "start": START, "limit": LINES_SHOWN}
    return Call("node.history", params)


def _call(asked: Asked) -> Call:
    given = read(asked, _FIELDS)
    return Call("node.history", {"start": START, **given, "node": asked.parts["node"]})


def _shape(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    items = answer.get("items", [])
    older = items[-1]["since"] if items and answer.get("more") else None
    return {"rows": items, "older": older, "node": asked.parts["node"]}


HISTORY = Page(
    path="/nodes/{node}/history",
    twin="/nodes/{node}/history.json",
    template="history.html",
    section="nodes",
    main=_call,
    shape=_shape,
)
HISTORY_PAGES = (HISTORY,)
