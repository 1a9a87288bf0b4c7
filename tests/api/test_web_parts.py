"""The parts of pages that are plain rules: charts, formats, addresses, and forms to copy."""

import shlex
from typing import Any

import click
import pytest
from starlette.datastructures import QueryParams

from hub.query.log_params import EventParams, LogParams
from hub.query.metric_params import MetricNamesParams, MetricParams
from hub.query.params import read_params
from hub.query.trace_params import TraceGetParams, TraceSearchParams
from hub.rest_attributes import Manner, read_attributes
from hub.web import formats
from hub.web.address import Asked, around
from hub.web.chart import LINES_MAX, chart_of, nice_marks
from hub.web.event_pages import EVENT_FIELDS
from hub.web.log_pages import LOG_FIELDS
from hub.web.metric_pages import METRIC_FIELDS
from hub.web.page import Call
from hub.web.pages import PAGES
from hub.web.show_as import command, forms
from hub.web.trace_pages import TRACE_FIELDS
from shared.main import root
from tests.api.web_answers import TRACE_ID
from tests.api.web_moments import series

# ---- Charts


@pytest.mark.parametrize(
    ("low", "high", "unit", "marks"),
    [
        (0, 1, "1", [0, 0.25, 0.5, 0.75, 1]),
        (3, 97, "", [0, 25, 50, 75, 100]),
        (100, 101, "", [100, 100.25, 100.5, 100.75, 101]),
        (-3, 2, "", [-4, -2, 0, 2]),
        (5, 5, "", [0, 2, 4, 6]),
        (0, 0, "", [0, 0.25, 0.5, 0.75, 1]),
        (0, 4e9, "By", [n * 2**30 for n in range(5)]),
        (-7, -7, "", [-8, -6, -4, -2, 0]),
    ],
)
def test_the_marks_of_an_axis_are_round(
    low: float, high: float, unit: str, marks: list[float]
) -> None:
    assert nice_marks(low, high, unit) == pytest.approx(marks)


@pytest.mark.parametrize(
    "values",
    [
        [None, None],
        [0.0],
        [1e299, -1e299],
        [1.7e308, -1.7e308, 1.0],
        [5e-324, 0.0],
        [1e16, 1e16 + 2],
        [None, 3.0, None, 4.0, None],
        [-1e-9, -1e-9],
    ],
)
def test_a_chart_can_be_drawn_of_any_values(values: list[float | None]) -> None:
    points = [[1_700_000_000 + 10 * n, value] for n, value in enumerate(values)]
    answer = {"unit": "1", "series": [{"node": "n", "attributes": {}, "points": points}]}
    chart = chart_of(answer)
    drawn = [value for value in values if value is not None and abs(value) < 1e300]
    assert (chart is None) == (not drawn)
    if chart is not None:
        places = [float(n) for n in chart.lines[0].path.replace("M", " ").replace("L", " ").split()]
        places += [place for dot in chart.lines[0].dots for place in dot]
        assert places
        assert all(0 <= place <= 1000 for place in places)
        assert len(chart.values) >= 2


def test_a_line_is_broken_where_there_is_no_value() -> None:
    chart = chart_of({"unit": "1", "series": [series("user", 0)]})
    assert chart is not None
    assert chart.lines[0].path.count("M") == 2


def test_series_are_told_apart_by_what_differs() -> None:
    same = {"service.name": "shop"}
    shown = [
        series("user", 0, attributes={"cpu.mode": "user", **same}),
        series("idle", 0, attributes={"cpu.mode": "idle", **same}),
    ]
    chart = chart_of({"unit": "1", "series": shown})
    assert chart is not None
    assert [line.label for line in chart.lines] == ["user", "idle"]
    chart = chart_of({"unit": "1", "series": [*shown, {**shown[0], "node": "edge-2"}]})
    assert chart is not None
    assert [line.label for line in chart.lines] == [
        "edge-1 · user",
        "edge-1 · idle",
        "edge-2 · user",
    ]


def test_a_chart_with_too_many_lines_says_how_many_are_missing() -> None:
    many = [series(f"m{n}", n) for n in range(LINES_MAX + 5)]
    chart = chart_of({"unit": "1", "series": many})
    assert chart is not None
    assert len(chart.lines) == len(chart.data["columns"]) - 1 == LINES_MAX
    assert chart.left_out == 5


def test_the_columns_of_a_chart_share_their_times() -> None:
    first = series("a", 0, points=[[10, 1.0], [20, 2.0]])
    second = series("b", 0, points=[[20, 5.0], [30, 6.0]])
    chart = chart_of({"unit": "", "series": [first, second]})
    assert chart is not None
    assert chart.data["columns"] == [[10, 20, 30], [1.0, 2.0, None], [None, 5.0, 6.0]]


