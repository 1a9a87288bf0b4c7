"""The summary of a fleet in a few lines."""

from collections.abc import Mapping
from typing import Any

from hub.cli.output import plain


def in_short(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer of fleet.summary says, without labels and uptime."""
    names = {key: answer[key] for key in ("draining", "failing", "disputed")}
    return {
        "nodes": answer["nodes"],
        **answer["states"],
        "checks": f"{answer['checks']['failing']} of {answer['checks']['all']} fail",
        **{key: f"{held['count']}: {_names(held)}" for key, held in names.items() if held["count"]},
    }


def _names(held: Mapping[str, Any]) -> str:
    named = [
        f"{each['node']} ({plain(each['checks'])})" if isinstance(each, Mapping) else str(each)
        for each in held["nodes"]
    ]
    return ", ".join(named) + (" ..." if held["count"] > len(named) else "")
