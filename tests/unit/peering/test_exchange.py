"""The talk between two or three hubs, one message at a time."""

from typing import Any

import pytest

from hub.peering import exchange_pull, exchange_wire
from hub.peering.exchange import PEERS_MAX
from hub.peering.exchange_values import Taken
from hub.peering.exchange_wire import PUSH_BYTES_MAX, RECORDS_MAX, Answer, Ask, Item, Pulse, Push
from shared.errors import BadInput
from shared.merge import to_bytes
from tests.law.exchange_draws import NOW, exchange, facts, fetch, intent, known

# ---- pushes


def test_a_push_brings_the_change_and_no_more() -> None:
    here, there = exchange(), exchange("hub-2")
    here.replica.originate(facts("n1", hostname="a" * 500))
    there.take_push(here.flush()[0], 5)
    here.replica.originate(intent("n1", "draining", True))
    (push,) = here.flush()
    assert len(exchange_wire.write(push)) < 300
    there.take_push(push, 5)
    assert known(there) == known(here)
    assert there.replica.vector.digest() == here.replica.vector.digest()


def test_changes_of_one_node_between_two_flushes_are_one_item_and_all_numbers_are_covered() -> None:
    here, there = exchange(), exchange("hub-2")
    for number in range(1, 6):
        assert here.replica.originate(facts("n1", number))
    assert not here.replica.originate(facts("n1", 3)), "what changes nothing gets no number"
    (push,) = here.flush()
    assert len(push.items) == 1
    there.take_push(push, 5)
    assert there.replica.vector.ranges == here.replica.vector.ranges
    assert here.flush() == []


def test_a_part_whose_beginning_was_lost_is_left_for_the_next_round() -> None:
    here, there = exchange(), exchange("hub-2")
    here.replica.originate(facts("n1"))
    here.flush()
    here.replica.originate(intent("n1", "draining", True))
    there.take_push(here.flush()[0], 5)
    assert known(there) == {}
    assert there.replica.taken[Taken.EARLY] == 1
    assert not there.replica.vector.covers(here.replica.own, 2)
    assert fetch(there, here) == 1
    assert known(there) == known(here)


def test_large_news_go_in_bounded_pushes_oldest_first() -> None:
    here, there = exchange(), exchange("hub-2")
    for number in range(2500):
        here.replica.originate(facts(f"n{number}", text="x" * 300))
    pushes = here.flush()
    assert all(len(push.items) <= RECORDS_MAX for push in pushes)
    assert all(len(exchange_wire.write(push)) <= PUSH_BYTES_MAX for push in pushes)
    assert [item.node for push in pushes for item in push.items] == [f"n{n}" for n in range(2500)]
    for push in pushes:
        there.take_push(push, 5)
    assert there.replica.vector.digest() == here.replica.vector.digest()


def test_a_push_that_makes_no_sense_changes_nothing() -> None:
    there = exchange("hub-2")
    head: dict[str, Any] = exchange().head
    good = Item("n1", [(0, 1)], to_bytes(facts("n1")))
    mine = Item("n2", [(1, 4)], to_bytes(facts("n2")))
    streams = [("hub-1", "s.1"), there.replica.own]
    for push in (
        Push(**head, streams=streams, items=[good, mine]),
        Push(**head, streams=streams, items=[good, Item("n2", [(7, 1)], b"")]),
        Push(**head, streams=streams, items=[good], claims=(5, 2)),
        Push(**there.head, streams=streams, items=[good]),
    ):
        with pytest.raises(BadInput):
            there.take_push(push, 5)
        assert known(there) == {}


# ---- asking


def test_a_hub_asks_only_for_what_has_been_lacking_for_a_round() -> None:
    here, there = exchange(), exchange("hub-2")
    here.replica.originate(facts("n1"))
    (push,) = here.flush()
    there.take_pulse(here.pulse("hub-2"), NOW)
    assert there.next_ask(NOW) is None, "the push may be on its way"
    there.take_push(push, 5)
    there.take_pulse(here.pulse("hub-2"), NOW + 1)
    assert there.next_ask(NOW + 1) is None
    here.replica.originate(facts("n2"))
    here.flush()
    assert fetch(there, here) == 1
    assert known(there) == known(here)


def test_a_backlog_is_asked_for_at_once_and_nothing_comes_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange_pull, "BACKLOG_RECORDS", 10)
    monkeypatch.setattr(exchange_pull, "RECORDS_MAX", 3)
    here, there = exchange(), exchange("hub-2")
    for number in range(10):
        here.replica.originate(facts(f"n{number}"))
    there.take_pulse(here.pulse("hub-2"), NOW)
    assert there.next_ask(NOW) is not None
    there.not_answered("hub-1")
    assert fetch(there, here) == 4
    assert there.replica.taken == {Taken.NEW: 10}
    assert known(there) == known(here)


