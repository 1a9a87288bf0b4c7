"""One detector and what it makes of answers, failures, rows and its own stalls, step by step."""

import pytest

from hub.peering.detect_row import Entry, Row
from hub.peering.detect_values import Ask, Failure, Life, PeerState, Probe, Refute, Tell
from hub.peering.detector import Detector
from shared.errors import BadInput

BEGIN = 1000.0


class Bench:
    """A detector that is ticked as promised, peers that answer by script, and what it did."""

    def __init__(self, *peers: str) -> None:
        self.now = BEGIN
        self.detector = Detector("hub-1", "one", 1, BEGIN)
        self.silent: dict[str, Failure] = {}
        self.mute: set[str] = set()
        self.actions: list[object] = []
        self.beats: dict[str, int] = {}
        for peer in peers:
            self.detector.expect(peer, BEGIN)

    def life(self, peer: str) -> Life:
        self.beats[peer] = self.beats.get(peer, 0) + 1
        return Life(f"{peer}.1", 1, self.beats[peer])

    def run(self, seconds: float) -> None:
        """Let time pass in ticks; every probe is answered or fails at once, as `silent` says."""
        end = self.now + seconds
        while self.now < end:
            for action in self.detector.tick(self.now):
                self.actions.append(action)
                if isinstance(action, Probe):
                    self._probe(action.peer)
            self.now = min(max(self.detector.next_at, self.now + 0.001), end)
        self.actions.extend(self.detector.tick(self.now))

    def _probe(self, peer: str) -> None:
        self.detector.sent(peer, self.now)
        if peer in self.silent:
            self.detector.failed(peer, self.now, self.now, self.silent[peer])
        elif peer not in self.mute:
            self.detector.answered(peer, self.now, 0.001, self.life(peer))

    def row(self, hub: str, about: str, state: PeerState, heard_age_s: float | None) -> None:
        """A row of a peer that says this of another one."""
        life = self.life(hub)
        beat = self.beats.get(about, 0)
        entry = Entry(about, state, 1.0, None, heard_age_s, None, 3, "timeout", "x", 1, beat)
        row = Row(hub, life.instance, life.incarnation, life.beat, [entry])
        self.detector.take_row(row, hub, self.now)

    def told(self) -> list[str]:
        return [each.name for each in self.actions if isinstance(each, Tell)]

    def state(self, peer: str) -> PeerState:
        return self.detector.state(peer)


def dying(bench: Bench, peer: str, seconds: float, *agreeing: str) -> None:
    """The peer refuses for this long, and the others say all along that they miss it, too."""
    bench.silent[peer] = Failure.REFUSED
    for second in range(int(seconds * 2)):
        for hub in agreeing:
            bench.row(hub, peer, PeerState.AVOID, second * 0.5)
        bench.run(0.5)


def test_a_peer_is_unknown_until_it_answers_and_then_alive() -> None:
    bench = Bench("hub-2")
    assert bench.state("hub-2") is PeerState.UNKNOWN
    bench.run(0.5)
    assert bench.state("hub-2") is PeerState.ALIVE


def test_its_own_request_says_that_it_lives_but_not_that_we_reach_it() -> None:
    bench = Bench("hub-2")
    bench.mute.add("hub-2")
    bench.detector.heard("hub-2", bench.now, bench.life("hub-2"))
    bench.run(0.5)
    assert bench.state("hub-2") is PeerState.UNKNOWN
    (verdict,) = bench.detector.verdicts(bench.now)
    assert verdict.reached_age_s is None
    assert verdict.heard_age_s == pytest.approx(0.5)


def test_a_refusal_is_enough_to_avoid_and_one_answer_to_come_back() -> None:
    bench = Bench("hub-2")
    bench.run(1.0)
    bench.silent["hub-2"] = Failure.REFUSED
    bench.run(0.61)
    assert bench.state("hub-2") is PeerState.AVOID
    bench.silent.clear()
    bench.run(0.61)
    assert bench.state("hub-2") is PeerState.ALIVE
    assert bench.told() == []


