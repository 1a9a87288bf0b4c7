"""Two hubs with one name are found out by what both of them say; a restart is no double."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.peering.doubles import NAMES_MAX, STRANGERS_MAX, Doubles
from hub.peering.refusals import Double
from tests.examples import examples


def taking_turns(doubles: Doubles, rounds: int, start: float = 0.0) -> list[bool]:
    """The first answers at its address, and the second speaks to us, each second."""
    proven = []
    for number in range(rounds):
        now = start + number
        doubles.heard("hub-2", "second", now)
        proven.append(doubles.answered("hub-2", "first", now + 0.5))
    return proven


def test_the_one_that_answers_at_the_known_address_keeps_the_name() -> None:
    doubles = Doubles()
    doubles.answered("hub-2", "first", 0)
    assert taking_turns(doubles, 3, 1.0) == [False, False, True]
    assert doubles.has_two("hub-2")
    with pytest.raises(Double, match="two hubs call themselves hub-2"):
        doubles.heard("hub-2", "second", 9)
    doubles.heard("hub-2", "first", 9)
    assert not doubles.answered("hub-2", "first", 10), "it is found out once"


def test_a_double_that_is_renamed_or_moves_in_at_the_address_is_none() -> None:
    doubles = Doubles()
    doubles.answered("hub-2", "first", 0)
    taking_turns(doubles, 3, 1.0)
    doubles.answered("hub-2", "second", 20)
    assert not doubles.has_two("hub-2")
    doubles.heard("hub-2", "second", 21)


def test_a_late_word_of_an_earlier_life_proves_nothing() -> None:
    doubles = Doubles()
    doubles.answered("hub-2", "new", 0)
    doubles.heard("hub-2", "old", 1)
    for sent_at in range(2, 100):
        assert not doubles.answered("hub-2", "new", sent_at)
    doubles.heard("hub-2", "old", 100)


def test_an_answer_to_an_older_question_proves_nothing() -> None:
    """The hub may have died after it had answered, and have started again before it spoke."""
    doubles = Doubles()
    doubles.answered("hub-2", "first", 0)
    for number in range(10):
        doubles.heard("hub-2", "second", 5)
        assert not doubles.answered("hub-2", "first", 4), number


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=50))
@settings(max_examples=examples(200))
def test_a_hub_that_only_starts_again_is_never_called_a_double(
    steps: list[tuple[bool, bool]],
) -> None:
    """One process at a time, however often it is started: no interleaving of its words is refused."""
    doubles, life = Doubles(), 0
    for now, (is_restart, is_answer) in enumerate(steps):
        life += is_restart
        if is_answer:
            assert not doubles.answered("hub-2", str(life), now - 0.1)
        else:
            doubles.heard("hub-2", str(life), now)
    assert not doubles.has_two("hub-2")


def test_names_and_strangers_without_end_need_no_memory_without_end() -> None:
    doubles = Doubles()
    for number in range(1000):
        doubles.answered(f"hub-{number}", "x", 0)
        doubles.answered("hub-2", "first", number)
        doubles.heard("hub-2", f"stranger {number}", number)
    assert len(doubles._bearers) == NAMES_MAX
    assert len(doubles._bearers["hub-2"].strangers) == STRANGERS_MAX
