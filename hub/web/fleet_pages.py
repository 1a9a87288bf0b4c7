"""Pages about machines: overview, nodes, one node, its ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.query.coverage import SKEW_MS_MAX
from hub.web.address import Asked, Field, read
from hub.web.chart import chart_of
from hub.web.event_words import sentence_of
from hub.web.history_pages import newest_lines
from hub.web.page import Answer, Answers, Call, Page
from hub.web.uptime_pages import exact_percent, node_strips, node_uptime_extras
from hub.web.vm_rows import mark, of_node
from shared.liveness import NodeState

PAGE_NODES = 100  # What a person scrolls through, and a hub lays out in a few milliseconds.
OVERVIEW_NODES = 20
TROUBLED_ASKED = 50
NOTES_SHOWN = 12
EVENTS_SHOWN = 6
CLOCK_OFFSET_MS_MAX = 500.0
LAG_CHUNKS_MAX = 100
DISK_RATIO_MIN = 0.05

NODE_CHARTS = {"cpu": "system.cpu.utilization", "memory": "system.memory.utilization"}


def _read_nothing(method: str, *others: str) -> Any:
    def call(asked: Asked) -> Call:
        read(asked, (), others)
        return Call(method)

    return call


NODE_FIELDS = (
    Field("text"),
    Field("state", "many", "states"),
    Field("label", "many", "labels"),
    Field("heard_by"),
    Field("draining", "flag"),
    Field("attention", "flag"),
    Field("after"),
    Field("limit", "whole"),
)
CONDITIONS = ("text", "state", "label", "heard_by", "draining", "attention")


def _nodes_call(asked: Asked) -> Call:
    return Call("node.list", {"limit": PAGE_NODES, **read(asked, NODE_FIELDS)})


def _node_rows(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    items = answer.get("items", [])
    return {
        "rows": [{**node, "vms": of_node(node)} for node in items],
        "rows_total": answer.get("total", len(items)),
        "states": answer.get("states", {}),
        "all_states": [str(state) for state in NodeState],
        "cursor": answer.get("cursor"),
        "is_narrowed": any(asked.one(name) for name in CONDITIONS),
    }


def _overview(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    listed, troubled = extras.get("nodes", {}), extras.get("troubled", {})
    nodes, looked_at = listed.get("items", []), troubled.get("items", [])
    hubs = [{**answer, "state": "self"}, *answer.get("peers", [])] if answer else []
    notes = attention(looked_at, hubs, extras.get("summary"))
    return {
        "nodes_total": listed.get("total", len(nodes)),
        "rows": nodes[:OVERVIEW_NODES],
        "hubs": sorted(hubs, key=lambda hub: str(hub["hub_id"])),
        "attention": notes[:NOTES_SHOWN],
        "attention_more": len(notes[NOTES_SHOWN:])
        + troubled.get("total", len(looked_at))
        - len(looked_at),
        "events": _told(extras),
        "summary": extras.get("summary"),
        "exact_percent": exact_percent,
        "vm_counts": answer.get("vms", {}),
        "node_counts": answer.get("nodes", {}),
    }


def _told(extras: Answers) -> list[dict[str, Any]]:
    """The latest events, in sentences."""
    items = extras.get("events", {}).get("items", [])
    return [{**row, "sentence": sentence_of(row)} for row in items]


def attention(
    nodes: Sequence[Mapping[str, Any]],
    hubs: Sequence[Mapping[str, Any]],
    summary: Answer | None = None,
) -> list[dict[str, str]]:
    """What a person should look at, worst first: sentences with the address that says more."""
    found = [note for hub in hubs for note in _hub_notes(hub)]
    found += _fleet_notes(summary or {})
    found += [note for node in nodes for note in _node_notes(node)]
    return sorted(found, key=lambda note: note["level"])


def _note(level: str, sentence: str, address: str) -> dict[str, str]:
    return {"level": level, "sentence": sentence, "address": address}


def _hub_notes(hub: Mapping[str, Any]) -> list[dict[str, str]]:
    notes = []
    name = hub["hub_id"]
    if hub.get("away"):
        sentence = f"{name} is away by plan: {hub['away']['reason']}."
        notes.append(_note("warn", sentence, "/hubs"))
    elif hub["state"] in ("dead", "avoid"):
        notes.append(_note("bad", f"{name} does not answer.", "/hubs"))
    offset = hub.get("clock_offset_ms")
    if offset is not None and abs(offset) > CLOCK_OFFSET_MS_MAX:
        notes.append(_note("warn", f"The clock of {name} is off by {offset:.0f} ms.", "/hubs"))
    own = hub.get("clock") or {}
    if own.get("sentence"):
        level = "bad" if own.get("verdict") == "quarantined" else "warn"
        notes.append(_note(level, f"{own['sentence']}.", "/hubs/clocks"))
    if (hub.get("lag_chunks") or 0) > LAG_CHUNKS_MAX:
        notes.append(
            _note("warn", f"{hub['lag_chunks']} chunks of {name} are not here yet.", "/hubs")
        )
    return notes + _storage_notes(name, hub)


def _storage_notes(name: str, hub: Mapping[str, Any]) -> list[dict[str, str]]:
    """What the hub that answers tells of its own disk."""
    notes = []
    if (hub.get("disk") or {}).get("accepting") is False:
        sentence = f"The disk of {name} is nearly full: it takes no data in."
        notes.append(_note("bad", sentence, "/hubs/storage"))
    if hub.get("damaged_chunks"):
        sentence = f"{hub['damaged_chunks']} damaged chunks of {name} are not back yet."
        notes.append(_note("warn", sentence, "/hubs/storage"))
    return notes


def _fleet_notes(summary: Answer) -> list[dict[str, str]]:
    """Checks that fail, and nodes of which hubs say different things."""
    notes = []
    for each in (summary.get("failing") or {}).get("nodes", []):
        word = "Check" if len(each["checks"]) == 1 else "Checks"
        verb = "fails" if len(each["checks"]) == 1 else "fail"
        sentence = f"{word} {', '.join(each['checks'])} of {each['node']} {verb}."
        notes.append(_note("bad", sentence, f"/nodes/{each['node']}"))
    for name in (summary.get("disputed") or {}).get("nodes", []):
        sentence = f"One hub calls {name} offline, and another one hears it."
        notes.append(_note("warn", sentence, f"/nodes/{name}"))
    return notes


def _node_notes(node: Mapping[str, Any]) -> list[dict[str, str]]:
    name, address = node["node_id"], f"/nodes/{node['node_id']}"
    notes = []
    if node["state"] == "offline":
        notes.append(_note("bad", f"{name} is offline.", address))
    elif node["state"] in ("late", "suspect"):
        notes.append(_note("warn", f"{name} is {node['state']}.", address))
    if abs(node.get("clock_skew_ms") or 0) > SKEW_MS_MAX:
        notes.append(_note("warn", f"The clock of {name} is wrong.", address))
    if (node.get("buffer") or {}).get("dead_letters"):
        notes.append(_note("warn", f"{name} holds data that every hub has refused.", address))
    failed = [vm for vm in node.get("vms") or [] if vm.get("state") == "failed"]
    notes += [_note("bad", f"{vm.get('name')} on {name} has failed.", "/vms") for vm in failed]
    return notes


def _node_extras(asked: Asked) -> Mapping[str, Call]:
    node = asked.parts["node"]
    events = {"nodes": [node], "limit": EVENTS_SHOWN}
    charts = {
        key: Call("metric.query", {"name": name, "nodes": [node], "start": "-1h"})
        for key, name in NODE_CHARTS.items()
    }
    ledger = Call("ledger.show", {"node": node})
    drivers = {"drivers": Call("node.drivers", {"node": node})}
    told = {"events": Call("event.list", events), "history": newest_lines(asked)}
    return {**charts, **node_uptime_extras(asked), **told, "ledger": ledger, **drivers}


def _node(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    charts = {key: chart_of(extras[key]) for key in NODE_CHARTS if key in extras}
    return {
        "node": answer,
        "skew_ms_max": SKEW_MS_MAX,
        "charts": charts,
        "events": _told(extras),
        "ledger": extras.get("ledger"),
        "checks": extras.get("checks", {}),
        "drivers": extras.get("drivers", {}),
        "vms": of_node(answer),
        "vm_mark": mark,
        "history": extras.get("history", {}),
        "strips": node_strips(extras),
        "exact_percent": exact_percent,
    }


OVERVIEW = Page(
    path="/",
    twin="/overview.json",
    template="overview.html",
    section="overview",
    main=_read_nothing("hub.status"),
    extras=lambda asked: {
        "nodes": Call("node.list", {"limit": OVERVIEW_NODES}),
        "troubled": Call("node.list", {"attention": True, "limit": TROUBLED_ASKED}),
        "events": Call("event.list", {"limit": EVENTS_SHOWN}),
        "summary": Call("fleet.summary"),
    },
    shape=_overview,
    is_live=True,
)
NODES = Page(
    path="/nodes",
    twin="/nodes.json",
    template="nodes.html",
    section="nodes",
    main=_nodes_call,
    shape=_node_rows,
    is_live=True,
)


def _node_call(asked: Asked) -> Call:
    read(asked, ())
    return Call("node.get", {"node": asked.parts["node"]})


NODE = Page(
    path="/nodes/{node}",
    twin="/nodes/{node}.json",
    template="node.html",
    section="nodes",
    main=_node_call,
    extras=_node_extras,
    shape=_node,
)


def _ledger_call(asked: Asked) -> Call:
    read(asked, ())
    return Call("ledger.show", {"node": asked.parts["node"]})


LEDGER = Page(
    path="/nodes/{node}/ledger",
    twin="/nodes/{node}/ledger.json",
    template="ledger.html",
    section="nodes",
    main=_ledger_call,
    shape=lambda asked, answer, extras: {"ledger": answer},
)

FLEET_PAGES = (OVERVIEW, NODES, NODE, LEDGER)
