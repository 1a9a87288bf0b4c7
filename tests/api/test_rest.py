"""The REST doors: what they ask behind them, and how they answer and refuse."""

from typing import Any

import orjson
import pytest

from hub.rest import BODY_BYTES_MAX
from hub.rest_doors import ALL_DOORS, DOORS
from shared.errors import RpcError, TooLarge
from tests.api.rest_world import COVERAGE, RestWorld, paged_answers, real_answers, stock

TRACE_ID = f"{1:032x}"

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("/logs", "log.query", {}),
    ("/logs?node=a&node=b&nodes=c", "log.query", {"nodes": ["a", "b", "c"]}),
    ("/logs?word=red&words=hot", "log.query", {"words": ["red", "hot"]}),
    ("/logs?limit=7&order=oldest&cursor=c", "log.query", {"limit": 7, "order": "oldest", "cursor": "c"}),
    ("/logs?start=-15m&end=1700000000.5", "log.query", {"start": "-15m", "end": "1700000000.5"}),
    ("/logs?severity=WARN&severity_max=17", "log.query", {"severity": "WARN", "severity_max": "17"}),
    ("/logs?backfilled=false", "log.query", {"backfilled": False}),
    ("/logs?backfilled=yes", "log.query", {"backfilled": True}),
    ("/logs?attribute=k=v", "log.query", {"attributes": {"k": "v"}}),
    ("/logs?attribute=k=v=w", "log.query", {"attributes": {"k": "v=w"}}),
    ("/logs?attribute=k=a&attribute=k=b", "log.query", {"attributes": {"k": ["a", "b"]}}),
    ("/logs?attribute=k!=v", "log.query", {"attributes": {"k": {"not": "v"}}}),
    ("/logs?attribute=k=pre*", "log.query", {"attributes": {"k": {"prefix": "pre"}}}),
    ("/logs?attribute=k==pre*", "log.query", {"attributes": {"k": "pre*"}}),
    (
        "/logs?attribute=k=pre*&attribute=k!=prefer",
        "log.query",
        {"attributes": {"k": {"prefix": "pre", "not": "prefer"}}},
    ),
    ("/logs/histogram?bins=12&by=node", "log.histogram", {"bins": 12, "by": "node"}),
    ("/events?type=vm.*&subject=box", "event.list", {"type": "vm.*", "subject": "box"}),
    ("/metrics?start=-1h", "metric.names", {"start": "-1h"}),
    (
        "/metrics/query?name=m&step=30&quantile=0.99&group_by=a&group_by=b",
        "metric.query",
        {"name": "m", "step": "30", "quantile": 0.99, "group_by": ["a", "b"]},
    ),
    (
        "/metrics/query?name=m&attribute=k!=v&attribute=l=pre*&attribute=m==x*",
        "metric.query",
        {"name": "m", "attributes": {"k": "!=v", "l": "pre*", "m": "=x*"}},
    ),
    ("/series?limit=5", "series.list", {"limit": 5}),
    ("/labels/service/values?signal=traces", "label.values", {"signal": "traces", "label": "service"}),
    ("/labels/app%2Fname/values", "label.values", {"label": "app/name"}),
    (
        "/labels/k/values?signal=metrics&attribute=a!=b",
        "label.values",
        {"signal": "metrics", "attributes": {"a": "!=b"}, "label": "k"},
    ),
    (
        "/traces?min_duration_ms=1.5&errors_only=true&attribute=k=v",
        "trace.search",
        {"min_duration_ms": 1.5, "errors_only": True, "attributes": {"k": "v"}},
    ),
    (f"/traces/{TRACE_ID}", "trace.get", {"trace_id": TRACE_ID}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "method", "params"), ASKED, ids=[each[0] for each in ASKED])
async def test_a_query_string_is_the_parameters_of_a_method(
    path: str, method: str, params: dict[str, Any]
) -> None:
    world = RestWorld(lambda method, params: {"items": [], "coverage": COVERAGE})
    response = await world.get(path)
    assert response.status_code == 200
    assert world.asked == [(method, params)]


async def test_every_door_answers_what_its_method_answers() -> None:
    world = RestWorld(real_answers(stock()))
    for door, query in zip(
        DOORS,
        ("?start=-1h&limit=3", "", "", "", "?name=m", "", "", "", ""),
        strict=True,
    ):
        path = door.path.removeprefix("/api/v1")
        path = path.replace("{label:path}", "service").replace("{trace_id}", TRACE_ID)
        response = await world.get(path + query)
        assert response.status_code == 200, response.text
        assert response.json()["coverage"] == COVERAGE
        assert response.json().keys() >= {door.rows, "scanned"}
        assert response.headers["x-headwater-hub"] == "hub-1"
        assert response.headers["x-headwater-partial"] == "false"


