"""Questions about traces of a hub with indexes, of one without, and of a naive model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RpcError
from shared.records import Signal
from tests.law.answer_draws import CHUNKS_MAX, damage, laws, states_of, ways
from tests.law.answer_world import Arriving, world
from tests.unit.index import test_trace_answers as trace_model
from tests.unit.query.stock import BASE_S, spans

trace_worlds = st.tuples(
    st.lists(trace_model.a_chunk, max_size=CHUNKS_MAX), states_of(Signal.TRACES), damage, ways
)


def made_of(chunks: list[Any]) -> tuple[list[trace_model.Made], list[Arriving]]:
    """The spans of drawn chunks, and the chunks."""
    made: list[trace_model.Made] = []
    arriving = []
    for number, (own, service, node, encoding, day) in enumerate(chunks):
        put = [
            trace_model.Made(
                trace, trace * 15 + offset, seconds, parent, name, error, color, service, node
            )
            for trace, offset, seconds, parent, name, error, color in own
        ]
        made += put
        request = spans(
            [trace_model._span(one, number * 10 + i) for i, one in enumerate(put)], service
        )
        arriving.append(Arriving(Signal.TRACES, request, node, encoding, day))
    return made, arriving


def modelled(made: list[trace_model.Made], asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    return trace_model.model_of(trace_model.Stock(made, None, None), asked)  # type: ignore[arg-type]


def trace_params(asked: dict[str, Any]) -> dict[str, Any]:
    """Ranges without an edge are cut before the noise."""
    return {"end": BASE_S + 10_000, **trace_model.as_params(asked)}


@laws
@given(trace_worlds, trace_model.a_question, st.integers(1, 4))
def test_all_pages_of_traces_are_those_of_the_model(
    described: Any, question: dict[str, Any], limit: int
) -> None:
    asked = trace_model.asked_of(question)
    made, arriving = made_of(described[0])
    with world(arriving, *described[1:]) as stored:
        for items in stored.all_pages("trace.search", {**trace_params(asked), "limit": limit}):
            assert trace_model.shown(items) == modelled(made, asked)


@laws
@given(trace_worlds, trace_model.a_question, st.integers(1, 4))
def test_the_slowest_traces_are_those_of_the_model(
    described: Any, question: dict[str, Any], limit: int
) -> None:
    asked = trace_model.asked_of(question)
    made, arriving = made_of(described[0])
    params = {**trace_params(asked), "limit": limit, "order": "slowest"}
    with world(arriving, *described[1:]) as stored:
        expected = sorted(modelled(made, asked), key=lambda row: row[2], reverse=True)[:limit]
        for answer in stored.each("trace.search", params):
            assert trace_model.shown(answer["items"]) == expected


@laws
@given(trace_worlds, st.integers(1, 10))
def test_a_trace_has_all_spans_of_the_model(described: Any, trace: int) -> None:
    made, arriving = made_of(described[0])
    own = [each for each in made if each.trace == trace]
    with world(arriving, *described[1:]) as stored:
        if not own:
            with pytest.raises(RpcError, match="is not on this hub"):
                stored.ask(stored.plain, "trace.get", {"trace_id": f"{trace:032x}"})
            with pytest.raises(RpcError, match="is not on this hub"):
                stored.ask(stored.indexed, "trace.get", {"trace_id": f"{trace:032x}"})
            return
        with_index, without = stored.each("trace.get", {"trace_id": f"{trace:032X}"})
        drawn = [(item["name"], item["node"], item["service"]) for item in without["spans"]]
        assert sorted(drawn) == sorted((each.name, each.node, each.service) for each in own)
        assert with_index["spans"] == without["spans"]


@laws
@given(trace_worlds, trace_model.a_question, st.sampled_from(["service", "name"]))
def test_labels_of_traces_have_the_values_of_the_model(
    described: Any, question: dict[str, Any], label: str
) -> None:
    asked = trace_model.asked_of({key: question[key] for key in ("start", "end", "nodes")})
    made, arriving = made_of(described[0])
    values = [getattr(each, label) for each in made if trace_model.in_range(each, asked)]
    expected = sorted((-values.count(value), value) for value in set(values) - {""})
    params = {"start": 0, **trace_params(asked), "label": label, "signal": "traces"}
    with world(arriving, *described[1:]) as stored:
        for answer in stored.each("label.values", params):
            told = [(-each["records"], each["value"]) for each in answer["items"]]
            assert told == expected
