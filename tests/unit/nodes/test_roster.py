"""Who is on the roster: the names that are here, in order, whatever came and went meanwhile."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.nodes.roster import Roster
from tests.examples import examples

moves = st.lists(st.tuples(st.sampled_from(["put", "drop", "ask"]), st.sampled_from("abcdef")))


@settings(max_examples=examples(200))
@given(moves)
def test_it_has_each_name_once_and_in_order(moves: list[tuple[str, str]]) -> None:
    roster, here = Roster(), set[str]()
    for what, name in moves:
        if what == "put":
            roster.put(name)
            here.add(name)
        elif what == "drop":
            roster.drop(name)
            here.discard(name)
        else:
            assert list(roster.names) == sorted(here)
    assert (list(roster.names), len(roster)) == (sorted(here), len(here))
    assert all((name in roster) == (name in here) for name in "abcdef")


def test_who_walks_the_names_is_not_disturbed() -> None:
    """A walk over 100,000 names takes breaks, in which nodes come and go."""
    roster = Roster()
    roster.put_all("bd")
    walked = roster.names
    roster.put("c")
    roster.drop("b")
    assert (list(roster.names), list(walked)) == (["c", "d"], ["b", "d"])


def test_names_that_have_not_changed_are_not_sorted_again() -> None:
    roster = Roster()
    roster.put_all("ba")
    assert roster.names is roster.names