async def test_a_partial_answer_says_so_in_its_header() -> None:
    partial = {"items": [], "coverage": {**COVERAGE, "partial": True}}
    response = await RestWorld(lambda method, params: partial).get("/logs")
    assert response.headers["x-headwater-partial"] == "true"


async def test_a_body_holds_the_parameters_of_a_post() -> None:
    world = RestWorld(real_answers(stock()))
    asked = {"text": "line 7", "limit": 2, "start": "-1h"}
    posted = await world.post("/logs", orjson.dumps(asked))
    assert posted.json() == (await world.get("/logs?text=line+7&limit=2&start=-1h")).json()
    assert len(posted.json()["items"]) == 2
    assert (await world.post("/logs", b"")).status_code == 200


REFUSED = [
    ("/logs?txt=a", "txt", 400),
    ("/logs?regex=a", "regex", 400),
    ("/logs?limit=many", "limit", 400),
    ("/logs?limit=0", "limit", 400),
    ("/logs?limit=1001", "limit", 400),
    ("/logs?limit=1&limit=2", "limit", 400),
    ("/logs?severity=LOUD", "severity", 400),
    ("/logs?backfilled=perhaps", "backfilled", 400),
    ("/logs?attribute=k", "attributes", 400),
    ("/logs?attribute==v", "attributes", 400),
    ("/logs?attribute=k!=v*", "attributes", 400),
    ("/logs?attribute=k=v&attribute=k!=w", "attributes", 400),
    ("/logs?cursor=abc", "cursor", 400),
    ("/logs?format=xml", "format", 400),
    ("/logs?start=-1h&end=-2h", "start", 400),
    ("/metrics/query", "name", 400),
    ("/metrics/query?name=m&quantile=x", "quantile", 400),
    ("/metrics/query?name=m&attribute=k=a&attribute=k!=b", "attributes", 400),
    ("/traces?attribute=k=pre*", "attributes", 400),
    ("/traces/xyz", "trace_id", 400),
    ("/labels/a/values?label=b", "label", 400),
    (f"/traces/{2:032x}", None, 404),
]


@pytest.mark.parametrize(("path", "parameter", "status"), REFUSED)
async def test_what_is_wrong_is_a_problem_that_names_it(
    path: str, parameter: str | None, status: int
) -> None:
    response = await RestWorld(real_answers(stock())).get(path)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-headwater-hub"] == "hub-1"
    assert problem.get("parameter") == parameter
    assert problem["detail"]
    assert "x-headwater-partial" not in response.headers


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (RpcError("quota", "too much", {"chunks": 9}), 409, {"kind": "quota", "data": {"chunks": 9}}),
        (RpcError("internal", "oh"), 500, {"kind": "internal"}),
        (RpcError("busy", "later", {"retry_after_s": 7.2}), 503, {"retry_after": 7.2}),
        (RpcError("busy", "later"), 503, {"retry_after": 1.0}),
        (RpcError("invalid_params", "x", {"hint": "do y"}), 400, {"hint": "do y"}),
    ],
)  # fmt: skip
async def test_errors_of_the_method_have_their_status(
    error: RpcError, status: int, told: dict[str, Any]
) -> None:
    response = await RestWorld(paged_answers({None: error})).get("/logs")
    assert response.status_code == status
    assert response.json().items() >= told.items()
    assert response.json()["detail"] == str(error)
    wanted = (
        {"retry_after": str(max(1, round(told["retry_after"])))} if "retry_after" in told else {}
    )
    assert response.headers.get("retry-after") == wanted.get("retry_after")


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff"])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    response = await RestWorld(real_answers(stock())).post("/logs", body)
    assert response.status_code == 400
    assert response.json()["kind"] == "parse_error"


async def test_a_body_without_an_end_is_refused() -> None:
    with pytest.raises(TooLarge):  # The guard of the hub makes 413 of it.
        await RestWorld(real_answers(stock())).post("/logs", b" " * (BODY_BYTES_MAX + 1))


async def test_a_post_has_no_second_set_of_parameters() -> None:
    response = await RestWorld(real_answers(stock())).post("/logs?limit=3", b"{}")
    assert (response.status_code, response.json()["parameter"]) == (400, "limit")


async def test_the_index_lists_the_doors_and_their_parameters() -> None:
    index = (await RestWorld(paged_answers({})).get("")).json()
    doors = {door["path"]: door for door in index["doors"]}
    assert len(doors) == len(ALL_DOORS)
    named = {each["name"]: each for each in doors["/api/v1/logs"]["parameters"]}
    assert named["attributes"]["written"].startswith("attribute=key=value")
    assert named["nodes"]["written"] == "node=..., repeated"
    values = doors["/api/v1/labels/{label}/values"]["parameters"]
    assert [each["in"] for each in values if each["name"] == "label"] == ["path"]
    metric = doors["/api/v1/metrics/query"]["parameters"]
    assert [each["name"] for each in metric if each["required"]] == ["name"]
