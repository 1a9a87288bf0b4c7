"""The table of questions: JSON-safe answers, and parameters that are what they are said to be."""

from typing import Any, get_type_hints

import msgspec
import orjson
import pytest

from hub.query.label_params import LabelParams
from hub.query.methods import QUESTIONS, answer
from hub.query.params import Params
from shared.errors import RpcError
from shared.records import Signal
from tests.unit.query.stock import (
    NOW_NS,
    ListReader,
    S,
    gauge,
    log,
    logs,
    metrics,
    span,
    spans,
)

TRACE = f"{1:032x}"

NEEDED: dict[str, dict[str, Any]] = {
    "metric.query": {"name": "m"},
    "label.values": {"label": "service"},
    "trace.get": {"trace_id": TRACE},
}
"""What a method cannot do without."""

ACCEPTED: dict[str, Any] = {
    "start": "-1h",
    "end": "-0s",
    "nodes": ["edge-1"],
    "severity": "info",
    "severity_max": 24,
    "text": "hello",
    "words": ["hello"],
    "service": "shop",
    "services": ["shop"],
    "trace_id": TRACE,
    "attributes": {"service.name": "shop"},
    "backfilled": False,
    "signal": "logs",
    "limit": 5,
    "cursor": None,
    "order": "newest",
    "step": "10s",
    "bins": 6,
    "by": "node",
    "type": "vm.*",
    "subject": "vm-1",
    "name": "m",
    "aggregation": "avg",
    "quantile": None,
    "group_by": ["service.name"],
    "group": "sum",
    "label": "service",
    "min_duration_ms": 0.5,
    "max_duration_ms": 5000,
    "errors_only": False,
}
"""A value that is right for each parameter, whatever the method."""

OF_LABELS: dict[str, dict[str, Any]] = {
    "name": {"signal": "metrics"},
    "attributes": {"signal": "logs"},
}
"""What else must be said where a parameter belongs to one signal only."""


@pytest.fixture
def reader() -> ListReader:
    made = ListReader()
    made.put(Signal.LOGS, logs([log(NOW_NS - 5 * S, "hello")]))
    made.put(Signal.EVENTS, logs([log(NOW_NS - 5 * S, "hello", event_name="vm.started")]))
    made.put(Signal.METRICS, metrics([gauge("m", [(9_990, 1.5)])], {"service.name": "shop"}))
    made.put(Signal.TRACES, spans([span(1, 1, 0, 9_990)]))
    return made


def ask(reader: ListReader, method: str, **params: Any) -> dict[str, Any]:
    return answer(reader, None, method, {**NEEDED.get(method, {}), **params}, NOW_NS)


def fields_of(method: str) -> list[str]:
    return list(QUESTIONS[method].params.__struct_fields__)


EVERY_PARAMETER = [(method, name) for method in QUESTIONS for name in fields_of(method)]


@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("log.query", {"items", "cursor", "scanned"}),
        ("log.histogram", {"start", "end", "step_s", "by", "bins", "totals", "scanned"}),
        ("event.list", {"items", "cursor", "scanned"}),
        (
            "metric.query",
            {"name", "unit", "kind", "aggregation", "step_s", "series", "scanned"},
        ),
        ("metric.names", {"items", "scanned"}),
        ("series.list", {"items", "scanned"}),
        ("label.values", {"label", "items", "more", "scanned"}),
        ("trace.search", {"items", "cursor", "scanned"}),
        ("trace.get", {"trace_id", "start", "duration_ms", "spans", "scanned"}),
    ],
)
def test_every_method_answers_in_json(reader: ListReader, method: str, keys: set[str]) -> None:
    found = ask(reader, method)
    assert set(found) == keys
    assert any(found.get(key) for key in ("items", "series", "spans", "totals"))
    assert orjson.loads(orjson.dumps(found)) == found


def test_every_method_is_tried_here() -> None:
    (marks,) = test_every_method_answers_in_json.pytestmark  # type: ignore[attr-defined]
    assert {method for method, _ in marks.args[1]} == set(QUESTIONS)


