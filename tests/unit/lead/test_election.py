"""The election of one hub, step by step: votes, beats, leases, hand-overs and members."""

from dataclasses import replace

import pytest

from hub.lead.action import Reply, Save, Send
from hub.lead.messages import Answer
from hub.lead.mode import TWO_HUBS, Mode, check_mode
from hub.lead.model import Ballot, Members, Timing
from hub.lead.voting import TERM_JUMP_MAX, difference, first_ballot
from shared.errors import Refused
from tests.unit.lead.hubs import (
    START,
    THREE,
    agree,
    answer_of,
    beat,
    elected,
    machine,
    sends,
    settled,
    told,
    vote_ask,
)

LATER = START + 5.0


def test_a_vote_is_on_disk_before_it_is_given() -> None:
    actions = machine().on_ask(LATER, vote_ask("hub-2", 1))
    assert actions[0] == Save(Ballot(THREE, 1, "hub-2"))
    assert isinstance(actions[-1], Reply)
    assert answer_of(actions).granted


def test_a_vote_that_was_not_saved_is_asked_to_be_saved_again() -> None:
    """A disk error must not let a later answer slip out ahead of the ballot."""
    voter = machine()
    voter.on_ask(LATER, vote_ask("hub-2", 1))
    again = voter.on_ask(LATER, vote_ask("hub-3", 1))
    assert again[0] == Save(Ballot(THREE, 1, "hub-2"))
    assert not answer_of(again).granted


def test_a_hub_that_crashed_after_saving_keeps_its_vote() -> None:
    voter = machine(ballot=Ballot(THREE, 1, "hub-2"))
    assert not answer_of(voter.on_ask(LATER, vote_ask("hub-3", 1))).granted
    assert answer_of(voter.on_ask(LATER, vote_ask("hub-2", 1))).granted


def test_a_hub_that_crashed_before_saving_may_vote_for_another() -> None:
    """Nobody has seen the vote that was lost."""
    assert answer_of(machine().on_ask(LATER, vote_ask("hub-3", 1))).granted


def test_a_hub_that_has_just_started_keeps_to_a_leader_it_may_have_forgotten() -> None:
    reborn = machine(ballot=Ballot(THREE, 4, ""))
    refused = answer_of(reborn.on_ask(START + 0.99, vote_ask("hub-3", 5)))
    assert (refused.granted, refused.term, refused.reason) == (False, 4, "a leader is heard here")
    assert answer_of(reborn.on_ask(START + 1.01, vote_ask("hub-3", 5))).granted


def test_who_hears_a_leader_refuses_others_and_keeps_its_term() -> None:
    """A hub that comes back, or hears one way only, disturbs nobody."""
    voter = machine()
    settled(voter, LATER, voter.on_ask(LATER, beat("hub-2", 3)))
    for kind in ("pre-vote", "vote"):
        actions = voter.on_ask(LATER + 0.9, vote_ask("hub-3", 9, kind))
        assert not answer_of(actions).granted
    assert voter.term == 3
    request = vote_ask("hub-3", 9, members=Members(THREE.hubs, 3))
    assert answer_of(voter.on_ask(LATER + 1.1, request)).granted


def test_an_isolated_hub_asks_for_ever_and_raises_no_term() -> None:
    """And says once that it hears nobody, not each time."""
    lonely, names, now = machine(), [], START
    while now < START + 60:
        now = lonely.due_at()
        names += told(settled(lonely, now, lonely.tick(now)))
    assert lonely.term == 0
    assert names == ["state:changed"]


def test_a_candidate_counts_its_own_vote_when_it_is_on_disk() -> None:
    alone = machine(ballot=Ballot(Members(("hub-1",))))
    now = alone.due_at()
    first = alone.tick(now)
    assert first[0] == Save(Ballot(Members(("hub-1",)), 1, "hub-1"))
    assert not alone.is_leading(now)
    settled(alone, now, first)
    assert alone.is_leading(now)


def test_an_elected_hub_acts_only_when_a_majority_has_answered_its_beat() -> None:
    election, now = elected(with_lease=False)
    assert not election.is_leading(now)
    beats = sends(settled(election, now + 0.3, election.tick(now + 0.3)), "beat")
    names = told(agree(election, now + 0.3, beats, "hub-3"))
    assert election.is_leading(now + 0.3)
    assert names == ["leader:elected"]


def test_the_lease_counts_from_when_the_beat_was_sent() -> None:
    election, now = elected()
    sent = sends(settled(election, now + 0.3, election.tick(now + 0.3)), "beat")
    agree(election, now + 0.8, sent, "hub-2")
    assert election.is_leading(now + 0.3 + 0.899)
    assert not election.is_leading(now + 0.3 + 0.901)


def test_a_leader_whose_majority_is_silent_stops_by_itself() -> None:
    election, now = elected()
    actions = settled(election, now + 0.95, election.tick(now + 0.95))
    assert told(actions) == ["state:changed", "leader:lost"]
    assert not sends(actions, "beat")