@pytest.mark.parametrize("seconds", [30, 600, 3600, 86_400, 7 * 86_400, 400 * 86_400])
def test_a_time_axis_has_a_handful_of_marks(seconds: int) -> None:
    points = [[1_700_000_000 + seconds * n / 50, 1.0 * n] for n in range(51)]
    chart = chart_of({"unit": "", "series": [series("a", 0, points=points)]})
    assert chart is not None
    assert 2 <= len(chart.times) <= 10
    assert len({tick.label for tick in chart.times}) == len(chart.times)


# ---- Formats


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formats.size(0), "0 B"),
        (formats.size(1536), "1.5 KiB"),
        (formats.size(3 * 2**40), "3.0 TiB"),
        (formats.age(3.21), "3.2 s"),
        (formats.age(59.7), "60 s"),
        (formats.age(3725), "1 h 2 min"),
        (formats.age(200_000), "2 d 7 h"),
        (formats.milliseconds(0.0123), "12 µs"),
        (formats.milliseconds(12.34), "12.3 ms"),
        (formats.milliseconds(1420), "1.42 s"),
        (formats.milliseconds(3_725_000), "1 h 2 min"),
        (formats.percent(0.734), "73%"),
        (formats.number(1_234_567), "1,234,567"),
        (formats.moment("2026-11-21T05:54:53.123456789Z"), "2026-11-21 05:54:53.123"),
        (formats.clock("2026-11-21T05:54:53Z"), "05:54:53"),
        (formats.quantity(2048, "By"), "2.0 KiB"),
        (formats.quantity(0.256, "1"), "25.6 %"),
        (formats.quantity(12_345, "{request}/s"), "12.3 k request/s"),
        (formats.first_line("a\nb"), "a"),
        (formats.first_line("x" * 1000)[-1], "…"),
        (formats.text({"a": 1}), '{"a":1}'),
    ],
)
def test_values_look_as_people_read_them(shown: str, text: str) -> None:
    assert shown == text


@pytest.mark.parametrize("odd", [None, "x", [], {}, True, float("nan"), object()])
@pytest.mark.parametrize("shown", formats.FILTERS)
def test_no_value_breaks_a_format(shown: str, odd: Any) -> None:
    if shown != "quantity":
        assert isinstance(formats.FILTERS[shown](odd), str)
    assert isinstance(formats.quantity(odd, "By"), str)


# ---- Addresses


def asked(query: str, path: str = "/logs") -> Asked:
    return Asked(path, {}, QueryParams(query))


def test_a_link_changes_some_of_an_address_and_keeps_the_rest() -> None:
    here = asked("text=a b&node=x&node=y&cursor=c&severity=")
    assert here.with_changes(cursor=None, start="-1h") == "?text=a+b&node=x&node=y&start=-1h"
    assert here.with_changes(node=["z"], cursor=None) == "?text=a+b&node=z"
    assert asked("a=1").with_changes(a=None) == "?"
    assert asked("", "/nodes/a b").whole() == "/nodes/a%20b"


def test_a_trace_is_looked_for_around_its_time() -> None:
    assert around("2023-11-14T22:13:20Z", 2000) == "?start=1699996400&end=1700003602"
    assert around("nonsense") == ""


# ---- The same question in other forms

SAMPLES: dict[str, dict[str, Any]] = {
    "start": {"start": "-15m"},
    "end": {"end": "2026-11-21T00:00:00Z"},
    "nodes": {"nodes": ["edge-1", "edge-2"]},
    "severity": {"severity": "warn"},
    "text": {"text": 'it\'s "quoted" $(here)'},
    "severity_max": {"severity_max": "error"},
    "type": {"type": "vm.*"},
    "subject": {"subject": "box-1"},
    "service": {"service": "shop"},
    "services": {"services": ["shop", "bank"]},
    "quantile": {"quantile": 0.99},
    "group_by": {"group_by": ["http.route", "node"]},
    "group": {"group": "sum"},
    "max_duration_ms": {"max_duration_ms": 25.0},
    "trace_id": {"trace_id": TRACE_ID},
    "limit": {"limit": 7},
    "order": {"order": "oldest"},
    "step": {"step": "30s"},
    "aggregation": {"aggregation": "max"},
    "name": {"name": "POST /pay"},
    "min_duration_ms": {"min_duration_ms": 2.5},
    "errors_only": {"errors_only": True},
    "cursor": {"cursor": "abc"},
}
OF_METHOD: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "log.query": (LogParams, LOG_FIELDS),
    "event.list": (EventParams, EVENT_FIELDS),
    "metric.query": (MetricParams, METRIC_FIELDS),
    "trace.search": (TraceSearchParams, TRACE_FIELDS),
}


