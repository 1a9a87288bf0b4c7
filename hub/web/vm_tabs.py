"""The page of one machine, in parts: summary, statistics, snapshots, spec and history."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, Field, read
from hub.web.chart import chart_of
from hub.web.page import Answer, Answers, Call, Page
from hub.web.vm_rows import Vm, actions_of, seen
from hub.web.vm_spec_form import spec_fields
from shared.errors import RpcError

OP_FIELDS = ("op", "op_node")
TABS = (
    ("", "Summary"),
    ("log", "Log"),
    ("stats", "Stats"),
    ("snapshots", "Snapshots"),
    ("spec", "Spec"),
    ("history", "History"),
)
CONSOLE_BYTES = 16 * 1024
LOG_BYTES = 64 * 1024
OFFSET_DIGITS_MAX = 15
OPERATIONS_SUMMARY = 5
OPERATIONS_SHOWN = 100
EVENTS_SHOWN = 100
USUAL_RANGE = "-1h"
POINTS_WANTED = {"-15m": "15s", "-1h": "30s", "-6h": "3m", "-1d": "10m", "-7d": "1h"}

BUTTONS = ("start", "stop", "reboot", "reset", "pause", "kill")
QUEUED = ("start", "stop", "delete")
"""What people want of a machine whose node is silent."""

CHARTS = (
    ("cpu", "Processor time"),
    ("memory", "Memory"),
    ("disk", "Disk"),
    ("net", "Network"),
)


def last_order(asked: Asked) -> Mapping[str, Call]:
    """After an order the address names its operation, so that the page can tell how it goes."""
    op_id, node = asked.one("op"), asked.one("op_node")
    return {"op": Call("op.get", {"op_id": op_id, "node": node})} if op_id and node else {}


def _call(asked: Asked) -> Call:
    fields = read(asked, (Field("node"),), (*OP_FIELDS, "tab", "start", "offset"))
    _place(asked)
    return Call("vm.get", {"vm": asked.parts["vm"], **fields})


def _place(asked: Asked) -> dict[str, int]:
    """From where on the log is read; its end without. Raises RpcError invalid_params."""
    text = asked.one("offset")
    if text and not (text.isdecimal() and len(text) <= OFFSET_DIGITS_MAX):
        raise RpcError("invalid_params", f"offset: {text[:60]!r} is not a number of bytes")
    return {"offset": int(text)} if text else {}


def _extras(asked: Asked) -> Mapping[str, Call]:
    node = {"node": asked.one("node")} if asked.one("node") else {}
    vm = {"vm": asked.parts["vm"], **node}
    calls = {**_of_tab(asked, vm), **last_order(asked)}
    if node:
        calls["drivers"] = Call("node.drivers", node)
    return calls


def _of_tab(asked: Asked, vm: dict[str, Any]) -> dict[str, Call]:
    """What one part shows, and no other."""
    tab = asked.one("tab")
    if tab == "stats":
        start = asked.one("start") or USUAL_RANGE
        step = {"step": POINTS_WANTED[start]} if start in POINTS_WANTED else {}
        return {
            "sample": Call("vm.stats", vm),
            "series": Call("vm.stats.series", {**vm, "from": start, **step}),
        }
    if tab == "log":
        return {"console": Call("vm.console.log", {**vm, "limit": LOG_BYTES, **_place(asked)})}
    if tab == "snapshots":
        return {"snapshots": Call("vm.snapshot.list", vm)}
    if tab == "history":
        return {
            "operations": Call("op.list", {**vm, "limit": OPERATIONS_SHOWN}),
            "events": Call("vm.events", {**vm, "limit": EVENTS_SHOWN}),
        }
    if tab:
        return {}
    calls = {"console": Call("vm.console.log", {**vm, "limit": CONSOLE_BYTES})}
    if "node" in vm:
        calls["operations"] = Call("op.list", {**vm, "limit": OPERATIONS_SUMMARY})
    return calls


def earlier(log: Answer) -> int | None:
    """Where the piece before this one of a log begins; None at its beginning."""
    begins = log.get("offset")
    return max(0, begins - LOG_BYTES) if isinstance(begins, int) and begins > 0 else None


def _shape(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    vm = seen(answer)
    driver = _driver_of(answer, extras.get("drivers", {}))
    capabilities = driver.get("capabilities")
    return {
        "vm": vm,
        "vm_name": asked.parts["vm"],
        "tab": asked.one("tab"),
        "tabs": TABS,
        "buttons": actions_of(vm, BUTTONS, capabilities),
        "queued": [] if not vm["is_lost"] else QUEUED,
        "driver": driver,
        "can_snapshot": capabilities is None or "disk_snapshot" in capabilities,
        "can_keep_memory": capabilities is None or "memory_snapshot" in capabilities,
        "console": extras.get("console", {}),
        "earlier": earlier(extras.get("console", {})),
        "operations": extras.get("operations", {}).get("items", []),
        "operations_told": extras.get("operations", {}),
        "events": extras.get("events", {}),
        "snapshots": extras.get("snapshots", {}),
        "sample": extras.get("sample", {}),
        "series": extras.get("series", {}),
        "charts": _charts(extras.get("series", {})),
        "usual_range": USUAL_RANGE,
        "spec_fields": spec_fields(answer),
        "op": extras.get("op"),
    }


def _driver_of(vm: Vm, told: Answer) -> Mapping[str, Any]:
    """What its driver can on its node; nothing where that is not known."""
    found = told.get("drivers", [])
    return next((each for each in found if each.get("name") == vm.get("driver")), {})


def _charts(series: Answer) -> list[tuple[str, Any]]:
    told = series.get("metrics", {})
    found = [(name, chart_of(_named(told[key], name))) for key, name in CHARTS if key in told]
    return [(name, chart) for name, chart in found if chart is not None]


def _named(answer: Answer, name: str) -> Answer:
    """All lines are of one machine: only the direction of what flows tells them apart."""
    lines = [
        {**each, "node": name, "attributes": _direction(each.get("attributes") or {})}
        for each in answer.get("series", [])
    ]
    return {**answer, "series": lines}


def _direction(attributes: Vm) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key == "direction"}


VM = Page(
    path="/vms/{vm}",
    twin="/vms/{vm}.json",
    template="vm.html",
    section="vms",
    main=_call,
    extras=_extras,
    shape=_shape,
    is_live=True,
)
