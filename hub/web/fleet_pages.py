"""Pages about machines: overview, nodes, one node, its ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.query.coverage import SKEW_MS_MAX
from hub.web.address import Asked, read
from hub.web.chart import chart_of
from hub.web.event_words import sentence_of
from hub.web.page import Answer, Answers, Call, Page
from hub.web.uptime_pages import exact_percent, node_strips, node_uptime_extras

ROWS_MAX = 500  # What a person scrolls through; beyond that the filter is quicker.
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


def contains(needle: str, *values: object) -> bool:
    """Whether one of the values has the text in it, in capitals or not."""
    return any(needle.lower() in str(value).lower() for value in values if value)


def narrowed_nodes(asked: Asked, answer: Answer) -> Answer:
    """The nodes whose id, host name, state or labels hold the text."""
    needle = asked.one("text")
    if not needle:
        return answer
    items = [node for node in answer["items"] if _node_matches(node, needle)]
    return {**answer, "items": items}


def _node_matches(node: Mapping[str, Any], needle: str) -> bool:
    facts, labels = node.get("facts") or {}, node.get("labels") or {}
    words = [f"{key}={value}" for key, value in labels.items()]
    known = (
        node["node_id"],
        node["state"],
        node.get("role"),
        facts.get("hostname"),
        facts.get("os"),
    )
    return contains(needle, *known, *words)


def _node_rows(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    items = answer.get("items", [])
    return {"rows": items[:ROWS_MAX], "rows_total": len(items)}


def _overview(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    nodes = extras.get("nodes", {}).get("items", [])
    hubs = [{**answer, "state": "self"}, *answer.get("peers", [])] if answer else []
    return {
        "nodes": nodes,
        "rows": nodes[:20],
        "hubs": sorted(hubs, key=lambda hub: str(hub["hub_id"])),
        "attention": attention(nodes, hubs, extras.get("summary")),
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
    uptime = node_uptime_extras(asked)
    return {**charts, **uptime, "events": Call("event.list", events), "ledger": ledger}


def _node(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    charts = {key: chart_of(extras[key]) for key in NODE_CHARTS if key in extras}
    return {
        "node": answer,
        "skew_ms_max": SKEW_MS_MAX,
        "charts": charts,
        "events": _told(extras),
        "ledger": extras.get("ledger"),
        "checks": extras.get("checks", {}),
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
        "nodes": Call("node.list"),
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
    main=_read_nothing("node.list", "text"),
    narrow=narrowed_nodes,
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
