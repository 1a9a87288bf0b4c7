"""The merged matrix tells a dead hub, a dead link, a one-way link and an island apart, in words."""

from dataclasses import replace
from itertools import permutations

import orjson
import pytest

from hub.peering.detect_row import Entry, Row
from hub.peering.detect_values import PeerState
from hub.peering.matrix import Finding, Matrix, SeenRow, verdicts

ALIVE, AVOID, DEAD, UNKNOWN = (
    PeerState.ALIVE,
    PeerState.AVOID,
    PeerState.DEAD,
    PeerState.UNKNOWN,
)


def entry(peer: str, state: PeerState, heard_age_s: float | None = None) -> Entry:
    if state is ALIVE:
        return Entry(peer, ALIVE, 60.0, 0.2, 0.2, 0.8)
    if state is UNKNOWN:
        return Entry(peer, UNKNOWN, 5.0)
    return Entry(peer, state, 12.0, 20.0, heard_age_s or 20.0, 0.8, 9, "timeout")


def matrix(
    count: int,
    *gone: str,
    cells: dict[tuple[str, str], Entry] | None = None,
    **ages: float,
) -> Matrix:
    """Hubs a, b, c... that all reach each other, but for these cells; `gone` have no row."""
    names = "abcdefg"[:count]
    entries = {pair: entry(pair[1], ALIVE) for pair in permutations(names, 2)} | (cells or {})
    rows = [
        Row(name, name, 1, 1, [each for (hub, _), each in entries.items() if hub == name])
        for name in names
        if name not in gone
    ]
    return Matrix(tuple(SeenRow(row, ages.get(row.hub, 0.1)) for row in rows))


def both(one: str, other: str, state: PeerState) -> dict[tuple[str, str], Entry]:
    return {(one, other): entry(other, state), (other, one): entry(one, state)}


def kinds(found: list[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.kind, each.hubs) for each in found]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_whole_mesh_has_no_findings(count: int) -> None:
    assert verdicts(matrix(count)) == []


def test_a_dead_hub_is_named_with_who_declared_it_and_why() -> None:
    cells = {("a", "c"): entry("c", DEAD), ("b", "c"): entry("c", DEAD)}
    (found,) = verdicts(matrix(3, "c", cells=cells))
    assert (found.kind, found.hubs, found.severity) == ("dead_hub", ("c",), "error")
    assert found.words == "c is dead: a and b declared it, and nobody hears it"
    assert found.evidence[0] == (
        "a says: c dead for 12 s, 9 misses in a row, the last timeout, "
        "last answered 20 s ago in 0.8 ms"
    )


def test_a_hub_that_all_miss_and_nobody_has_declared_is_silent() -> None:
    cells = {("a", "c"): entry("c", AVOID), ("b", "c"): entry("c", AVOID)}
    assert kinds(verdicts(matrix(3, "c", cells=cells))) == [("silent_hub", ("c",))]


def test_a_hub_that_is_away_by_plan_is_no_trouble_and_is_told_with_its_end() -> None:
    cells = {("a", "c"): entry("c", AVOID), ("b", "c"): entry("c", AVOID)}
    gone = matrix(3, "c", cells=cells)
    for seen in (gone, matrix(3, cells=cells, c=9.0), matrix(3, cells=cells)):
        (found,) = verdicts(replace(seen, away={"c": "2026-11-22T00:20:00.000000Z"}))
        assert (found.kind, found.severity, found.hubs) == ("away_hub", "info", ("c",))
        assert found.words == "c is away by plan until 2026-11-22 00:20:00 UTC"
    (found,) = verdicts(gone)
    assert found.severity == "warn"


@pytest.mark.parametrize(
    ("away", "told"),
    [("bc", ("alone_hub", "info")), ("b", ("isolated_hub", "error"))],
)
def test_a_hub_whose_peers_are_all_away_by_plan_is_alone_by_plan(
    away: str, told: tuple[str, str]
) -> None:
    """One that is missed without a plan makes it isolated."""
    row = Row("a", "a", 1, 1, [entry("b", AVOID), entry("c", AVOID)], isolated=True)
    seen = Matrix((SeenRow(row, 0.1),), dict.fromkeys(away, ""))
    (found,) = (each for each in verdicts(seen) if each.hubs == ("a",))
    assert (found.kind, found.severity) == told


def test_a_dead_link_lies_between_two_hubs_that_both_live() -> None:
    (found,) = verdicts(matrix(3, cells=both("a", "c", AVOID)))
    assert (found.kind, found.hubs) == ("dead_link", ("a", "c"))
    assert len(found.evidence) == 2