@pytest.mark.parametrize(("lost", "state"), [(1, PeerState.ALIVE), (2, PeerState.AVOID)])
def test_one_lost_request_is_nothing_and_two_in_a_row_are_avoided(
    lost: int, state: PeerState
) -> None:
    bench = Bench("hub-2")
    bench.run(1.0)
    bench.now += 0.01
    for _ in range(lost):
        bench.detector.failed("hub-2", bench.now, bench.now, Failure.TIMEOUT)
    assert bench.state("hub-2") is state


def test_a_time_out_that_a_later_answer_overtook_is_no_miss() -> None:
    bench = Bench("hub-2")
    bench.run(1.0)
    for _ in range(5):
        bench.detector.failed("hub-2", bench.now, BEGIN, Failure.TIMEOUT)
    assert bench.state("hub-2") is PeerState.ALIVE


def test_of_two_hubs_one_declares_the_other_dead_on_its_own_evidence() -> None:
    bench = Bench("hub-2")
    bench.run(2.0)
    bench.silent["hub-2"] = Failure.TIMEOUT
    bench.run(6.4)
    assert bench.state("hub-2") is PeerState.AVOID
    bench.run(1.6)
    assert bench.state("hub-2") is PeerState.DEAD
    (tell,) = [each for each in bench.actions if isinstance(each, Tell)]
    assert tell.name == "peer.dead"
    assert tell.facts["peer"] == "hub-2"
    assert tell.facts["observers"] == "hub-1"


def test_of_two_hubs_one_that_has_no_route_is_isolated_and_declares_nobody_dead() -> None:
    bench = Bench("hub-2")
    bench.run(6.0)
    bench.silent["hub-2"] = Failure.UNROUTABLE
    bench.run(60.0)
    assert bench.detector.next_row(bench.now).isolated
    assert bench.state("hub-2") is PeerState.AVOID
    bench.silent.clear()
    bench.run(2.0)
    assert not bench.detector.next_row(bench.now).isolated
    assert bench.told() == ["hub.isolated", "hub.rejoined"]


def test_of_three_hubs_one_alone_does_not_bury_another() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    bench.silent["hub-2"] = Failure.REFUSED
    bench.run(60.0)
    assert bench.state("hub-2") is PeerState.AVOID


def test_two_observers_bury_a_hub_and_are_named() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    dying(bench, "hub-2", 8.0, "hub-3")
    assert bench.state("hub-2") is PeerState.DEAD
    dead = next(each for each in bench.detector.verdicts(bench.now) if each.peer == "hub-2")
    assert dead.observers == ("hub-1", "hub-3")
    assert dead.failure == "refused"


def test_a_hub_that_is_away_by_plan_is_avoided_and_dies_only_when_its_time_is_over() -> None:
    bench, held = Bench("hub-2", "hub-3"), {"hub-3"}
    bench.detector.is_held = held.__contains__
    bench.run(5.0)
    dying(bench, "hub-3", 30.0, "hub-2")
    assert bench.state("hub-3") is PeerState.AVOID
    assert bench.told() == []
    held.clear()
    dying(bench, "hub-3", 6.0, "hub-2")
    assert bench.state("hub-3") is PeerState.DEAD
    (dead,) = [each for each in bench.actions if isinstance(each, Tell)]
    assert (dead.name, dead.facts["peer"]) == ("peer.dead", "hub-3")
    assert dead.facts["silent_seconds"] >= 30.0


def test_a_hub_that_another_one_hears_is_avoided_and_never_dead() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    bench.silent["hub-2"] = Failure.TIMEOUT
    for _ in range(40):
        bench.life("hub-2")
        bench.row("hub-3", "hub-2", PeerState.ALIVE, 0.1)
        bench.run(0.5)
    assert bench.state("hub-2") is PeerState.AVOID


