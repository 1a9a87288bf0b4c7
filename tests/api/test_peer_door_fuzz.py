"""Every door for peers answers whatever comes, and only with what it declares: never a fault of ours."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import World
from tests.api.test_bad_peers import gossip, say
from tests.examples import examples

DECLARED = (400, 403, 413)
"""A refusal with a reason; 200 also, for arbitrary bytes may be a message after all."""

DOORS = (
    "/peer/call",
    "/peer/chunks",
    "/peer/fates",
    "/peer/gossip",
    "/peer/have",
    "/peer/history",
    "/peer/lead",
    "/peer/leaving",
    "/peer/ledger",
    "/peer/nodes",
    "/peer/override",
    "/peer/probe",
    "/peer/vector",
    "/peer/views",
)

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = [
    "sender",
    "hub_id",
    "about",
    "method",
    "params",
    "version",
    "cluster",
    "life",
    "leaving",
    "instance",
    "heard",
    "who",
    "node",
    "log",
    "after",
    "limit",
    "wanted",
    "since",
    "url",
    "store_epoch",
    "kind",
    "term",
    "members",
    "peers",
    "wall_ms",
    "sections",
    "digest",
    "seconds",
]
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)


def as_json(value: Any) -> bytes:
    """JSON also of numbers that no writer here would write."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


BODIES = st.binary(max_size=300) | VALUES.map(as_json) | OBJECTS.map(as_json)


def test_no_door_is_left_out(world: World) -> None:
    doors = {spec.path for spec in world.hub.route_table() if spec.role == "peer"}
    assert doors == set(DOORS)


@pytest.mark.parametrize("door", DOORS)
@given(bodies=st.lists(BODIES, max_size=5))
@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_whatever_comes_is_taken_or_refused_with_a_reason(
    world: World, door: str, bodies: list[bytes]
) -> None:
    for body in bodies:
        answer = await say(world, door, body)
        if answer.status_code != 200:
            assert answer.status_code in DECLARED, (body, answer.text)
            assert orjson.loads(answer.content)["detail"]


@given(
    values=st.dictionaries(
        st.sampled_from(
            [
                "nodes",
                "reach",
                "views",
                "incidents",
                "clocks",
                "farewells",
                "tombstones",
                "heard",
                "load",
                "leaving",
                "history",
                "conf",
                "of a later release",
            ]
        ),
        VALUES | OBJECTS,
        max_size=13,
    )
)
@settings(
    max_examples=examples(200),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_whatever_sections_come_the_gossip_is_answered(
    world: World, values: dict[str, Any]
) -> None:
    answer = await say(world, "/peer/gossip", as_json(gossip(sections=values)))
    assert answer.status_code in (200, 400), answer.text
    assert len(world.hub.peers.by_url) <= 1


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_larger_than_any_door_takes_is_refused_unread(
    world: World, door: str
) -> None:
    answer = await say(world, door, b"[" * (17 * 2**20))
    assert answer.status_code == 413
    assert "larger than the limit" in answer.json()["detail"]