def test_one_hub_is_asked_at_a_time_and_another_one_when_it_does_not_answer() -> None:
    asker, tellers = exchange("hub-9"), [exchange("hub-1"), exchange("hub-2")]
    for teller in tellers:
        teller.replica.originate(facts(f"of-{teller.replica.own[0]}"))
        for now in (NOW, NOW + 1):
            asker.take_pulse(teller.pulse("hub-9"), now)
    found = asker.next_ask(NOW + 1)
    assert found is not None
    assert found[0] == "hub-1"
    assert asker.next_ask(NOW + 2) is None
    asker.not_answered("hub-1")
    found = asker.next_ask(NOW + 2)
    assert found is not None
    assert found[0] == "hub-2"


def test_numbers_are_covered_when_the_last_page_has_come_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange_pull, "RECORDS_MAX", 1)
    here, there = exchange(), exchange("hub-2")
    for node in ("n1", "n2", "n1", "n3"):
        here.replica.originate(facts(node, here.replica.seq + 1))
    here.flush()
    for now in (NOW, NOW + 1):
        there.take_pulse(here.pulse("hub-2"), now)
    seen = []
    while (found := there.next_ask(NOW + 1)) is not None:
        assert not there.replica.vector.ranges
        answer = here.answer(found[1])
        there.take_answer(found[1], answer, 5)
        seen += [item.node for item in answer.items]
    assert seen == ["n2", "n1", "n3"]
    assert there.replica.vector.ranges == here.replica.vector.ranges


def test_positions_of_a_former_life_are_worth_nothing() -> None:
    here, there = exchange(), exchange("hub-2")
    here.replica.originate(facts("n1"))
    fetch(there, here)
    assert there.peers["hub-1"].cursor == 1
    reborn = exchange("hub-1", "s.2")
    reborn.replica.originate(facts("n2"))
    ask = Ask(**there.head, asked_life="s.1", after=1, have=[])
    assert not there.take_answer(ask, reborn.answer(ask), 5)
    assert fetch(there, reborn) == 1
    assert known(there).keys() == {"n1", "n2"}


def test_a_page_that_leads_nowhere_is_refused() -> None:
    there = exchange("hub-2")
    there.take_pulse(exchange().pulse("hub-2"), NOW)
    ask = Ask(**there.head, asked_life="s.1", after=5, have=[])
    for through, vector in ((5, None), (4, []), (4, None)):
        answer = Answer(**exchange().head, through=through, streams=[], items=[], vector=vector)
        with pytest.raises(BadInput, match="nowhere"):
            there.take_answer(ask, answer, 5)


def test_a_vector_is_told_once_and_again_when_it_was_not_heard() -> None:
    here, there = exchange(), exchange("hub-2")
    here.replica.originate(facts("n1"))
    lost = here.pulse("hub-2")
    assert lost.vector is not None
    assert here.pulse("hub-2").vector is not None
    there.take_pulse(here.pulse("hub-2"), NOW)
    here.take_pulse(there.pulse("hub-1"), NOW)
    assert here.pulse("hub-2").vector is None
    here.replica.originate(facts("n2"))
    assert here.pulse("hub-2").vector is not None


def test_more_hubs_and_streams_than_a_cluster_has_are_refused() -> None:
    here = exchange()
    for number in range(PEERS_MAX):
        here.take_pulse(exchange(f"peer-{number}").pulse("hub-1"), NOW)
    with pytest.raises(BadInput, match="64 hubs"):
        here.take_pulse(exchange("one-more").pulse("hub-1"), NOW)
    vector = [(f"origin-{number}", "s.1", [(1, 1)]) for number in range(64)]
    there = exchange("hub-2")
    there.replica.originate(facts("n1"))
    head = exchange("hub-3").head
    pulse = Pulse(**head, position=1, digest="d", knows="", vector=vector)
    with pytest.raises(BadInput, match="at most 64 hubs"):
        there.take_pulse(pulse, NOW)


def test_a_hub_in_the_middle_of_a_pass_vouches_for_nothing_that_it_does_not_cover_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has records that its vector does not speak of: equal vectors do not mean equal records."""
    monkeypatch.setattr(exchange_pull, "RECORDS_MAX", 1)
    origin, middle, last = exchange("hub-1"), exchange("hub-2"), exchange("hub-3")
    for node in ("n1", "n2"):
        origin.replica.originate(facts(node))
    for now in (NOW, NOW + 1):
        middle.take_pulse(origin.pulse("hub-2"), now)
    found = middle.next_ask(NOW + 1)
    assert found is not None
    assert middle.take_answer(found[1], origin.answer(found[1]), 5), "there is one more page"
    last.take_pulse(middle.pulse("hub-3"), NOW)
    fetch(middle, origin)
    fetch(last, middle)
    assert known(last) == known(middle) == known(origin)