def parsed(line: str) -> dict[str, Any]:
    """What the command line itself makes of the words."""
    program, *words = shlex.split(line)
    assert program == "headwater"
    group: click.Command = root
    context = click.Context(root)
    while isinstance(group, click.Group):
        name = words.pop(0) if words else "list"
        found = group.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        group = found
    return dict(group.make_context(group.name, words).params)


@pytest.mark.parametrize("method", OF_METHOD)
def test_every_parameter_of_a_page_is_one_of_the_call_and_of_the_command(method: str) -> None:
    kind, fields = OF_METHOD[method]
    for field in fields:
        if field.key == "signal" or (method, field.key) == ("trace.search", "order"):
            continue  # These have words of their own, see below.
        required = {"name": "system.cpu.time"} if method == "metric.query" else {}
        params = {**required, **SAMPLES[field.key]}
        read_params(params, kind)
        understood = parsed(forms(Call(method, params), "http://hub").cli)
        given = understood["service" if field.key == "services" else field.key]
        wanted = params[field.key]
        assert (list(given) if isinstance(given, tuple) else given) == wanted


@pytest.mark.parametrize(
    ("method", "manner", "texts"),
    [
        ("log.query", "records", ["http.route=/pay", "x=a b", "n=1", "n=2"]),
        ("log.query", "records", ["k=sta*", "k!=start", "j!=1", "j!=2", "star==x*", "eq===y"]),
        (
            "metric.query",
            "series",
            ["k=sta*", "j!=1", "i!=sta*", "star==x*", "n=1", "n=2", "e==!=z"],
        ),
        ("trace.search", "spans", ["k=v", "star==x*", "eq===y"]),
    ],
)
def test_attributes_mean_the_same_on_a_command_line(
    method: str, manner: Manner, texts: list[str]
) -> None:
    """Whatever a page asks, the command that it shows asks the same."""
    named = {} if method == "log.query" else {"name": "a"}
    params = {**named, "attributes": read_attributes(texts, manner)}
    given = parsed(forms(Call(method, params), "http://hub").cli)["attributes"]
    assert read_attributes(given, manner) == params["attributes"]


@pytest.mark.parametrize(
    ("call", "given"),
    [
        (Call("log.query", {"words": ["a", "b"]}), {"words": ("a", "b")}),
        (Call("log.query", {"backfilled": True}), {"backfilled": True}),
        (Call("log.query", {"backfilled": False}), {"backfilled": False}),
        (Call("trace.search", {"order": "slowest"}), {"slowest": True}),
        (Call("hub.retention", {"limit": 500}), {"limit": 500}),
    ],
)
def test_flags_of_other_names_are_found(call: Call, given: dict[str, Any]) -> None:
    assert given.items() <= parsed(forms(call, "http://hub").cli).items()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call("node.list"), "nodes"),
        (Call("node.get", {"node": "edge-1"}), "node show edge-1"),
        (Call("vm.list", {"node": "edge-1"}), "vms --node edge-1"),
        (Call("vm.get", {"vm": "box", "node": "e"}), "vm show box --node e"),
        (Call("log.query", {"signal": "events", "limit": 5}), "events --limit 5"),
        (Call("event.list", {"type": "vm.*"}), "events --type 'vm.*'"),
        (Call("hub.retention"), "hub days"),
        (Call("metric.names", {"nodes": ["a"]}), "metrics --node a"),
        (Call("trace.get", {"trace_id": TRACE_ID, "start": "1"}), f"trace {TRACE_ID}"),
        (Call("hub.status"), "status"),
        (Call("hub.list"), "hubs"),
        (Call("op.get", {"op_id": "7", "n": 3}), "rpc op.get 'op_id=\"7\"' n=3"),
    ],
)
def test_a_call_is_a_command(call: Call, words: str) -> None:
    assert shlex.join(command(call)) == words
    parsed(f"headwater {words}")


def test_the_curl_form_survives_a_shell() -> None:
    curl = forms(Call("log.query", {"text": "it's $HOME"}), "http://hub:8470").curl
    words = shlex.split(curl.replace("\\\n", ""))
    assert words[:2] == ["curl", "http://hub:8470/rpc"]
    assert words[-1].endswith('"params":{"text":"it\'s $HOME"}}')


def test_params_of_hints_are_known_to_the_calls() -> None:
    read_params({"trace_id": TRACE_ID, "start": "1699996400", "end": "1700003602"}, TraceGetParams)
    read_params({"nodes": ["a"], "start": "-1h"}, MetricNamesParams)


def test_no_two_pages_share_a_path() -> None:
    paths = [path for each in PAGES for path in (each.path, each.twin)]
    assert len(paths) == len(set(paths))
