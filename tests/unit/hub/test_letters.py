"""Calls about dead letters: checked here, answered by the edge, and told which way they went."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hub.calls import Calls
from hub.letters import PARAMS, SUMMARIES, Letters
from shared.errors import RpcError


class Recorded:
    """Stands for the way to the edges, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    async def call(self, node: str, method: str, order: dict[str, Any]) -> Any:
        self.asked.append((node, method, order))
        return SimpleNamespace(result={"retried": 1}, hops=[{"hub": "hub-2", "ms": 3.0}])


async def test_the_order_reaches_the_edge_and_the_answer_names_the_way() -> None:
    calls = Recorded()
    method = Letters(cast("Calls", calls)).method("edge.dead_letters.retry")
    answer = await method({"node": "edge-1", "seqs": [7], "request_id": "r"})
    assert answer == {
        "retried": 1,
        "path": {"served_by": "hub-2", "hops": [{"hub": "hub-2", "ms": 3.0}]},
    }
    ((node, name, order),) = calls.asked
    assert (node, name, order["seqs"]) == ("edge-1", "edge.dead_letters.retry", [7])


@pytest.mark.parametrize("name", sorted(PARAMS))
async def test_a_question_with_an_unknown_word_never_leaves_this_hub(name: str) -> None:
    calls = Recorded()
    with pytest.raises(RpcError, match="unknown"):
        await Letters(cast("Calls", calls)).method(name)({"node": "edge-1", "seq": 1, "odd": 1})
    assert calls.asked == []


def test_every_method_has_its_line_in_the_help() -> None:
    assert SUMMARIES.keys() == PARAMS.keys()
