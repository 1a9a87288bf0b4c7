"""What a hub calls safe is on enough hubs; what it lacks is what a peer has and it has not."""

from collections import defaultdict

from hypothesis import given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hub.replicate import LogKey, SafeLedger, missing
from shared.ranges import Ranges
from tests.examples import examples
from tests.law.drawing import HUBS, patient, ranges_of, seq_sets

KEYS: tuple[LogKey, ...] = (("edge-1", "e1"), ("edge-2", "e1"))


class Ledger(RuleBasedStateMachine):
    """The ledger beside a naive model that remembers for each chunk who ever confirmed it."""

    @initialize(copies=st.integers(1, 3), known=st.sets(st.sampled_from(HUBS)))
    def begin(self, copies: int, known: set[str]) -> None:
        self.ledger = SafeLedger(copies, dict.fromkeys(known, 0))
        self.copies = copies
        self.confirmed = dict.fromkeys(known, 0)
        self.arrival = 0
        self.heads: dict[LogKey, int] = defaultdict(int)
        self.held: dict[LogKey, dict[int, int]] = {key: {} for key in KEYS}
        self.safe: dict[LogKey, set[int]] = {key: set() for key in KEYS}

    def _settle(self) -> None:
        """Once safe, a chunk stays safe: the edge may have let go of it."""
        needed = min(self.copies - 1, len(self.confirmed))
        for key, arrivals in self.held.items():
            for seq, arrival in arrivals.items():
                if sum(mark >= arrival for mark in self.confirmed.values()) >= needed:
                    self.safe[key].add(seq)

    @rule(key=st.sampled_from(KEYS), gap=st.integers(0, 2), count=st.integers(1, 100))
    def chunks_arrive(self, key: LogKey, gap: int, count: int) -> None:
        self.heads[key] += gap
        page = []
        for _ in range(count):
            self.arrival += 1
            self.heads[key] += 1
            self.held[key][self.heads[key]] = self.arrival
            page.append((key, self.heads[key], self.arrival))
        self.ledger.arrived(page)
        self._settle()

    @rule(peer=st.sampled_from(HUBS), share=st.floats(0, 1))
    def a_peer_confirms(self, peer: str, share: float) -> None:
        """Any number: a peer may lose its disk, and its requests may overtake each other."""
        arrival = round(self.arrival * share)
        self.ledger.confirm(peer, arrival)
        self.confirmed[peer] = arrival
        self._settle()

    @invariant()
    def what_is_called_safe_is_safe(self) -> None:
        for key in KEYS:
            held = ranges_of(set(self.held[key]))
            called_safe = held - self.ledger.unsafe(key)
            note(f"{key}: {called_safe} of {held}")
            assert set(called_safe) <= self.safe[key]

    @invariant()
    def all_is_safe_once_everything_is_confirmed(self) -> None:
        needed = min(self.copies - 1, len(self.confirmed))
        caught_up = sum(mark >= self.arrival for mark in self.confirmed.values())
        if caught_up >= needed:
            assert not any(self.ledger.unsafe(key) for key in KEYS)


Ledger.TestCase.settings = settings(patient, max_examples=examples(60), stateful_step_count=30)
TestLedger = Ledger.TestCase


logs = st.dictionaries(st.sampled_from(KEYS), seq_sets)


@patient
@given(logs, logs)
def test_what_is_missing_is_the_difference_by_log(
    theirs: dict[LogKey, frozenset[int]], mine: dict[LogKey, frozenset[int]]
) -> None:
    lacking = missing(_ranges(theirs), _ranges(mine))
    plain = {key: held - mine.get(key, frozenset()) for key, held in theirs.items()}
    assert lacking == {key: ranges_of(seqs) for key, seqs in plain.items() if seqs}


def _ranges(log: dict[LogKey, frozenset[int]]) -> dict[LogKey, Ranges]:
    return {key: ranges_of(held) for key, held in log.items()}