def test_a_leader_that_hears_of_a_later_term_stops_at_once() -> None:
    election, now = elected()
    asked = sends(settled(election, now + 0.3, election.tick(now + 0.3)), "beat")
    late = Answer("hub-3", 8, granted=False)
    names = told(election.on_answer(now + 0.3, asked[1], late))
    assert not election.is_leading(now + 0.3)
    assert names == ["state:changed", "leader:lost", "term:changed"]
    assert election.term == 8


def test_answers_that_come_late_or_from_somebody_else_change_nothing() -> None:
    election = machine()
    now = election.due_at()
    (first, second) = sends(settled(election, now, election.tick(now)), "pre-vote")
    stranger = Answer("hub-9", 0, granted=True)
    assert election.on_answer(now, first, stranger) == []
    stale = replace(second, ask=vote_ask("hub-1", 7, "vote"))
    assert election.on_answer(now, stale, Answer("hub-3", 0, granted=True)) == []
    assert election.term == 0


def test_a_term_from_nowhere_is_refused() -> None:
    """Taking it over would leave no higher term for anybody."""
    voter = machine()
    actions = voter.on_ask(LATER, vote_ask("hub-2", TERM_JUMP_MAX + 1))
    assert "too far ahead" in answer_of(actions).reason
    assert voter.term == 0


def test_a_hub_that_leads_the_same_term_is_not_followed() -> None:
    election, now = elected()
    refused = answer_of(election.on_ask(now, beat("hub-2", election.term)))
    assert "another hub" in refused.reason
    assert election.is_leading(now)


def test_stepping_down_ends_the_lease_before_the_order_leaves() -> None:
    election, now = elected()
    actions = election.step_down(now + 0.1)
    assert not election.is_leading(now + 0.1)
    (order,) = sends(actions, "take-over")
    assert (order.to, order.ask.term) == ("hub-2", election.term)
    assert election.due_at() >= now + 0.1 + 4.0


def test_who_takes_over_need_not_wait_for_the_lease() -> None:
    """Voters that keep to the old leader let go, since it has stopped for good."""
    heir, voter = machine("hub-2"), machine("hub-3")
    for hub in (heir, voter):
        settled(hub, LATER, hub.on_ask(LATER, beat("hub-1", 3)))
    order = vote_ask("hub-1", 3, "take-over", members=Members(THREE.hubs, 3))
    asked = sends(settled(heir, LATER, heir.on_ask(LATER, order)), "vote")
    assert asked[0].ask.released == 3
    request = next(send.ask for send in asked if send.to == "hub-3")
    assert answer_of(voter.on_ask(LATER + 0.01, request)).granted


def test_a_release_of_an_earlier_term_frees_nobody() -> None:
    voter = machine("hub-3")
    settled(voter, LATER, voter.on_ask(LATER, beat("hub-1", 5)))
    request = vote_ask("hub-2", 6, released=4, members=Members(THREE.hubs, 5))
    assert not answer_of(voter.on_ask(LATER, request)).granted


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("hub-3", "hub-3 does not follow now, so nobody could take over: try again in a second"),
        ("hub-9", "no hub that votes is called hub-9: they are hub-1, hub-2, hub-3"),
        ("hub-1", "hub-1 leads already"),
    ],
)
def test_only_a_hub_that_follows_can_take_over(target: str, why: str) -> None:
    """What waiting does not mend is not told to be tried again."""
    election, now = elected()
    with pytest.raises(Refused, match=f"^{why}$"):
        election.step_down(now, target)
    assert election.is_leading(now)


def test_who_does_not_lead_cannot_step_down() -> None:
    with pytest.raises(Refused, match="does not lead"):
        machine().step_down(LATER)


def test_a_leader_steps_down_when_a_peer_asks_for_it() -> None:
    election, now = elected()
    actions = election.on_ask(now, vote_ask("hub-3", 1, "step-down"))
    assert told(actions) == ["state:changed", "leader:lost"]
    assert [send.to for send in sends(actions, "take-over")] == ["hub-2"]
    assert answer_of(actions).granted
    assert sends(actions, "take-over")
    assert not answer_of(election.on_ask(now, vote_ask("hub-3", 1, "step-down"))).granted


def test_members_change_by_one_and_the_next_change_waits() -> None:
    election, now = elected()
    four = (*THREE.hubs, "hub-4")
    actions = settled(election, now, election.change_members(now, four))
    assert isinstance(actions[0], Save)
    assert election.members == Members(four, election.term, 1)
    assert election.members.majority == 3
    with pytest.raises(Refused, match="agreed on"):
        election.change_members(now, THREE.hubs)
    agree(election, now, sends(actions, "beat"), "hub-2", "hub-4")
    election.change_members(now, THREE.hubs)
    assert election.members.hubs == THREE.hubs