@pytest.mark.parametrize("heard", [True, False])
def test_a_one_way_link_is_told_by_either_end(heard: bool) -> None:
    """The far end reaches us, or has no fresh row while its requests still arrive here."""
    cells = {("a", "c"): entry("c", AVOID, 0.4 if heard else None)}
    (found,) = verdicts(matrix(3, *("c" if heard else ""), cells=cells))
    assert (found.kind, found.hubs) == ("one_way_link", ("a", "c"))
    assert found.words == "one way only: c reaches a, and a does not reach c"
    assert ("its requests still arrive" in found.evidence[0]) == heard


@pytest.mark.parametrize("count", [3, 4, 7])
@pytest.mark.parametrize("avoided_s", [1.5, 2.2])
def test_a_hub_that_ended_a_moment_ago_is_silent_and_reaches_nobody(
    count: int, avoided_s: float
) -> None:
    """Its last row says that it reaches all, and its last requests came as late as its last answers.
    One that is stopped in order says farewell before, and is avoided from then on."""
    just_lost = Entry("c", AVOID, avoided_s, 2.2, 1.9, 13.0, 5, "refused")
    cells = {(name, "c"): just_lost for name in "abdefg"[: count - 1]}
    (found,) = verdicts(matrix(count, cells=cells, c=1.8))
    assert (found.kind, found.hubs) == ("silent_hub", ("c",))
    assert "arrive" not in " ".join(found.evidence)


def test_a_hub_that_spoke_after_all_had_lost_it_is_heard_one_way() -> None:
    """It still tells its row to somebody, though nobody gets an answer."""
    lost = Entry("c", AVOID, 4.0, 5.0, 0.4, 13.0, 7, "timeout")
    found = verdicts(matrix(3, cells={("a", "c"): lost, ("b", "c"): lost}, c=1.0))
    assert kinds(found) == [("one_way_link", ("a", "c")), ("one_way_link", ("b", "c"))]


def test_islands_are_told_when_both_sides_have_spoken() -> None:
    cells = {
        pair: each
        for one in "ab"
        for other in "cd"
        for pair, each in both(one, other, DEAD).items()
    }
    found = verdicts(matrix(4, cells=cells))
    assert kinds(found) == [("islands", ("a", "b", "c", "d"))]
    assert found[0].words == "the mesh is in pieces: a and b | c and d"


def test_hubs_that_fell_silent_together_may_be_an_island() -> None:
    cells = {(one, other): entry(other, DEAD) for one in "ab" for other in "cd"}
    found = verdicts(matrix(4, "c", "d", cells=cells))
    assert kinds(found) == [
        ("dead_hub", ("c",)),
        ("dead_hub", ("d",)),
        ("island_suspected", ("c", "d")),
    ]


def test_a_hub_that_one_declared_dead_and_another_hears_is_no_dead_hub() -> None:
    found = verdicts(matrix(3, "c", cells={("a", "c"): entry("c", DEAD)}))
    assert kinds(found) == [("dead_link", ("a", "c"))]


def test_an_old_row_is_history_and_says_nothing_of_now() -> None:
    found = verdicts(matrix(3, cells={("c", "a"): entry("a", DEAD)}, c=40.0))
    assert kinds(found) == [("old_row", ("c",))]
    assert found[0].words == "the row of c is 40 s old"


def test_the_old_row_of_a_dead_hub_is_not_told_twice() -> None:
    cells = {("a", "c"): entry("c", DEAD), ("b", "c"): entry("c", DEAD)}
    assert kinds(verdicts(matrix(3, cells=cells, c=40.0))) == [("dead_hub", ("c",))]


def test_isolated_and_ill_hubs_are_told() -> None:
    ill = Row("a", "a", 1, 1, [entry("b", ALIVE)], health=3.5)
    lost = Row("b", "b", 1, 1, [entry("a", AVOID)], isolated=True)
    found = verdicts(Matrix((SeenRow(ill, 0.0), SeenRow(lost, 0.0))))
    assert kinds(found) == [
        ("isolated_hub", ("b",)),
        ("one_way_link", ("b", "a")),
        ("ill_hub", ("a",)),
    ]


def test_hubs_that_have_only_just_started_are_no_islands() -> None:
    cells = both("a", "b", UNKNOWN)
    assert verdicts(matrix(2, cells=cells)) == []


def test_the_matrix_goes_out_as_json_with_ages_and_findings() -> None:
    wire = orjson.loads(orjson.dumps(matrix(2, cells=both("a", "b", AVOID), b=9.0).to_wire()))
    assert wire["hubs"] == ["a", "b"]
    assert [row["is_old"] for row in wire["rows"]] == [False, True]
    assert wire["rows"][0]["entries"][0]["state"] == "avoid"
    assert [each["kind"] for each in wire["findings"]] == ["silent_hub"]
