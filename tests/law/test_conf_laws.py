"""Replicated settings: hubs that saw the same hold the same bytes, and hubs that talk come to agree."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hub.conf.book import ConfBook
from hub.conf.section import read_section, write_section
from hub.conf.versions import Name, Versions
from shared.conf import Entry, canonical, content_hash, later
from shared.conf_report import Age
from shared.stamp import HybridClock
from tests.examples import examples
from tests.law.drawing import patient, small, stamps

values = st.none() | st.booleans() | small | st.floats(0, 2) | st.text("xy", max_size=2)
HISTORY = 3
"""So short that old versions go."""

entries = st.builds(
    Entry,
    st.sampled_from(("hubs", "edges", "edges:role=web", "later:kind")),
    st.sampled_from(("log_level", "tail", "not.known.yet")),
    values,
    stamps,
    st.sampled_from(("ann", "bob")),
    small,
    st.booleans(),
    values,
    st.dictionaries(st.sampled_from("mn"), small, max_size=1),
)
some = st.lists(entries, max_size=12)


def versions_of(*groups: list[Entry]) -> Versions:
    """What a hub holds after these came, in this order."""
    versions = Versions(HISTORY)
    for group in groups:
        for entry in group:
            versions.join(entry)
    return versions


def held(versions: Versions) -> list[Entry]:
    """All that a hub could tell another one."""
    return list(versions.by_name.values())


@patient
@given(some, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(group: list[Entry], luck: Random) -> None:
    shuffled = [*group, *group]
    luck.shuffle(shuffled)
    one, other = versions_of(group), versions_of(shuffled)
    assert one.to_bytes() == other.to_bytes()
    assert one.hash == other.hash
    assert list(map(canonical, one.newest_first())) == list(map(canonical, other.newest_first()))


@patient
@given(some, some)
def test_two_hubs_that_tell_each_other_hold_the_same(left: list[Entry], right: list[Entry]) -> None:
    ours, theirs = versions_of(left), versions_of(right)
    joined, other = versions_of(left, held(theirs)), versions_of(right, held(ours))
    assert joined.to_bytes() == other.to_bytes() == versions_of(left, right).to_bytes()


@patient
@given(some, some, some)
def test_the_grouping_of_what_comes_changes_nothing(
    first: list[Entry], second: list[Entry], third: list[Entry]
) -> None:
    early = versions_of(held(versions_of(first, second)), third)
    late = versions_of(first, held(versions_of(second, third)))
    assert early.to_bytes() == late.to_bytes()


@patient
@given(some)
def test_what_is_known_already_is_no_news(group: list[Entry]) -> None:
    versions = versions_of(group)
    before = versions.to_bytes()
    for entry in [*group, *held(versions)]:
        assert versions.join(entry) == (False, [])
    assert versions.to_bytes() == before


@patient
@given(some)
def test_for_each_place_the_latest_stamp_is_in_force(group: list[Entry]) -> None:
    versions = versions_of(group)
    for place, entry in versions.current.items():
        assert entry.stamp == max(each.stamp for each in group if each.place == place)
    assert versions.current.keys() == {entry.place for entry in group}
    assert versions.hash == content_hash(versions.current.values())


@patient
@given(some)
def test_the_history_is_the_newest_versions_and_no_more(group: list[Entry]) -> None:
    versions = versions_of(group)
    names = sorted({(each.stamp, *each.place) for each in group}, reverse=True)
    found = [(each.stamp, *each.place) for each in versions.newest_first()]
    assert found == names[:HISTORY]
    assert len(versions.by_name) <= HISTORY + len(versions.current)


@patient
@given(some)
def test_what_went_is_told_once_and_is_gone(group: list[Entry]) -> None:
    """A store that follows these words holds exactly what the hub holds."""
    versions = Versions(HISTORY)
    store: dict[Name, Entry] = {}
    for entry in group:
        is_news, dropped = versions.join(entry)
        name = (entry.stamp, *entry.place)
        if is_news and name in versions.by_name:
            store[name] = versions.by_name[name]
        for gone in dropped:
            store.pop(gone, None)
    assert {name: canonical(each) for name, each in store.items()} == {
        name: canonical(each) for name, each in versions.by_name.items()
    }


@patient
@given(entries, entries)
def test_equal_stamps_have_one_winner_everywhere(one: Entry, other: Entry) -> None:
    assert canonical(later(one, other)) == canonical(later(other, one))


@patient
@given(some, some)
def test_who_knows_more_is_never_less(first: list[Entry], second: list[Entry]) -> None:
    """So the greater age is that of the hub that an edge should follow."""
    few, more = versions_of(first), versions_of(first, second)
    assert few.age <= more.age
    if few.age == more.age:
        before = {place: each.stamp.hub_id for place, each in few.current.items()}
        after = {place: each.stamp.hub_id for place, each in more.current.items()}
        # Only stamps that differ in nothing but the hub, or ZERO, add nothing.
        grown = {place for place in after if after[place] != before.get(place)}
        assert all(place not in before or after[place] >= before[place] for place in grown)
    assert few.age >= Age()


class Hub:
    """A hub as far as its settings go. A restart keeps what was saved, under new numbers."""

    def __init__(self, name: str) -> None:
        self.name, self.lives = name, 0
        self.disk: dict[Name, Entry] = {}
        self.begin()

    def begin(self) -> None:
        self.clock = HybridClock(self.name)
        versions = Versions(HISTORY)
        self.book = ConfBook(f"{self.name}#{self.lives}", self.clock.witness, versions)
        self.book.load(self.disk.values())

    def restart(self, *, empty: bool) -> None:
        self.save()
        self.lives += 1
        if empty:
            self.disk = {}
        self.begin()

    def save(self) -> None:
        unsaved = self.book.take_unsaved()
        for name in unsaved.dropped:
            self.disk.pop(name, None)
        self.disk |= {(each.stamp, *each.place): each for each in unsaved.entries}

    def tell(self, peer: "Hub", *, lost: bool) -> None:
        """One message, over a network that may lose it."""
        body = write_section(self.book.section_for(peer.name))
        if not lost:
            peer.book.take(read_section(body), self.name)


class Books(RuleBasedStateMachine):
    """Hubs write settings, talk badly, lose disks and restart; once they talk well, they agree."""

    @initialize()
    def start(self) -> None:
        self.hubs = [Hub("hub-1"), Hub("hub-2"), Hub("hub-3")]
        self.wall_ms = 0

    @rule(index=st.integers(0, 2), key=st.sampled_from("abc"), value=small, gone=st.booleans())
    def writes(self, index: int, key: str, value: int, gone: bool) -> None:
        hub = self.hubs[index]
        stamp = hub.clock.next(self.wall_ms)
        hub.book.add(Entry("edges", key, None if gone else value, stamp, "ann", self.wall_ms, gone))

    @rule(wall_ms=st.integers(0, 20))
    def time_passes_or_is_set_back(self, wall_ms: int) -> None:
        self.wall_ms = wall_ms

    @rule(pair=st.permutations((0, 1, 2)), lost=st.booleans())
    def talk(self, pair: list[int], lost: bool) -> None:
        self.hubs[pair[0]].tell(self.hubs[pair[1]], lost=lost)

    @rule(index=st.integers(0, 2), empty=st.booleans())
    def restarts(self, index: int, empty: bool) -> None:
        self.hubs[index].restart(empty=empty)

    @rule()
    def all_talk_well_and_agree(self) -> None:
        for _ in range(6):
            for hub in self.hubs:
                for peer in self.hubs:
                    if peer is not hub:
                        hub.tell(peer, lost=False)
        first = self.hubs[0].book.versions
        assert {hub.book.versions.hash for hub in self.hubs} == {first.hash}
        assert {hub.book.versions.to_bytes() for hub in self.hubs} == {first.to_bytes()}
        assert all(not hub.book.parked for hub in self.hubs)

    @invariant()
    def the_disk_follows(self) -> None:
        for hub in self.hubs:
            hub.save()
            held_now = {name: canonical(each) for name, each in hub.book.versions.by_name.items()}
            assert {name: canonical(each) for name, each in hub.disk.items()} == held_now

    @invariant()
    def nothing_was_repaired(self) -> None:
        """Repairs are for faults, and there are none here."""
        assert all(hub.book.counters["repairs"] == 0 for hub in self.hubs)


TestBooks = Books.TestCase
TestBooks.settings = settings(patient, max_examples=examples(40), stateful_step_count=30)


@patient
@given(some)
def test_a_hub_that_lost_a_setting_without_noticing_is_repaired(group: list[Entry]) -> None:
    one, other = Hub("hub-1"), Hub("hub-2")
    for entry in group:
        one.book.add(entry)
    for _ in range(4):
        one.tell(other, lost=False)
        other.tell(one, lost=False)
    for place in list(other.book.versions.current)[:1]:
        name = (other.book.versions.current[place].stamp, *place)
        del other.book.versions.current[place]
        other.book.versions.by_name.pop(name)
        other.book.versions._recent[:] = [n for n in other.book.versions._recent if n != name]
        other.book.versions._hash = ""
        other.book._changed.pop(name)
    for _ in range(4):
        one.tell(other, lost=False)
        other.tell(one, lost=False)
    assert one.book.versions.hash == other.book.versions.hash
    assert other.book.counters["repairs"] == (1 if group else 0)
