"""The parameters of label.values: one method for the labels of every signal."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hub.query.params import Name, Nodes, Params, read_params
from shared.errors import RpcError
from shared.records import Signal


class LabelParams(Params, frozen=True):
    """label.values. `label` is an attribute or `node`; of logs and events also `service` and
    `severity`; of traces only `service` and `name`. `name` is that of a metric. `attributes`, and for
    logs and events `severity`, `text` and `service`, narrow what is counted."""

    label: Name
    signal: Literal["logs", "events", "metrics", "traces"] = "logs"
    name: Name | None = None
    nodes: Nodes = None
    attributes: dict[str, Any] | None = None
    severity: str | int | None = None
    text: Annotated[str, Meta(max_length=1000)] | None = None
    service: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


_EVERYWHERE = frozenset({"start", "end", "label", "nodes", "limit"})
_TAKEN: dict[str, frozenset[str]] = {
    Signal.LOGS: _EVERYWHERE | {"attributes", "severity", "text", "service"},
    Signal.EVENTS: _EVERYWHERE | {"attributes", "severity", "text", "service"},
    Signal.METRICS: _EVERYWHERE | {"name", "attributes"},
    Signal.TRACES: _EVERYWHERE,
}


def read_label_params(params: dict[str, Any]) -> tuple[Signal, dict[str, Any]]:
    """Which signal is asked about, and the parameters that belong to it; raises RpcError
    invalid_params when one of them says nothing about this signal."""
    asked = read_params(params, LabelParams)
    told = {
        name: value
        for name in asked.__struct_fields__
        if name != "signal" and (value := getattr(asked, name)) is not None
    }
    for name in told:
        if name not in _TAKEN[asked.signal]:
            raise RpcError(
                "invalid_params",
                f"{name}: labels of {asked.signal} cannot be narrowed by it",
                {"parameter": name},
            )
    return Signal(asked.signal), msgspec.to_builtins(told)
