"""A guest that resets for ever is told from one that reboots."""

import pytest

from edge.vm.qemu.resets import Resets


def test_five_silent_resets_in_ten_seconds_are_a_loop() -> None:
    resets = Resets()
    assert [resets.note(at, 0) for at in (1.0, 1.1, 1.2, 1.3, 1.4)] == [False] * 4 + [True]
    assert resets.count == 5


def test_a_guest_that_says_something_reboots_as_often_as_it_likes() -> None:
    resets = Resets()
    assert not any(resets.note(at / 10, at * at) for at in range(100))


def test_a_loop_below_a_boot_loader_says_the_same_each_time() -> None:
    """As Linux does that has too little memory: its loader greets, and it resets without a word."""
    resets = Resets()
    noted = [resets.note(at * 1.7, 5000 + at // 2 * 70) for at in range(12)]
    assert noted == [False] * 10 + [True, True], "each second reset is one of the firmware"


@pytest.mark.parametrize(("said", "seconds"), [(0, 3.0), (70, 8.0)])
def test_slow_reboots_are_no_loop(said: int, seconds: float) -> None:
    resets = Resets()
    assert not any(resets.note(at * seconds, at * said) for at in range(100))


def test_one_reboot_that_is_told_three_times_counts_once() -> None:
    resets = Resets()
    for at in (1.0, 1.001, 1.002):
        resets.note(at, 0)
    assert resets.count == 1
