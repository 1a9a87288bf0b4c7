"""Views: hubs compare what they believe, and only what stays different is called a disagreement."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.nodes.tombstones import tombstone
from hub.peering.view_calls import ViewCalls
from hub.peering.view_digest import BUCKETS, NodeDigest, bucket_of
from hub.peering.view_section import HubBelief, ViewSection, read_view
from hub.peering.views import ROUNDS_MAX, Event, ViewBook
from shared.errors import BadInput, RpcError
from shared.merge import Facts, Intent, NodeRecord, Observation
from shared.stamp import Stamp

ALIVE, DEAD = HubBelief("alive", "a"), HubBelief("dead", "a")


def node(name: str, number: int = 1) -> NodeRecord:
    return NodeRecord(name, Facts(1, number, {"os": "linux"}))


def book(hub_id: str, *names: str, hubs: dict[str, HubBelief] | None = None) -> ViewBook:
    made = ViewBook(hub_id)
    for name in names:
        made.digest.note(None, node(name))
    made.believe(hubs or {"hub-1": ALIVE, "hub-2": ALIVE}, {"online": len(names)})
    return made


def exchange(one: ViewBook, two: ViewBook, now: float) -> list[Event]:
    """A round of gossip; returns what the first one tells."""
    to_two, to_one = one.of_mine(two.hub_id), two.of_mine(one.hub_id)
    two.take(read_view(msgspec.json.encode(to_two)), one.hub_id, now)
    return [*one.take(read_view(msgspec.json.encode(to_one)), two.hub_id, now), *one.round(now)]


def rounds(one: ViewBook, two: ViewBook, begin: int, end: int) -> list[Event]:
    return [event for now in range(begin, end) for event in exchange(one, two, float(now))]


# ---- the digest


def test_a_beat_changes_no_digest_and_a_wish_does() -> None:
    digest, record = NodeDigest(), node("edge-1")
    digest.note(None, record)
    before = digest.root()
    beaten = msgspec.structs.replace(record, observation=Observation(1, 2, 3, "hub-1", {}))
    digest.note(record, beaten)
    assert digest.root() == before
    wished = msgspec.structs.replace(
        beaten, intent={"draining": Intent(True, Stamp(1, 0, "hub-1"))}
    )
    digest.note(beaten, wished)
    assert digest.root() != before
    assert list(digest.in_bucket(bucket_of("edge-1"))) == ["edge-1"]


def test_a_tombstone_counts_as_no_record_so_that_hubs_may_let_it_go_at_different_times() -> None:
    kept, gone = NodeDigest(), NodeDigest()
    for digest in (kept, gone):
        digest.note(None, node("edge-1"))
    kept.note(node("edge-1"), tombstone("edge-1", Stamp(1, 0, "hub-1")))
    assert kept.root() != gone.root()
    gone.drop("edge-1")
    assert kept.root() == gone.root() == NodeDigest().root()


def test_whether_a_node_is_heard_or_silent_is_part_of_a_view_and_how_late_it_is_not() -> None:
    one, two = book("hub-1", "edge-1"), book("hub-2", "edge-1")
    for state in ("offline", "unknown"):
        one.digest.judge("edge-1", state)
        assert one.digest.root() == two.digest.root()
    one.digest.judge("edge-1", "online")
    assert one.digest.root() != two.digest.root()
    two.digest.judge("edge-1", "suspect")
    assert one.digest.root() == two.digest.root()
    one.digest.note(node("edge-1"), node("edge-1", 2))
    two.digest.note(node("edge-1"), node("edge-1", 2))
    assert one.digest.root() == two.digest.root()
    assert one.digest.in_bucket(bucket_of("edge-1"))["edge-1"].startswith("heard ")


def test_verdicts_on_two_nodes_of_a_bucket_never_cancel_out() -> None:
    other = next(name for name in names_of(bucket_of("edge-1")) if name != "edge-1")
    one, two = book("hub-1", "edge-1", other), book("hub-2", "edge-1", other)
    one.digest.judge("edge-1", "online")
    two.digest.judge(other, "online")
    assert one.digest.root() != two.digest.root()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["edge-1", "edge-2", "edge-3"]),
            st.sampled_from([1, 2, 3, "online", "late", "offline", "unknown", "drop"]),
        ),
        max_size=30,
    )
)
def test_a_digest_follows_each_change_as_if_it_were_made_from_scratch(
    changes: list[tuple[str, int | str]],
) -> None:
    digest, facts, states = NodeDigest(), dict[str, int](), dict[str, str]()
    for name, change in changes:
        if isinstance(change, int):
            digest.note(None, node(name, change))
            facts[name] = change
        elif change == "drop":
            digest.drop(name)
            facts.pop(name, None)
            states.pop(name, None)
        else:
            digest.judge(name, change)
            states.update({name: change} if name in facts else {})
    scratch = NodeDigest()
    for name, number in facts.items():
        scratch.note(None, node(name, number))
        scratch.judge(name, states.get(name, "unknown"))
    assert (digest.buckets, len(digest)) == (scratch.buckets, len(scratch))


def test_a_peer_that_says_nothing_any_more_is_a_difference_with_its_age() -> None:
    one, two = book("hub-1", "edge-1"), book("hub-2", "edge-1", "edge-2")
    rounds(one, two, 0, 10)
    (silent,) = one.differences(20.0)
    assert (silent["about"], silent["subject"], silent["since_s"]) == ("silence", "hub-2", 11.0)


# ---- nodes


def test_hubs_with_equal_records_send_no_buckets() -> None:
    one, two = book("hub-1", "edge-1", "edge-2"), book("hub-2", "edge-2", "edge-1")
    assert rounds(one, two, 0, 10) == []
    assert one.of_mine("hub-2").buckets == ""
    assert len(msgspec.json.encode(one.of_mine("hub-2"))) < 200
    assert one.to_wire(9.0)["differences"] == []


def test_records_that_stay_different_are_told_once_and_once_when_they_agree() -> None:
    one, two = book("hub-1", "edge-1", "edge-2"), book("hub-2", "edge-1")
    told = rounds(one, two, 0, 20)
    assert [name for name, _ in told] == ["views.differ"]
    assert told[0][1]["subject"] == "hub-2"
    (difference,) = one.differences(20.0)
    assert difference["disagreement"]
    assert difference["buckets"] == [bucket_of("edge-2")]
    assert difference["rounds"] > ROUNDS_MAX
    two.digest.note(None, node("edge-2"))
    assert [name for name, _ in rounds(one, two, 20, 23)] == ["views.agree"]
    assert one.differences(23.0) == []


def test_news_that_are_always_on_their_way_are_no_disagreement() -> None:
    """At each look some node of the bucket has just changed: each time it is another difference."""
    one, two = book("hub-1", "edge-1"), book("hub-2", "edge-1")
    told: list[Event] = []
    for number in range(2, 40):
        one.digest.note(None, node("edge-1", number))
        told += exchange(one, two, float(number))
        two.digest.note(None, node("edge-1", number - 1))
    assert told == []
    assert one.differences(40.0)


def test_many_messages_within_a_second_are_one_round() -> None:
    one, two = book("hub-1", "edge-1", "edge-2"), book("hub-2", "edge-1")
    told = [event for n in range(50) for event in exchange(one, two, n / 50)]
    assert told == []
    assert [name for name, _ in rounds(one, two, 1, 9)] == ["views.differ"]


def test_a_stuck_record_is_found_among_news_in_the_same_bucket() -> None:
    stuck = next(name for name in names_of(bucket_of("edge-1")) if name != "edge-1")
    one, two = book("hub-1", "edge-1", stuck), book("hub-2", "edge-1")
    told: list[Event] = []
    for number in range(2, 60):
        one.digest.note(None, node("edge-1", number // 10))
        told += exchange(one, two, float(number))
        two.digest.note(None, node("edge-1", number // 10))
    assert [name for name, _ in told] == ["views.differ"]


def names_of(bucket: int) -> list[str]:
    return [name for name in (f"edge-{n}" for n in range(2000)) if bucket_of(name) == bucket]


def test_equal_since_needs_every_bucket_of_every_hub_to_have_been_equal() -> None:
    one, two = book("hub-1", "edge-1"), book("hub-2", "edge-1", "edge-2")
    rounds(one, two, 0, 5)
    assert not one.are_equal_since(0.0, ("hub-1", "hub-2"))
    one.digest.note(None, node("edge-2"))
    rounds(one, two, 5, 6)
    assert one.are_equal_since(5.0, ("hub-1", "hub-2"))
    assert not one.are_equal_since(5.0, ("hub-1", "hub-2", "hub-3"))
    assert not one.are_equal_since(6.0, ("hub-1", "hub-2"))


# ---- hubs


def test_hubs_that_believe_otherwise_of_a_hub_for_over_three_rounds_disagree() -> None:
    one = book("hub-1", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": DEAD})
    two = book("hub-2", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": ALIVE})
    assert rounds(one, two, 0, ROUNDS_MAX) == []
    (told,) = rounds(one, two, ROUNDS_MAX, 20)
    assert told[0] == "views.differ"
    assert told[1]["by"] == {"hub-1": "dead", "hub-2": "alive"}
    (difference,) = one.differences(20.0)
    assert (difference["subject"], difference["since_s"]) == ("hub-3", 20.0)
    two.believe({**two.hubs, "hub-3": DEAD}, {})
    assert [name for name, _ in rounds(one, two, 20, 22)] == ["views.agree"]


def test_hubs_need_not_agree_why_another_one_is_not_there() -> None:
    one = book("hub-1", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": DEAD})
    for state in ("leaving", "unknown"):
        said = {"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": HubBelief(state, "b")}
        assert rounds(one, book("hub-2", hubs=said), 0, 10) == []


def test_a_hub_of_which_one_never_heard_and_another_life_are_differences_too() -> None:
    one = book("hub-1", hubs={"hub-1": ALIVE, "hub-2": HubBelief("alive", "b"), "hub-3": ALIVE})
    two = book("hub-2")
    rounds(one, two, 0, 1)
    assert {row["subject"] for row in one.differences(1.0)} == {"hub-2", "hub-3"}


def test_hubs_that_know_two_lives_of_a_hub_tell_which() -> None:
    """Both say that it is alive: equal words would be told as different ones."""
    one = book("hub-1", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": HubBelief("alive", "old")})
    two = book("hub-2", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": HubBelief("alive", "new")})
    ((name, facts),) = rounds(one, two, 0, 10)
    assert (name, facts["subject"]) == ("views.differ", "hub-3")
    assert facts["by"] == {"hub-1": "alive in life old", "hub-2": "alive in life new"}
    (row,) = one.differences(10.0)
    assert row["says"] == facts["by"]


def test_a_life_that_was_not_heard_yet_is_no_other_life() -> None:
    one = book("hub-1", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": ALIVE})
    said = {"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": HubBelief("alive", "")}
    assert rounds(one, book("hub-2", hubs=said), 0, 20) == []
    assert one.differences(20.0) == []


BELIEFS = st.builds(
    HubBelief,
    st.sampled_from(["alive", "avoid", "dead", "leaving", "unknown"]),
    st.sampled_from(["", "a", "b"]),
)


@given(BELIEFS, BELIEFS)
def test_what_is_told_as_differing_is_told_in_different_words(
    mine: HubBelief, theirs: HubBelief
) -> None:
    one = book("hub-1", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": mine})
    two = book("hub-2", hubs={"hub-1": ALIVE, "hub-2": ALIVE, "hub-3": theirs})
    for _, facts in rounds(one, two, 0, 10):
        assert len(set(facts["by"].values())) == 2


def test_what_a_hub_said_long_ago_is_shown_with_its_age_and_not_compared() -> None:
    one = book("hub-1", hubs={"hub-1": ALIVE, "hub-2": DEAD})
    exchange(one, book("hub-2"), 0.0)
    told = [event for now in range(4, 20) for event in one.round(float(now))]
    assert told == []
    row = next(row for row in one.to_wire(20.0)["views"] if row["hub"] == "hub-2")
    assert (row["fresh"], row["age_s"]) == (False, 20.0)
    assert row["nodes_equal"] is None, "nobody knows whether it is still equal"


def test_a_forgotten_hub_is_shown_no_more() -> None:
    one = book("hub-1", "edge-1")
    exchange(one, book("hub-2"), 0.0)
    one.forget("hub-2")
    assert [row["hub"] for row in one.to_wire(1.0)["views"]] == ["hub-1"]


# ---- what comes from a peer


@given(st.binary(max_size=400))
def test_any_bytes_are_a_view_or_bad_input(body: bytes) -> None:
    try:
        read_view(body)
    except BadInput:
        return


@pytest.mark.parametrize("buckets", ["!!!!", "AAAA", "A" * (4 * BUCKETS)])
def test_buckets_that_are_no_buckets_are_refused(buckets: str) -> None:
    section = ViewSection({}, "0" * 16, buckets=buckets)
    with pytest.raises(BadInput):
        read_view(msgspec.json.encode(section))
    with pytest.raises(BadInput):
        ViewBook("hub-1").take(section, "hub-2", 0.0)


def test_a_view_of_too_many_hubs_is_refused() -> None:
    hubs = {f"hub-{number}": ALIVE for number in range(40)}
    with pytest.raises(BadInput):
        read_view(msgspec.json.encode(ViewSection(hubs, "0" * 16)))


def test_fields_of_a_newer_hub_are_passed_over() -> None:
    told = msgspec.to_builtins(ViewSection({}, "0" * 16))
    assert read_view(msgspec.json.encode({**told, "mood": "good"})).root == "0" * 16


# ---- methods


async def test_the_nodes_that_two_hubs_hold_differently_are_listed_on_demand() -> None:
    one, two = book("hub-1", "edge-1", "edge-2"), book("hub-2", "edge-1", "edge-3")
    rounds(one, two, 0, 3)

    async def nobody(hub: str, method: str, params: dict[str, object]) -> dict[str, object]:
        raise AssertionError

    there = ViewCalls(two, nobody)

    async def ask(hub: str, method: str, params: dict[str, object]) -> dict[str, object]:
        assert (hub, method) == ("hub-2", "hub.views.bucket")
        return await there.hub_views_bucket(params)

    answer = await ViewCalls(one, ask).hub_views({"hub": "hub-2"})
    held = {row["node_id"]: (bool(row["mine"]), bool(row["theirs"])) for row in answer["nodes"]}
    assert held == {"edge-2": (True, False), "edge-3": (False, True)}
    assert "nodes" not in await ViewCalls(one, nobody).hub_views({})


async def test_strange_listings_and_unknown_hubs_are_errors_of_ours() -> None:
    one = book("hub-1")
    exchange(one, book("hub-2"), 0.0)

    async def ask(hub: str, method: str, params: dict[str, object]) -> dict[str, object]:
        return {"nodes": [1]}

    calls = ViewCalls(one, ask)
    with pytest.raises(RpcError, match="no peer is called hub-9"):
        await calls.hub_views({"hub": "hub-9"})
    with pytest.raises(RpcError, match="strange"):
        await calls.hub_views({"hub": "hub-2", "bucket": 3})


# ---- old messages


def test_a_message_that_comes_after_a_later_one_changes_nothing() -> None:
    """When a wire is back, machines send again what was said while it was out."""
    one, two = book("hub-1", "edge-1"), book("hub-2", "edge-1")
    two.believe({"hub-1": DEAD, "hub-2": ALIVE}, {})
    old = two.of_mine("hub-1")
    two.believe({"hub-1": ALIVE, "hub-2": ALIVE}, {})
    one.take(two.of_mine("hub-1"), "hub-2", 1.0)
    one.take(old, "hub-2", 2.0)
    assert one.hubs_of("hub-2")["hub-1"] == ALIVE
    assert one.peers["hub-2"].heard_at == 1.0


def test_a_hub_that_started_again_counts_anew_and_an_older_release_not_at_all() -> None:
    one, two = book("hub-1"), book("hub-2")
    for _ in range(5):
        one.take(two.of_mine("hub-1"), "hub-2", 1.0)
    anew = book("hub-2", hubs={"hub-1": DEAD, "hub-2": HubBelief("alive", "b")})
    one.take(anew.of_mine("hub-1"), "hub-2", 2.0)
    assert one.hubs_of("hub-2")["hub-1"] == DEAD
    for state in (ALIVE, DEAD):
        told = ViewSection({"hub-1": state, "hub-2": HubBelief("alive", "b")}, one.digest.root())
        one.take(told, "hub-2", 3.0)
        assert one.hubs_of("hub-2")["hub-1"] == state
