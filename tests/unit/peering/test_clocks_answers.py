"""What hubs tell each other of clocks, and what a person is shown."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.nodes.edge_clocks import EdgeClocks
from hub.peering.admission import Admission
from hub.peering.clock_answers import Moment, describe_clocks
from hub.peering.clock_section import BELIEFS_MAX, Belief, ClockSection, read_section
from hub.peering.clocks import Clocks
from shared.errors import BadInput
from tests.unit.peering.clock_mesh import START_MS, Mesh, answer_of

# ---- Sections and answers


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_a_section_is_read_or_refused_and_nothing_else(body: bytes) -> None:
    with suppress(BadInput):
        assert len(read_section(body).beliefs) <= BELIEFS_MAX


def test_a_section_survives_its_way_and_fields_of_newer_versions_are_passed_over() -> None:
    section = ClockSection([Belief("b", 1.5, 2.0, "sound", 0.5, None, 3.0, ["a", "b", "c"])])
    body = msgspec.json.encode(section)
    assert read_section(body) == section
    newer = body.replace(b'{"beliefs"', b'{"novelty":[1],"beliefs"').replace(b'"sound"', b'"odd"')
    held = read_section(newer).of("b")
    assert held is not None
    assert held.verdict == "odd"


@pytest.mark.parametrize(
    "body",
    [
        b'{"beliefs":[{"hub_id":"b","offset_ms":1e999,"error_ms":1,"verdict":"sound"}]}',
        b'{"beliefs":[{"hub_id":"b","offset_ms":1e300,"error_ms":1,"verdict":"sound"}]}',
        b'{"beliefs":[{"hub_id":"b","offset_ms":1,"error_ms":-1,"verdict":"sound"}]}',
        b'{"beliefs":[{"hub_id":"B B","offset_ms":1,"error_ms":1,"verdict":"sound"}]}',
        b'{"beliefs":[' + b",".join([b"{}"] * 65) + b"]}",
    ],
)
def test_a_section_out_of_bounds_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        read_section(body)


def test_the_answer_shows_every_hub_worst_first_and_who_thinks_what_of_whom() -> None:
    mesh = Mesh({"a": 0.0, "b": 700.0, "c": 7_200.0, "d": 0.0, "e": 0.0}).run(5)
    told = answer_of(mesh, "a")
    assert [(hub["hub_id"], hub["verdict"]) for hub in told["hubs"]] == [
        ("c", "quarantined"), ("b", "suspect"), ("d", "sound"), ("e", "sound"),
    ]  # fmt: skip
    worst = told["hubs"][0]
    assert worst["by"] == ["a", "b", "c", "d", "e"]
    assert worst["told"] == ["b", "d", "e"]
    assert worst["offset_ms"] == pytest.approx(7_200, abs=3)
    assert worst["error_ms"] < 4
    assert worst["since"].startswith("2026-")
    matrix = told["matrix"]
    assert matrix["hubs"] == [row["hub_id"] for row in matrix["rows"]] == list("abcde")
    column = [row["cells"][2]["verdict"] for row in matrix["rows"]]
    assert column == ["quarantined"] * 5, "its own row says so as well"
    assert told["totals"]["quarantined"] == 1
    assert told["totals"]["hubs"] == 5


def test_a_hub_that_is_alone_has_an_answer_too() -> None:
    told = describe_clocks(Clocks("a"), EdgeClocks(), Admission(), Moment(1.0, START_MS))
    assert told["hubs"] == []
    assert told["own"]["verdict"] == "unknown"
    assert told["own"]["sentence"] is None
