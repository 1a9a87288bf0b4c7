"""A hub that stops on purpose is missed by nobody until its time is over."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from hub.nodes.hold import HOLD_SECONDS_MAX, HUBS_MAX, Holds, LeavingSection
from shared.errors import BadInput


class Story:
    """Two hubs; what the staying one told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.stays = Holds(lambda name, facts: self.told.append((name, facts)))
        self.leaves = Holds(lambda name, facts: None)

    def gossip(self, now: float) -> None:
        """One message from the leaving hub."""
        self.stays.take(self.leaves.of_mine(now), "hub-2", now)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_hub_that_is_back_in_time_was_never_missed(story: Story) -> None:
    story.leaves.leave(60.0, "upgrade", 10.0)
    for second in range(10, 14):
        story.gossip(float(second))
    story.stays.tick(60.0)
    assert story.stays.missing({"hub-2", "hub-3"}) == {"hub-3"}
    story.leaves.stay()
    story.gossip(65.0)
    assert not story.stays.is_held("hub-2")
    assert story.told == [
        ("hub.hold.begin", {"hub": "hub-2", "seconds": 60.0, "reason": "upgrade"}),
        ("hub.hold.end", {"hub": "hub-2", "why": "it is back", "seconds": 55.0}),
    ]


def test_a_hub_that_does_not_return_is_missed_after_its_time(story: Story) -> None:
    story.leaves.leave(60.0, "", 10.0)
    story.gossip(10.0)
    story.stays.tick(69.9)
    assert story.stays.is_held("hub-2")
    story.stays.tick(70.0)
    assert story.stays.missing({"hub-2"}) == {"hub-2"}
    assert story.told[1][1] == {"hub": "hub-2", "why": "it did not return", "seconds": 60.0}


def test_a_hub_that_stays_holds_nothing(story: Story) -> None:
    story.gossip(10.0)
    assert story.told == []


def test_a_hold_can_be_made_longer_but_not_for_ever(story: Story) -> None:
    for second in range(0, 1_000, 50):
        story.leaves.leave(60.0, "", float(second))
        story.gossip(float(second))
    assert story.stays.held["hub-2"].ends_at == HOLD_SECONDS_MAX


def test_a_message_that_was_on_its_way_for_long_does_not_make_it_shorter(story: Story) -> None:
    story.stays.take(LeavingSection(60.0), "hub-2", 10.0)
    story.stays.take(LeavingSection(5.0), "hub-2", 11.0)
    assert story.stays.held["hub-2"].ends_at == 70.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, HOLD_SECONDS_MAX + 1, float("nan"), float("inf")])
def test_a_hold_of_no_or_endless_length_is_refused(story: Story, seconds: float) -> None:
    with pytest.raises(BadInput):
        story.leaves.leave(seconds, "", 0.0)
    assert story.leaves.of_mine(0.0) is None


@pytest.mark.parametrize("body", [b'{"hold_seconds":601}', b'{"hold_seconds":-1}', b"{}"])
def test_a_section_out_of_bounds_is_not_read(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=LeavingSection)


def test_hubs_that_nobody_has_do_not_fill_the_memory(story: Story) -> None:
    for number in range(1_000):
        story.stays.take(LeavingSection(60.0), f"hub-{number}", 0.0)
    assert len(story.stays.held) == HUBS_MAX
