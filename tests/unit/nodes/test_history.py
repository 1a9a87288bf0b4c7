"""What a hub writes of nodes over time, and what it reads from it again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.nodes.history import BEGAN, FLAPPING, Change
from hub.nodes.history_share import (
    HistoryPage,
    HistorySection,
    HistoryShare,
    PageWanted,
    Standing,
    read_page,
)
from hub.nodes.history_write import CALM_SECONDS, CHANGES_AT_ONCE, Observing
from hub.nodes.uptime import FINE, Health, total
from hub.nodes.uptime_reads import bars_of_nodes, history_of
from hub.store.check_table import (
    BEGINNING,
    append,
    attendances,
    forget_history,
    last_states,
    lines_of_node,
    purge_attendances,
    purge_lines,
)
from shared.errors import BadInput
from tests.unit.nodes.history_world import START_MS, Observer, ms, new_database

Make = Callable[[str], Observer]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Observer] = []

    def observer(name: str) -> Observer:
        path = tmp_path / f"{name}.db"
        made.append(Observer(name, path, new_database(path)))
        return made[-1]

    yield observer
    for each in made:
        each.connection.close()


def said(hub: Observer, at: float, since: float = 0.0) -> list[tuple[str, str, float, float]]:
    """What a hub reads of edge-1: who, state, from and to in seconds, oldest first."""
    found = history_of(hub.connection, "edge-1", ms(since), ms(at), hub.moment(at))
    return [
        (each.log, each.state, (each.since_ms - START_MS) / 1000, (each.until_ms - START_MS) / 1000)
        for each in reversed(found)
    ]


def test_only_changes_are_written(make: Make) -> None:
    """A state that lasts costs nothing."""
    hub = make("hub-1")
    hub.start(0)
    for at in range(1, 50):
        hub.note(at, "online" if at < 30 else "offline")
    assert [line.state for line in hub.lines()] == [BEGAN, "online", "offline"]
    assert said(hub, 49) == [("hub-1@1", "online", 1, 30), ("hub-1@1", "offline", 30, 49)]


def states_of(hub: Observer, log: str) -> list[tuple[str, str, str]]:
    """What a log on the disk of a hub last said of each node and subject."""
    told = last_states(hub.connection)
    return sorted((node, subject, state) for name, node, subject, state in told if name == log)


def test_a_hub_that_was_down_has_no_opinion_of_that_time(make: Make) -> None:
    """Between its last word and its next start nothing is known, though the state is the same."""
    hub = make("hub-1")
    hub.start(0)
    hub.note(10, "online")
    hub.save(100)
    hub.observing = Observing(0, 0, 0)
    held = states_of(hub, hub.log)
    assert held == [("edge-1", "", "online")]
    revived = Observing(2, 1, ms(100))
    revived.recall(held)
    revived.note("edge-1", "", "online", "", 140, ms(140))
    revived.begin(150, ms(150))
    hub.observing = revived
    hub.save(200)
    assert said(hub, 200) == [("hub-1@1", "online", 10, 100), ("hub-1@1", "online", 150, 200)]
    assert len(hub.lines()) == 3, "one line for the start, none for a node that is as it was"


def test_a_node_that_is_not_heard_after_a_start_is_unknown_and_not_as_before() -> None:
    """What was said before a restart is not said again without a reason."""
    hub = Observing(5, 1, ms(0))
    hub.recall([("edge-1", "", "online"), ("edge-2", "", "online")])
    hub.note("edge-1", "", "online", "", 10, ms(10))
    hub.begin(20, ms(20))
    lines = [(line.number, line.node, line.state) for line in hub.take_pending()]
    assert lines == [(6, "", BEGAN), (7, "edge-2", "unknown")]


def test_what_becomes_of_one_node_after_a_start_is_not_said_of_others() -> None:
    """Those of which the same was said before share what is kept of it only until one changes."""
    hub = Observing(5, 1, ms(0))
    hub.recall([("edge-1", "", "online"), ("edge-2", "", "online")])
    hub.begin(0, ms(0))
    hub.note("edge-1", "", "online", "", 1, ms(1))
    hub.note("edge-1", "", "offline", "silent", 2, ms(2))
    assert (hub.state_of("edge-1"), hub.state_of("edge-2")) == ("offline", "unknown")
    hub.note("edge-2", "", "online", "", 3, ms(3))
    assert (hub.state_of("edge-1"), hub.state_of("edge-2")) == ("offline", "online")


def test_a_clock_that_is_set_opens_a_new_attendance(make: Make) -> None:
    """The hour that was jumped over was observed by nobody."""
    hub = make("hub-1")
    hub.start(0)
    hub.note(10, "online")
    hub.observing.tick(60, ms(60))
    hub.observing.tick(61, ms(3661))
    hub.observing.tick(70, ms(3670))
    hub.connection.execute("BEGIN")
    append(hub.connection, hub.log, 2, hub.observing.take_pending())
    hub.connection.execute("COMMIT")
    hub.share.attend(hub.log, hub.observing.attendance, hub.observing.attended_ms)
    assert said(hub, 3670) == [("hub-1@1", "online", 10, 60), ("hub-1@1", "online", 3661, 3670)]


def test_a_flapping_node_folds_to_counts(make: Make) -> None:
    """A thousand changes become a dozen lines, one that says so, and one with their number."""
    hub = make("hub-1")
    hub.start(0)
    for turn in range(1000):
        hub.note(turn, "online" if turn % 2 else "offline")
    flapping = [line.state for line in hub.lines()][1:]
    assert len(flapping) <= CHANGES_AT_ONCE + 2
    assert flapping[-1] == FLAPPING
    hub.observing.settle(1000, ms(1000))
    assert hub.observing.take_pending() == [], "it is not calm yet"
    hub.observing.settle(1000 + CALM_SECONDS, ms(1000 + CALM_SECONDS))
    (line,) = hub.observing.take_pending()
    assert (line.state, line.folded) == ("online", 1000 - len(flapping) + 1)


def test_a_flapping_node_is_degraded_meanwhile(make: Make) -> None:
    """It is neither well nor gone."""
    hub = make("hub-1")
    hub.start(0)
    for turn in range(100):
        hub.note(turn, "online" if turn % 2 else "offline")
    hub.save(3600)
    drawn = bars_of_nodes(hub.connection, ["edge-1"], FINE, hub.moment(3600))["edge-1"]
    assert {bucket.parts.health for bucket in drawn[-10:]} == {Health.DEGRADED}


def test_hubs_hold_each_others_observations(make: Make) -> None:
    """After pulling, every hub tells the same, and a node is up while any of them heard it."""
    hubs = {name: make(name) for name in ("hub-1", "hub-2", "hub-3")}
    for hub in hubs.values():
        hub.start(0)
    hubs["hub-1"].note(10, "online")
    hubs["hub-2"].note(10, "offline")
    hubs["hub-3"].note(10, "late")
    for hub in hubs.values():
        hub.save(300)
    for hub in hubs.values():
        assert hub.pull(others(hubs, hub)) == 2
        assert hub.pull(others(hubs, hub)) == 0
    answers = [said(hub, 300) for hub in hubs.values()]
    assert len(answers[0]) == 3
    assert answers.count(answers[0]) == 3
    sums = [
        total(bars_of_nodes(hub.connection, ["edge-1"], FINE, hub.moment(300))["edge-1"])
        for hub in hubs.values()
    ]
    assert sums.count(sums[0]) == 3
    assert (sums[0].healthy_ms, sums[0].offline_ms, sums[0].degraded_ms) == (290_000, 0, 0)


def test_a_hub_passes_on_the_observations_of_one_that_is_down(make: Make) -> None:
    """Hub 3 never met hub 1, and has its history from hub 2."""
    hubs = {name: make(name) for name in ("hub-1", "hub-2", "hub-3")}
    for hub in hubs.values():
        hub.start(0)
    hubs["hub-1"].note(10, "online")
    hubs["hub-1"].save(60)
    hubs["hub-2"].pull({"hub-1": hubs["hub-1"]})
    hubs["hub-3"].pull({"hub-2": hubs["hub-2"]})
    assert said(hubs["hub-3"], 500) == [("hub-1@1", "online", 10, 60)]


def test_a_hub_far_behind_catches_up_in_bounded_pages(make: Make) -> None:
    """No answer has more than 1,000 lines, whatever is missing."""
    hubs = {name: make(name) for name in ("hub-1", "hub-2")}
    for hub in hubs.values():
        hub.start(0)
    for number in range(2500):
        hubs["hub-1"].observing.note(f"edge-{number}", "", "online", "", 5, ms(5))
    hubs["hub-1"].save(6)
    assert hubs["hub-2"].pull({"hub-1": hubs["hub-1"]}) == 3
    assert len(states_of(hubs["hub-2"], "hub-1@1")) == 2500


def others(hubs: dict[str, Observer], hub: Observer) -> dict[str, Observer]:
    return {name: each for name, each in hubs.items() if each is not hub}


def test_lines_with_a_hole_before_them_are_refused(make: Make) -> None:
    """A log has no holes that nobody knows of."""
    one, two = make("hub-1"), make("hub-2")
    one.start(0)
    one.note(1, "online")
    one.note(2, "offline")
    with pytest.raises(BadInput, match="only 0 are here"):
        append(two.connection, one.log, 2, one.lines()[2:])
    with pytest.raises(BadInput, match="not in their order"):
        append(two.connection, one.log, 0, one.lines()[::-1])
    assert append(two.connection, one.log, 0, one.lines()) == 3
    assert append(two.connection, one.log, 0, one.lines()) == 3, "again: nothing comes twice"
    assert lines_of_node(two.connection, "edge-1") == lines_of_node(one.connection, "edge-1")


def purge_all(hub: Observer, before: float, rows: int) -> int:
    """Purge in slices of so many rows, as often as there is something to look at."""
    gone, place = 0, BEGINNING
    while True:
        found, dropped = purge_lines(hub.connection, ms(before), place, rows)
        gone += dropped
        if found is None:
            break
        place = found
    purge_attendances(hub.connection, ms(before))
    return gone


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_purging_changes_nothing_that_a_later_window_shows(make: Make, rows: int) -> None:
    """In slices of any size, only what no kept time needs goes; what still holds stays."""
    hub = make("hub-1")
    hub.start(0)
    hub.note(5, "online", "edge-2")
    for turn, state in enumerate(["online", "late", "unknown", "offline", "online", "late"]):
        hub.note(10 + 10 * turn, state)
    hub.note(200, "offline")
    hub.save(300)
    before = said(hub, 300, since=100)
    assert purge_all(hub, 100, rows) == 5
    assert said(hub, 300, since=100) == before
    assert states_of(hub, hub.log) == [
        ("edge-1", "", "offline"),
        ("edge-2", "", "online"),
    ]


@pytest.mark.parametrize("rows", [1, 1000])
def test_purging_never_brings_an_old_state_back(make: Make, rows: int) -> None:
    """An "unknown" goes after what was before it, and not sooner."""
    hub = make("hub-1")
    hub.start(0)
    hub.note(10, "online")
    hub.note(20, "unknown")
    hub.save(300)
    assert purge_all(hub, 15, rows) == 0
    assert said(hub, 300, since=100) == [("hub-1@1", "unknown", 100, 300)]
    purge_all(hub, 100, rows)
    purge_all(hub, 100, rows)
    assert said(hub, 300, since=100) == []
    assert lines_of_node(hub.connection, "edge-1") == []


def test_an_old_attendance_goes_with_its_line(make: Make) -> None:
    """Restarts of long ago leave nothing behind, and the newest attendance stays."""
    hub = make("hub-1")
    for at in (0, 100, 200):
        hub.start(at)
        hub.note(at + 10, "online")
        hub.save(at + 50)
    purge_all(hub, 190, 2)
    purge_all(hub, 190, 2)
    assert [each.number for each in attendances(hub.connection, 0)[hub.log]] == [3]
    assert [line.attendance for line in hub.lines() if line.state == BEGAN] == [3]


def test_the_history_of_a_removed_node_goes_in_slices(make: Make) -> None:
    """Other nodes keep theirs."""
    hub = make("hub-1")
    hub.start(0)
    for turn in range(6):
        hub.note(turn + 1, "online" if turn % 2 else "late")
    hub.note(9, "online", "edge-2")
    assert [forget_history(hub.connection, "edge-1", 4) for _ in range(3)] == [4, 2, 0]
    assert len(lines_of_node(hub.connection, "edge-2")) == 1


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (HistoryPage("h@2", 0, 5, []), "something else"),
        (HistoryPage("h@1", 3, 5, []), "something else"),
    ],
)
def test_a_page_that_answers_something_else_is_refused(page: HistoryPage, reason: str) -> None:
    """An answer that was not asked for is not written."""
    with pytest.raises(BadInput, match=reason):
        read_page(msgspec.json.encode(page), PageWanted("h@1", 0))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_page_or_bad_input(body: bytes) -> None:
    """Whatever a peer answers, nothing else is raised."""
    with pytest.raises(BadInput):
        read_page(body, PageWanted("h@1", 7))


def test_nobody_else_says_what_this_hub_observed() -> None:
    """A peer's word about this hub's own log counts nothing, and logs have a bound."""
    share = HistoryShare("hub-1@1")
    share.take(HistorySection([Standing("hub-1@1", 99, 1, 10**12)]), "hub-2")
    assert share.wanted(["hub-2"]) == []
    assert share.of_mine(whole=True).logs == [Standing("hub-1@1", 0, 0, 0)]
    for number in range(300):
        share.take(HistorySection([Standing(f"hub-{number}@9", 1, 1, 1)]), "hub-2")
    assert len(share.held) == 256
    assert share.refused == 44


def test_purging_does_not_trust_a_clock_that_was_set_back(make: Make) -> None:
    """A later "unknown" with an earlier time stays until what it overrules is gone."""
    hub = make("hub-1")
    lines = [
        Change(1, "", "", 1, BEGAN, ms(0)),
        Change(2, "edge-1", "", 1, "online", ms(100)),
        Change(3, "", "", 2, BEGAN, ms(40), ended_ms=ms(120)),
        Change(4, "edge-1", "", 2, "unknown", ms(50)),
    ]
    append(hub.connection, hub.log, 0, lines)
    assert purge_all(hub, 80, 1000) == 0
    assert [change.state for _, change in lines_of_node(hub.connection, "edge-1")] == [
        "online",
        "unknown",
    ]