@pytest.mark.parametrize(
    ("hubs", "reason"),
    [
        (THREE.hubs, "by one"),
        (("hub-1",), "by one"),
        (("hub-2", "hub-3"), "let it step down"),
        (("hub-1", "hub-2", "hub-4"), "by one"),
    ],
)
def test_other_changes_of_members_are_refused(hubs: tuple[str, ...], reason: str) -> None:
    election, now = elected()
    with pytest.raises(Refused, match=reason):
        election.change_members(now, hubs)


def test_who_missed_a_change_of_members_is_not_elected() -> None:
    voter = machine(ballot=Ballot(Members(THREE.hubs, 3, 1), 3))
    refused = answer_of(voter.on_ask(LATER, vote_ask("hub-2", 4)))
    assert refused.reason == "the members have changed since"


FORGETFUL = Ballot(THREE, unsure=True)
AGREED = Members(THREE.hubs, 4)


def test_a_hub_that_may_have_forgotten_a_vote_gives_none_where_leaders_were() -> None:
    """Its disk is new or was restored, and the others know of a leader: it may have voted already."""
    for kind in ("pre-vote", "vote"):
        voter = machine(ballot=FORGETFUL)
        refused = answer_of(voter.on_ask(LATER, vote_ask("hub-2", 5, kind=kind, members=AGREED)))
        assert refused.reason.startswith("this hub may have forgotten a vote")


def test_it_votes_again_once_it_has_heard_the_leader() -> None:
    voter = machine(ballot=FORGETFUL)
    voter.on_ask(LATER, vote_ask("hub-2", 4, kind="beat", members=AGREED))
    later = LATER + 5.0
    granted = answer_of(voter.on_ask(later, vote_ask("hub-3", 5, members=AGREED)))
    assert granted.granted


def test_hubs_that_are_all_new_elect_their_first_leader() -> None:
    """And whoever took part in that has forgotten nothing."""
    voter = machine(ballot=FORGETFUL)
    assert answer_of(voter.on_ask(LATER, vote_ask("hub-2", 1))).granted
    assert not voter.ballot.unsure


def test_hubs_with_different_settings_do_not_vote_for_each_other() -> None:
    other = Members(("hub-1", "hub-2", "hub-7"))
    refused = answer_of(machine().on_ask(LATER, vote_ask("hub-2", 1, members=other)))
    assert refused.reason == "members differ: here they are hub-1, hub-2, hub-3"


def test_a_hub_that_is_no_member_never_stands() -> None:
    outsider = machine("hub-9")
    now = outsider.due_at()
    assert outsider.tick(now) == []


def test_the_standing_can_be_shown() -> None:
    election, now = elected()
    shown = election.standing(now).as_dict()
    assert (shown["leader"], shown["leading"], shown["majority"]) == ("hub-1", True, 2)
    assert shown["followers"] == ["hub-2"]
    assert shown["members_version"] == "1.0"


@pytest.mark.parametrize(
    "times",
    [
        {"lease_seconds": 0.97},
        {"lease_seconds": 0.2},
        {"timeout_seconds_max": 1.0},
        {"drift_max": 0.06},
    ],
)
def test_times_that_allow_two_leaders_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Timing(**times)


def test_two_hubs_with_quorum_are_refused_with_the_alternative() -> None:
    with pytest.raises(ValueError, match="add a third hub") as refused:
        check_mode(Mode.QUORUM, "hub-1", ("hub-1", "hub-2"))
    assert str(refused.value) == TWO_HUBS
    assert "leader = static" in TWO_HUBS
    with pytest.raises(ValueError, match="with hub-1 among them"):
        check_mode(Mode.QUORUM, "hub-1", ("hub-2", "hub-3", "hub-4"))
    check_mode(Mode.QUORUM, "hub-1", THREE.hubs)
    check_mode(Mode.QUORUM, "hub-1", ("hub-1",))
    check_mode(Mode.STATIC, "hub-1", ("hub-1", "hub-2"))


def test_the_settings_name_the_members_until_a_leader_was_heard() -> None:
    """Later only an explicit step changes them, and a difference is told."""
    assert first_ballot(None, ("hub-2", "hub-1")).members.hubs == ("hub-1", "hub-2")
    voted = Ballot(THREE, 2, "hub-3")
    assert first_ballot(voted, ("hub-1",)) == Ballot(Members(("hub-1",)), 2, "hub-3")
    agreed = Ballot(Members(THREE.hubs, 2), 2, "hub-3")
    assert first_ballot(agreed, ("hub-1",)) == agreed
    assert difference(agreed, THREE.hubs) == ""
    assert "lead_hubs names hub-1, but" in difference(agreed, ("hub-1",))


def test_each_hub_is_sent_what_concerns_it() -> None:
    election, now = elected()
    sent = sends(election.tick(now + 0.3), "beat")
    assert [send.to for send in sent] == ["hub-2", "hub-3"]
    assert all(isinstance(send, Send) and send.at == now + 0.3 for send in sent)