@pytest.mark.parametrize(("method", "name"), EVERY_PARAMETER)
def test_a_parameter_that_is_described_is_accepted(
    reader: ListReader, method: str, name: str
) -> None:
    """What rpc.discover and the command line read from the type is what the method takes."""
    more = OF_LABELS.get(name, {}) if method == "label.values" else {}
    if (method, name) == ("trace.search", "order"):
        more = {"order": "slowest"}
    assert ask(reader, method, **{name: ACCEPTED[name], **more})


@pytest.mark.parametrize(("method", "name"), EVERY_PARAMETER)
def test_a_parameter_of_a_wrong_type_is_named(reader: ListReader, method: str, name: str) -> None:
    with pytest.raises(RpcError, match=rf"^{name}: ") as caught:
        ask(reader, method, **{name: {"no": {"such": ["type"]}}})
    assert caught.value.kind == "invalid_params"
    assert caught.value.data == {"parameter": name}


@pytest.mark.parametrize("method", QUESTIONS)
def test_a_parameter_that_does_not_exist_is_named_with_the_nearest_that_does(
    reader: ListReader, method: str
) -> None:
    with pytest.raises(RpcError, match=r"^nods: .* did you mean nodes|^nods: ") as caught:
        ask(reader, method, nods=5)
    assert (caught.value.kind, caught.value.data) == ("invalid_params", {"parameter": "nods"})
    assert reader.bodies_read == 0


@pytest.mark.parametrize("method", NEEDED)
def test_a_parameter_that_is_missing_is_named(reader: ListReader, method: str) -> None:
    (name,) = NEEDED[method]
    with pytest.raises(RpcError, match=rf"^{name}: .*missing") as caught:
        answer(reader, None, method, {}, NOW_NS)
    assert caught.value.data == {"parameter": name}


@pytest.mark.parametrize("method", QUESTIONS)
def test_a_range_that_runs_backwards_is_refused(reader: ListReader, method: str) -> None:
    with pytest.raises(RpcError, match=r"^start: it must be earlier than end"):
        ask(reader, method, start="-1m", end="-1h")


@pytest.mark.parametrize("method", QUESTIONS)
def test_every_method_says_what_it_is_for_and_how_far_back_it_looks(method: str) -> None:
    """The answer covers the same range as its coverage is told for."""
    question = QUESTIONS[method]
    assert question.summary.endswith(".")
    assert issubclass(question.params, Params)
    assert {"start", "end"} <= set(fields_of(method))
    said = "last hour" in (question.params.__doc__ or "")
    assert said == (question.back_seconds == 3600) or question.params is LabelParams


@pytest.mark.parametrize(
    ("signal", "label", "values"),
    [
        ("logs", "service", ["shop"]),
        ("events", "severity", ["INFO"]),
        ("metrics", "service.name", ["shop"]),
        ("traces", "name", ["span 1"]),
    ],
)
def test_labels_of_every_signal_have_one_method(
    reader: ListReader, signal: str, label: str, values: list[str]
) -> None:
    found = ask(reader, "label.values", signal=signal, label=label)
    assert [each["value"] for each in found["items"]] == values


@pytest.mark.parametrize(
    ("signal", "name"), [("logs", "name"), ("traces", "text"), ("metrics", "severity")]
)
def test_what_says_nothing_about_labels_of_a_signal_is_refused(
    reader: ListReader, signal: str, name: str
) -> None:
    with pytest.raises(RpcError, match=f"^{name}: labels of {signal} cannot be narrowed"):
        ask(reader, "label.values", label="service", signal=signal, **{name: ACCEPTED[name]})


def test_the_types_of_parameters_can_be_described_by_a_schema() -> None:
    """As rpc.discover does; and no two types share a name there."""
    kinds = {question.params for question in QUESTIONS.values()}
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/{name}")
    assert {kind.__name__ for kind in kinds} <= set(schemas)
    for kind in kinds:
        assert set(schemas[kind.__name__]["properties"]) == set(get_type_hints(kind)) - {
            name for name in get_type_hints(kind) if name.startswith("__")
        }
