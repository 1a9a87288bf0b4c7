"""The table of REST doors: which path asks which method, and what it tells of itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hub.nodes import check_params
from hub.nodes.sieve import NODE_LIST_SUMMARY, PAGE_NODES_USUAL, ListNodes
from hub.query.methods import QUESTIONS
from hub.rest_attributes import Manner
from hub.rest_pages import ITEMS_MAX
from hub.rest_params import parameters_of

ROOT = "/api/v1"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a door says of the method behind it."""

    params: type[msgspec.Struct]
    summary: str


@dataclass(frozen=True, slots=True)
class Door:
    """A path and the method behind it. `rows` is the list in its answer, empty for an answer that is
    none; a paged one goes on along cursors, `page_items_max` items at a time. `in_path` is the
    parameter that the path holds."""

    path: str
    method: str
    manner: Manner
    rows: str = "items"
    page_items_max: int | None = None
    in_path: str = ""

    @property
    def question(self) -> Asked:
        """The method's parameters and what it answers."""
        if self.method == "node.list":
            return Asked(ListNodes, NODE_LIST_SUMMARY)
        if self.method in check_params.PARAMS:
            return Asked(check_params.PARAMS[self.method], check_params.SUMMARIES[self.method])
        question = QUESTIONS[self.method]
        return Asked(question.params, question.summary)

    def manner_for(self, asked: Mapping[str, str]) -> Manner:
        """Whose attributes are meant by a query string."""
        is_of_series = self.method == "label.values" and asked.get("signal") == "metrics"
        return "series" if is_of_series else self.manner

    def page_items_for(self, params: Mapping[str, Any]) -> int | None:
        """How many items a page of these parameters may have, None where there is but one page."""
        return None if params.get("order") == "slowest" else self.page_items_max


DOORS = (
    Door(f"{ROOT}/logs", "log.query", "records", page_items_max=1000),
    Door(f"{ROOT}/logs/histogram", "log.histogram", "records", rows="bins"),
    Door(f"{ROOT}/events", "event.list", "records", page_items_max=1000),
    Door(f"{ROOT}/metrics", "metric.names", "series"),
    Door(f"{ROOT}/metrics/query", "metric.query", "series", rows="series"),
    Door(f"{ROOT}/series", "series.list", "series"),
    # A label may have slashes, as in app.kubernetes.io/name.
    Door(f"{ROOT}/labels/{{label:path}}/values", "label.values", "records", in_path="label"),
    Door(f"{ROOT}/traces", "trace.search", "spans", page_items_max=500),
    Door(f"{ROOT}/traces/{{trace_id}}", "trace.get", "spans", rows="spans", in_path="trace_id"),
)
"""Questions about stored data."""

FLEET_DOORS = (
    Door(f"{ROOT}/nodes", "node.list", "records", page_items_max=PAGE_NODES_USUAL),
    Door(f"{ROOT}/nodes/{{node}}/checks", "node.checks", "records", in_path="node"),
    Door(f"{ROOT}/nodes/{{node}}/history", "node.history", "records", in_path="node"),
    Door(f"{ROOT}/nodes/{{node}}/uptime", "node.uptime", "records", rows="buckets", in_path="node"),
    Door(f"{ROOT}/uptime", "fleet.uptime", "records", page_items_max=100),
    Door(f"{ROOT}/summary", "fleet.summary", "records", rows=""),
)
"""Questions about how nodes were."""

ALL_DOORS = (*DOORS, *FLEET_DOORS)


def index_of_doors() -> dict[str, Any]:
    """All doors with their parameters, from the types that check them."""
    kinds = [door.question.params for door in ALL_DOORS]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/schemas/{name}")
    parts = {name: schema for name, schema in schemas.items() if "properties" not in schema}
    doors = [_described(door, schemas[door.question.params.__name__]) for door in ALL_DOORS]
    return {"doors": doors, "schemas": parts or None}


def _described(door: Door, schema: Mapping[str, Any]) -> dict[str, Any]:
    paged = f"; all of them, or up to limit={ITEMS_MAX}" if door.page_items_max else ""
    return {
        "path": door.path.replace(":path}", "}"),
        "methods": ["GET", "POST"],
        "rpc": door.method,
        "summary": door.question.summary,
        "parameters": list(_parameters(door, schema["properties"])),
        "lines": f"one for each of {door.rows}{paged}" if door.rows else None,
    }


def _parameters(door: Door, properties: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, parameter in parameters_of(door.question.params).items():
        place = "path" if name == door.in_path else "query"
        yield {
            "name": name,
            "in": place,
            "written": f"{{{name}}}" if place == "path" else parameter.written,
            "required": parameter.is_required,
            "schema": properties[name],
        }
