"""The table of RPC methods: what answers each, which parameters it takes, and what it is for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from hub import params
from hub.answers import Answers
from hub.audit import Audit
from hub.backlogs import NODES_AT_ONCE, backlogs_of
from hub.fleet import Fleet
from hub.keeper import ShowRetention
from hub.letters import PARAMS as LETTER_PARAMS
from hub.letters import SUMMARIES, Letters
from hub.nodes.sieve import NODE_LIST_SUMMARY, ListNodes
from hub.query.coverage import Backlog, coverage
from hub.query.methods import QUESTIONS
from hub.query.times import NS_PER_S, TIME_NS_MAX, parse_time
from hub.rpc import Handler, Method
from shared import __version__
from shared.runtime import Runtime


def method_table(
    fleet: Fleet,
    audit: Audit,
    runtime: Runtime,
    hub_id: str,
    answers: Answers,
) -> dict[str, Method]:
    """Every method of a hub, by name. Whoever adds to it later is in `rpc.discover` as well."""
    table = {
        "node.list": Method(
            _covered(fleet, audit, hub_id, fleet.nodes.answer, covered=fleet.nodes.covered),
            ListNodes,
            NODE_LIST_SUMMARY,
        ),
        "node.get": Method(fleet.node_get, params.OfNode),
        "node.undrain": Method(fleet.node_undrain, params.OfNode),
        "node.label": Method(fleet.node_label, params.LabelNode),
        "hub.list": Method(fleet.hub_list, params.Nothing),
        "hub.status": Method(fleet.hub_status, params.Nothing),
        "hub.retention": Method(fleet.upkeep.keeper.show, ShowRetention),
        "edge.buffer": Method(fleet.edge_buffer, params.OfNode),
        "edge.drain": Method(fleet.edge_drain, params.DrainNode),
        "edge.drain.status": Method(fleet.edge_drain_status, params.DrainsOfNode),
        "edge.drain.cancel": Method(fleet.edge_drain_cancel, params.CancelDrain),
        "ledger.show": Method(audit.show, params.ShowLedger),
        "ledger.verify": Method(audit.verify, params.VerifyLedger),
        "ledger.conflicts": Method(audit.conflicts, params.ListConflicts),
    }
    for name, question in QUESTIONS.items():
        back_s = question.back_seconds
        handler = _covered(fleet, audit, hub_id, _asking(answers, name), back_s)
        table[name] = Method(handler, question.params, question.summary)
    letters = Letters(fleet.calls)
    for name, summary in SUMMARIES.items():
        table[name] = Method(letters.method(name), LETTER_PARAMS[name], summary)
    table["rpc.discover"] = Method(lambda _: _discover(table), params.Nothing, "These methods.")
    return table


async def _discover(table: Mapping[str, Method]) -> dict[str, Any]:
    """The methods in the form of OpenRPC 1.3, from the same types that check parameters."""
    kinds = [method.params for method in table.values() if method.params]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    methods = [_describe(name, method, schemas) for name, method in sorted(table.items())]
    return {
        "openrpc": "1.3.2",
        "info": {"title": "Headwater hub", "version": __version__},
        "methods": methods,
        "components": {"schemas": schemas},
    }


def _describe(name: str, method: Method, schemas: Mapping[str, Any]) -> dict[str, Any]:
    schema = schemas[method.params.__name__] if method.params else {}
    required = schema.get("required", [])
    described = [
        {"name": key, "required": key in required, "schema": value}
        for key, value in schema.get("properties", {}).items()
    ]
    return {
        "name": name,
        "summary": method.summary or _first_line(method.handler),
        "paramStructure": "by-name",
        "params": described,
        "result": {"name": "result", "schema": {"type": "object"}},
    }


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


def _asking(answers: Answers, name: str) -> Handler:
    async def ask(raw: dict[str, Any]) -> dict[str, Any]:
        return await answers.ask(name, raw)

    return ask


Covered = Callable[[Mapping[str, Any], Mapping[str, Any]], list[str] | None]
"""The nodes that an answer is about, by its question and itself; None for all."""


def _asked_nodes(raw: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str] | None:
    asked = raw.get("nodes")
    return asked if isinstance(asked, list) else None


def _covered(
    fleet: Fleet,
    audit: Audit,
    hub_id: str,
    handler: Handler,
    back_s: int | None = None,
    covered: Covered = _asked_nodes,
) -> Handler:
    """Say with each answer what it covers. Without a start, it looks back `back_s`, or at all."""

    async def answer(raw: dict[str, Any]) -> dict[str, Any]:
        result = await handler(raw)
        names = covered(raw, result)
        backlogs, now_ns = await _backlogs(fleet, names)
        # A hub writes its own log itself: all that there is of it is here, or on its way from it.
        hubs = fleet.mesh.peers.named().keys() & set(names or ())
        own = [Backlog(hub, "online", 0, 0, None, 0.0) for hub in sorted(hubs)]
        lost = await audit.lost(names, *_range_ms(raw, fleet.runtime.wall_ns(), back_s))
        unreadable = result.get("scanned", {}).get("unreadable_chunks", 0)
        state = replace(
            fleet.upkeep.state,
            unreadable_chunks=unreadable,
            is_isolated=fleet.mesh.peers.is_isolated,
            split=fleet.in_status["split"]() if "split" in fleet.in_status else None,
        )
        work = partial(coverage, hub_id, [*backlogs, *own], names, now_ns, lost, state)
        is_short = len(backlogs) <= NODES_AT_ONCE
        return {**result, "coverage": work() if is_short else await fleet.runtime.offload(work)}

    answer.__doc__ = handler.__doc__
    return answer


async def _backlogs(fleet: Fleet, names: list[str] | None) -> tuple[list[Backlog], int]:
    """What these nodes or all said last, and when that was looked up."""
    if names is None:
        return await fleet.backlogs.read()
    now_ns = fleet.runtime.wall_ns()
    return await backlogs_of(fleet.registry, names), now_ns


def _range_ms(raw: Mapping[str, Any], now_ns: int, back_s: int | None) -> tuple[int, int]:
    """The time that a question is about; its handler has checked it."""
    start, end = raw.get("start"), raw.get("end")
    end_ns = TIME_NS_MAX if end is None else parse_time(end, now_ns, "end")
    start_ns = 0 if back_s is None else min(now_ns, end_ns) - back_s * NS_PER_S
    if start is not None:
        start_ns = parse_time(start, now_ns, "start")
    return start_ns // 1_000_000, end_ns // 1_000_000 + 1