def test_the_same_beat_told_again_is_no_sign_of_life() -> None:
    bench = Bench("hub-2", "hub-3", "hub-4")
    bench.run(2.0)
    bench.silent["hub-2"] = Failure.REFUSED
    for second in range(16):
        bench.row("hub-3", "hub-2", PeerState.ALIVE, 0.1)
        bench.row("hub-4", "hub-2", PeerState.AVOID, second * 0.5)
        bench.run(0.5)
    assert bench.state("hub-2") is PeerState.DEAD


def test_a_helper_that_reaches_the_peer_keeps_it_from_death() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    bench.silent["hub-2"] = Failure.TIMEOUT
    bench.run(2.0)
    asked = [each for each in bench.actions if isinstance(each, Ask)]
    assert {(each.via, each.about) for each in asked} == {("hub-3", "hub-2")}
    for _ in range(20):
        bench.detector.indirect("hub-3", "hub-2", bench.now, bench.life("hub-2"))
        bench.run(0.5)
    assert bench.state("hub-2") is PeerState.AVOID


def test_a_helper_that_fails_twice_is_the_second_observer() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    bench.silent["hub-2"] = Failure.REFUSED
    for _ in range(8):
        bench.detector.indirect("hub-3", "hub-2", bench.now, None)
        bench.run(1.0)
    assert bench.state("hub-2") is PeerState.DEAD


def test_a_dead_hub_is_contacted_for_ever_and_alive_at_its_first_answer() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    dying(bench, "hub-2", 8.0, "hub-3")
    bench.actions.clear()
    bench.run(60.0)
    probes = [each for each in bench.actions if each == Probe("hub-2", 0.5)]
    assert 55 <= len(probes) <= 65
    bench.silent.clear()
    bench.run(1.1)
    assert bench.state("hub-2") is PeerState.ALIVE
    assert bench.told() == ["peer.alive"]


@pytest.mark.parametrize("is_new", [False, True])
def test_a_return_tells_whether_the_hub_started_anew(is_new: bool) -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    dying(bench, "hub-2", 8.0, "hub-3")
    bench.actions.clear()
    life = Life("another" if is_new else "hub-2.1", 2, 1)
    bench.detector.answered("hub-2", bench.now, 0.001, life)
    bench.run(0.2)
    (tell,) = [each for each in bench.actions if isinstance(each, Tell)]
    expected = "with a new start, and it answers" if is_new else "it answers again"
    assert tell.facts["how"] == expected


def test_a_dead_hub_that_another_hears_again_lives_and_is_probed_at_once() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    dying(bench, "hub-2", 8.0, "hub-3")
    bench.run(10.0)
    bench.actions.clear()
    bench.life("hub-2")
    bench.row("hub-3", "hub-2", PeerState.ALIVE, 0.0)
    assert bench.state("hub-2") is PeerState.AVOID
    assert Probe("hub-2", 0.5) in bench.detector.tick(bench.now)


def test_news_from_before_its_death_wakes_nobody() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    dying(bench, "hub-2", 8.0, "hub-3")
    bench.run(10.0)
    bench.life("hub-2")
    bench.row("hub-3", "hub-2", PeerState.DEAD, 18.0)
    assert bench.state("hub-2") is PeerState.DEAD


def test_a_hub_that_hears_itself_called_dead_raises_its_incarnation_once() -> None:
    bench = Bench("hub-2")
    bench.run(1.0)
    bench.actions.clear()
    called = Entry("hub-1", PeerState.DEAD, 1.0, instance="one", incarnation=5, beat=9)
    for beat in (100, 101, 102):
        bench.detector.take_row(Row("hub-2", "hub-2.1", 1, beat, [called]), "hub-2", bench.now)
    bench.run(0.3)
    assert [each for each in bench.actions if isinstance(each, Refute)] == [Refute(6)]
    assert bench.detector.next_life().incarnation == 6
    assert bench.told() == ["hub.refuted"]


