"""Answers that are written with breaks are the same JSON as those that are written in one go."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import encoding
from hub.encoding import encoded
from tests.examples import examples

plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=40,
)


@settings(max_examples=examples(200))
@given(values)
def test_it_is_the_json_that_it_was(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "ITEMS_AT_ONCE", 3)
        assert asyncio.run(encoded(value)) == orjson.dumps(value)


@pytest.mark.parametrize("wrap", [lambda answer: answer, lambda answer: [answer, {"id": 2}]])
async def test_others_have_their_turn_within_a_long_list(wrap: Any) -> None:
    """Also in an answer of a batch."""
    turns = 0
    answer = wrap({"id": 1, "result": {"items": [{"n": n} for n in range(2000)]}})
    writing = asyncio.ensure_future(encoded(answer))
    while not writing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 2000 // encoding.ITEMS_AT_ONCE
    assert orjson.loads(writing.result()) == answer


async def test_what_json_does_not_know_is_written_as_text() -> None:
    items = [{"path": 2**70}] * (encoding.ITEMS_AT_ONCE + 1)
    with pytest.raises(orjson.JSONEncodeError):
        await encoded({"items": items})
    assert orjson.loads(await encoded({"items": [{1}] * 300}))["items"] == ["{1}"] * 300
