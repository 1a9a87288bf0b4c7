"""The parameters of the RPC methods about checks, history and uptime, and what each is for."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hub.nodes.check_rules import CHECKS_MAX, CheckName
from hub.params import Name
from hub.query.times import TimeInput

ScaleName = Literal["5m", "24h"]


class CheckNode(Struct, forbid_unknown_fields=True):
    """A node, and which of its checks to run; all of them when none is named."""

    node: Name
    check: CheckName | None = None


class ListChecks(Struct, forbid_unknown_fields=True):
    """A node whose checks are asked for."""

    node: Name


class SetChecks(Struct, forbid_unknown_fields=True):
    """A node and all the checks it should have; none when none are given."""

    node: Name
    checks: Annotated[list[dict[str, Any]], Meta(max_length=CHECKS_MAX)] = []


class ShowHistory(Struct, forbid_unknown_fields=True):
    """What was observed of a node, of the last 24 hours when nothing is said; newest first."""

    node: Name
    check: CheckName | None = None
    start: TimeInput = "-24h"
    end: TimeInput = "now"
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class ShowUptime(Struct, forbid_unknown_fields=True):
    """A node, and the length of the bars: 60 of 5 minutes, or 90 of a day (UTC)."""

    node: Name
    scale: ScaleName = "5m"


class ListUptimes(Struct, forbid_unknown_fields=True):
    """The bars of many nodes by name, those after one of them, or those whose name holds a text."""

    scale: ScaleName = "5m"
    text: Annotated[str, Meta(max_length=200)] = ""
    after: Annotated[str, Meta(max_length=200)] = ""
    cursor: Annotated[str, Meta(max_length=200)] = ""
    """The cursor of an answer, which is the last node in it."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 25


class ShowSummary(Struct, forbid_unknown_fields=True):
    """By which labels to count, the most frequent ones when none is named, and for what time."""

    labels: Annotated[list[Name], Meta(max_length=8)] = []
    scale: ScaleName = "5m"


PARAMS: Mapping[str, type[Struct]] = {
    "node.check": CheckNode,
    "node.checks": ListChecks,
    "node.setChecks": SetChecks,
    "node.history": ShowHistory,
    "node.uptime": ShowUptime,
    "fleet.uptime": ListUptimes,
    "fleet.summary": ShowSummary,
}
SUMMARIES: Mapping[str, str] = {
    "node.check": "Run the checks of a node from this hub now: node, check.",
    "node.checks": "The checks of a node, and what they say: node.",
    "node.setChecks": "Set all checks of a node: node, checks.",
    "node.history": "What hubs observed of a node, newest first: node, check, start, end, limit.",
    "node.uptime": "The uptime bars of a node, merged from all hubs: node, scale (5m, 24h).",
    "fleet.uptime": "The uptime bars of many nodes: scale, text, after, limit.",
    "fleet.summary": "Nodes by state and label, worst uptime, failing checks: labels, scale.",
}
