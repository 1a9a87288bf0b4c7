"""The same question as a command line, as curl, and as a JSON-RPC call, ready to be copied."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.web.page import Call

_OPTIONS: Mapping[str, str] = {
    "start": "--start",
    "end": "--end",
    "nodes": "--node",
    "severity": "--severity",
    "severity_max": "--severity-max",
    "text": "--text",
    "words": "--word",
    "type": "--type",
    "subject": "--subject",
    "service": "--service",
    "services": "--service",
    "trace_id": "--trace-id",
    "attributes": "--attribute",
    "limit": "--limit",
    "cursor": "--cursor",
    "order": "--order",
    "step": "--step",
    "aggregation": "--aggregation",
    "quantile": "--quantile",
    "group_by": "--group-by",
    "group": "--group",
    "name": "--name",
    "min_duration_ms": "--min-duration-ms",
    "max_duration_ms": "--max-duration-ms",
    "errors_only": "--errors-only",
    "node": "--node",
    "scale": "--scale",
    "after": "--after",
    "states": "--state",
    "state": "--state",
    "kind": "--kind",
    "label": "--label",
    "labels": "--label",
    "heard_by": "--heard-by",
    "draining": "--draining",
    "attention": "--attention",
}

# The words of a command, and the parameters that stand behind them without a flag.
_COMMANDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hub.status": (("status",), ()),
    "hub.list": (("hubs",), ()),
    "hub.matrix": (("peers", "matrix"), ()),
    "peers.leader": (("peers", "leader"), ()),
    "clock.list": (("peers", "clocks"), ()),
    "hub.views": (("peers", "views"), ("hub",)),
    "hub.incidents": (("peers", "incidents"), ()),
    "hub.incident": (("peers", "incidents"), ("incident",)),
    "node.list": (("nodes",), ()),
    "node.uptime": (("nodes", "uptime"), ("node",)),
    "node.checks": (("nodes", "checks"), ("node",)),
    "node.history": (("nodes", "history"), ("node",)),
    "fleet.uptime": (("nodes", "uptime"), ()),
    "fleet.summary": (("nodes", "summary"), ()),
    "node.get": (("node", "show"), ("node",)),
    "node.removed": (("nodes", "removed"), ()),
    "ledger.show": (("ledger", "show"), ("node",)),
    "config.get": (("config", "cluster"), ()),
    "hub.retention": (("hub", "days"), ()),
    "log.query": (("logs",), ()),
    "event.list": (("events",), ()),
    "metric.names": (("metrics",), ()),
    "metric.query": (("metrics",), ("name",)),
    "trace.search": (("traces",), ()),
    "trace.get": (("trace",), ("trace_id",)),
    "vm.list": (("vms",), ()),
    "node.drivers": (("image", "drivers"), ("node",)),
    "vm.get": (("vm", "show"), ("vm",)),
}

_WITHOUT_RANGE = frozenset({"trace.get"})  # The range is only a hint there.


@dataclass(frozen=True, slots=True)
class Forms:
    """One call in three forms."""

    cli: str
    curl: str
    rpc: str


def forms(call: Call, origin: str) -> Forms:
    """The forms of a call to the hub at `origin`, its URL without a slash at the end."""
    body = {"jsonrpc": "2.0", "id": 1, "method": call.method, "params": call.params}
    return Forms(
        cli=shlex.join(["headwater", *command(call)]),
        curl=(
            f'curl {shlex.quote(origin + "/rpc")} -H "authorization: Bearer $HEADWATER_TOKEN" \\\n'
            f"  -d {shlex.quote(orjson.dumps(body).decode())}"
        ),
        rpc=orjson.dumps(body, option=orjson.OPT_INDENT_2).decode(),
    )


def command(call: Call) -> list[str]:
    """The words of the command line that makes this call."""
    known = _COMMANDS.get(call.method)
    if known is None:
        return ["rpc", call.method, *(f"{name}={_word(v)}" for name, v in call.params.items())]
    words, positions = known
    if call.params.get("signal") == "events":
        words = ("events",)
    behind = [str(call.params[name]) for name in positions if name in call.params]
    flags = [
        flag
        for name, value in call.params.items()
        if name not in positions and call.method not in _WITHOUT_RANGE
        for flag in _flags(call.method, name, value)
    ]
    return [*words, *behind, *flags]


def _flags(method: str, name: str, value: Any) -> list[str]:
    if (name, value) == ("order", "slowest"):
        return ["--slowest"]
    if name == "backfilled":
        return ["--backfilled" if value else "--fresh"]
    option = _OPTIONS.get(name)
    if option is None:
        return []
    if value is True:
        return [option]
    if isinstance(value, Mapping):
        write = _selectors if method.startswith(("metric.", "series.")) else _wishes
        texts = [text for key, held in value.items() for text in write(key, held)]
        return [word for text in texts for word in (option, text)]
    if isinstance(value, list):
        return [word for held in value for word in (option, str(held))]
    return [option, str(value)]


def _selectors(key: str, held: Any) -> list[str]:
    """The same for the labels of series, whose parameters are texts of this form already."""
    texts = [str(value) for value in (held if isinstance(held, list) else [held])]
    return [f"{key}{text}" if text.startswith("!=") else f"{key}={text}" for text in texts]


def _wishes(key: str, held: Any) -> list[str]:
    """What an attribute must be like, as hub.rest_attributes reads it."""
    if isinstance(held, Mapping):
        prefix, refused = held.get("prefix"), held.get("not", [])
        starts = [] if prefix is None else [f"{key}={prefix}*"]
        each = refused if isinstance(refused, list) else [refused]
        return [*starts, *(f"{key}!={_exact(value)}" for value in each)]
    if isinstance(held, list):
        return [text for value in held for text in _wishes(key, value)]
    return [f"{key}={_exact(held)}"]


def _exact(value: Any) -> str:
    """A value that must not be read as a pattern."""
    text = str(value)
    return f"={text}" if text.endswith("*") or text.startswith("=") else text


def _word(value: Any) -> str:
    if isinstance(value, str) and not _reads_as_json(value):
        return value
    return orjson.dumps(value).decode()


def _reads_as_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