def test_a_hub_that_lost_its_count_takes_a_later_life_than_the_one_others_remember() -> None:
    bench = Bench("hub-2")
    remembered = Entry("hub-1", PeerState.ALIVE, 1.0, instance="before", incarnation=7, beat=9)
    bench.detector.take_row(Row("hub-2", "hub-2.1", 1, 1, [remembered]), "hub-2", bench.now)
    assert bench.detector.next_life().incarnation == 8


def test_our_own_stall_makes_nobody_silent() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    stalled_at = bench.now
    bench.now += 30.0
    for peer in ("hub-2", "hub-3"):
        for _ in range(3):
            bench.detector.failed(peer, bench.now, stalled_at, Failure.TIMEOUT)
    bench.mute = {"hub-2", "hub-3"}
    bench.run(1.0)
    assert [each.state for each in bench.detector.verdicts(bench.now)] == [PeerState.ALIVE] * 2
    assert bench.detector.health.factor(bench.now) == 8.0
    assert not bench.detector.is_isolated
    bench.mute.clear()
    bench.run(30.0)
    assert bench.detector.health.factor(bench.now) == 1.0


def test_a_hub_that_reaches_nobody_says_so_and_buries_nobody() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(6.0)
    bench.silent = {"hub-2": Failure.TIMEOUT, "hub-3": Failure.TIMEOUT}
    bench.run(3600.0)
    assert bench.detector.is_isolated
    assert bench.detector.next_row(bench.now).isolated
    assert {each.state for each in bench.detector.verdicts(bench.now)} == {PeerState.AVOID}
    assert bench.told() == ["hub.isolated"]


def test_the_word_of_an_isolated_hub_counts_for_nothing() -> None:
    bench = Bench("hub-2", "hub-3")
    bench.run(2.0)
    bench.silent["hub-2"] = Failure.REFUSED
    for _ in range(20):
        life = bench.life("hub-3")
        entry = Entry("hub-2", PeerState.DEAD, 30.0, None, 30.0)
        row = Row("hub-3", life.instance, 1, life.beat, [entry], isolated=True)
        bench.detector.take_row(row, "hub-3", bench.now)
        bench.run(0.5)
    assert bench.state("hub-2") is PeerState.AVOID


def test_flapping_is_told_seldom_and_the_last_state_always() -> None:
    bench = Bench("hub-2")
    bench.run(2.0)
    for _ in range(20):
        bench.silent["hub-2"] = Failure.REFUSED
        bench.run(8.0)
        assert bench.state("hub-2") is PeerState.DEAD
        bench.silent.clear()
        bench.run(1.1)
        assert bench.state("hub-2") is PeerState.ALIVE
    assert bench.detector.news.deaths == 20
    assert 4 <= len(bench.told()) <= 6
    bench.run(300.0)
    assert bench.told()[-1] == "peer.alive"


def test_a_forgotten_peer_is_gone_and_an_address_takes_its_name() -> None:
    bench = Bench("https://one:1", "hub-3")
    bench.detector.rename("https://one:1", "hub-2")
    bench.detector.forget("hub-3")
    assert [each.peer for each in bench.detector.verdicts(bench.now)] == ["hub-2"]
    bench.detector.rename("hub-2", "hub-1")
    assert bench.detector.verdicts(bench.now) == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (Row("hub-3", "i", 1, 1, []), "in the name of hub-3"),
        (Row("hub-2", "i", 1, 1, [Entry("hub-2", PeerState.DEAD)]), "itself"),
        (Row("hub-2", "i", 1, 1, [Entry("hub-3", PeerState.DEAD)] * 2), "twice"),
        (Row("hub-2", "i", 1, 1, [Entry("<b>", PeerState.DEAD)]), "not the name of a hub"),
    ],
)
def test_a_row_that_is_not_the_senders_to_say_is_refused(row: Row, why: str) -> None:
    bench = Bench("hub-2", "hub-3")
    with pytest.raises(BadInput, match=why):
        bench.detector.take_row(row, "hub-2", bench.now)
