"""Dots: the newest change of each stream at each node, and the order in which nodes changed."""

from hypothesis import given
from hypothesis import strategies as st

from hub.peering import dots as dots_module
from hub.peering.dots import Dots
from hub.peering.vector import Stream
from shared.ranges import Ranges

A: Stream = ("hub-1", "s.1")
B: Stream = ("hub-2", "s.1")

some_nodes = st.lists(st.sampled_from(["n1", "n2", "n3", "n4"]), max_size=60)


@given(some_nodes, st.integers(0, 60))
def test_nodes_are_listed_in_the_order_of_their_last_change(nodes: list[str], after: int) -> None:
    dots, last = Dots(), dict[str, int]()
    for place, node in enumerate(nodes, 1):
        dots.touch(node)
        last[node] = place
    expected = sorted((place, node) for node, place in last.items() if place > after)
    assert [(place, node) for node, place in dots.since(after)] == expected
    assert dots.position == len(nodes)


@given(
    st.lists(st.tuples(st.sampled_from(["n1", "n2"]), st.sampled_from([A, B]), st.integers(1, 9)))
)
def test_the_newest_number_of_each_stream_stays(puts: list[tuple[str, Stream, int]]) -> None:
    dots, best = Dots(), dict[tuple[str, Stream], int]()
    for node, stream, seq in puts:
        dots.touch(node)
        assert dots.put(node, {stream: seq}) == (seq > best.get((node, stream), 0))
        best[node, stream] = max(seq, best.get((node, stream), 0))
    for node in ("n1", "n2"):
        assert dots.of(node) == {key: seq for (name, key), seq in best.items() if name == node}
    for stream in (A, B):
        borne = {node: seq for (node, key), seq in best.items() if key == stream}
        assert dict(dots.bearers(stream)) == borne


def test_the_order_does_not_grow_with_the_number_of_changes() -> None:
    dots = Dots()
    for number in range(20 * dots_module.STALE_MIN):
        dots.touch(f"n{number % 10}")
    assert dots.bytes_used < 16 * (3 * dots_module.STALE_MIN)
    assert [node for node, _ in dots.since(0)] == [f"n{number}" for number in range(10)]


def test_a_node_is_within_a_vector_that_covers_all_its_dots() -> None:
    dots = Dots()
    dots.touch("n1")
    dots.put("n1", {A: 3, B: 5})
    assert dots.is_within("n1", {A: Ranges(((1, 3),)), B: Ranges(((5, 5),))})
    assert not dots.is_within("n1", {A: Ranges(((1, 3),)), B: Ranges(((1, 4),))})
    assert not dots.is_within("n1", {A: Ranges(((1, 3),))})
    dots.drop(B)
    assert dots.is_within("n1", {A: Ranges(((1, 3),))})
    assert dots.of("n1") == {A: 3}
    assert dots.get("n1", B) == dots.get("n2", A) == 0


def test_a_hundred_thousand_nodes_of_three_hubs_take_a_few_megabytes() -> None:
    dots = Dots()
    streams = [(f"hub-{number}", "s.1") for number in range(3)]
    for number in range(100_000):
        dots.touch(f"n{number}")
        dots.put(f"n{number}", dict.fromkeys(streams, number + 1))
    assert dots.bytes_used < 6_500_000
