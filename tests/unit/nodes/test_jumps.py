"""Edges that name no run: two that count under one name are found, and one alone never is."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.nodes.jumps import Jumps
from hub.nodes.runs import LATE_SECONDS
from tests.examples import examples

BEAT_SECONDS = 5.0


def copies(jumps: Jumps, *firsts: tuple[int, int], seconds: float = 120.0) -> int:
    """How often two are proven when so many processes beat in turn, each from its own count on."""
    proofs, beats, at = 0, int(seconds / BEAT_SECONDS), 0.0
    for number in range(beats):
        for index, (incarnation, first) in enumerate(firsts):
            at = number * BEAT_SECONDS + index * BEAT_SECONDS / len(firsts)
            proofs += jumps.heard("edge-1", (incarnation, first + number), at)
    return proofs


def test_two_copies_of_one_start_are_found_once() -> None:
    assert copies(Jumps(), (3, 1000), (3, 1)) == 1


def test_a_copy_that_was_started_once_more_is_found_with_its_original() -> None:
    assert copies(Jumps(), (3, 1000), (4, 1)) == 1


def test_copies_that_were_started_together_are_told_apart_by_nothing() -> None:
    """They count the same; what they push contradicts each other, and is found by that."""
    assert copies(Jumps(), (3, 1), (3, 1)) == 0


def test_a_disk_that_was_restored_is_no_copy() -> None:
    """The one that counted higher is heard no more."""
    jumps = Jumps()
    assert copies(jumps, (3, 1000)) == 0
    for number in range(100):
        assert not jumps.heard("edge-1", (3, number), 1000.0 + number * BEAT_SECONDS)


def test_a_node_that_was_removed_begins_anew() -> None:
    jumps = Jumps()
    copies(jumps, (3, 1000), (3, 1), seconds=20.0)
    jumps.forget("edge-1")
    assert copies(jumps, (3, 1)) == 0


def test_memory_is_bounded() -> None:
    jumps = Jumps(nodes_max=10)
    for number in range(100):
        jumps.heard(f"edge-{number}", (1, 1), 0.0)
    assert len(jumps._by_node) == 10


@given(
    st.lists(st.tuples(st.floats(0.1, 60.0), st.booleans()), max_size=80),
    st.integers(0, 2**32),
)
@settings(max_examples=examples(200))
def test_one_process_is_never_taken_for_two(story: list[tuple[float, bool]], seed: int) -> None:
    """However it restarts, and however late, often and out of order its beats come, within their time."""
    rng, at, incarnation, beat = Random(seed), 0.0, 1, 0
    arrivals: list[tuple[float, tuple[int, int]]] = []
    for seconds, restarts in story:
        at += seconds
        incarnation, beat = (incarnation + 1, 1) if restarts else (incarnation, beat + 1)
        delays = [rng.uniform(0, LATE_SECONDS * 0.99) for _ in range(rng.choice((0, 1, 1, 2)))]
        arrivals += [(at + delay, (incarnation, beat)) for delay in delays]
    jumps = Jumps()
    for when, count in sorted(arrivals):
        assert not jumps.heard("edge-1", count, when)
