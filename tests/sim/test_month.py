"""A month of outages, clocks that jump and full disks: in the end the account balances to zero."""

import itertools

import pytest

import edge.books
import shared.sums
from shared.ranges import Ranges
from shared.records import Gap
from tests.sim.machines import luck
from tests.sim.month import simulate_month
from tests.sim.month_machines import MonthEdge
from tests.sim.month_story import DAY, HOUR, MonthPlan, Trouble, troubles_of

DAYS = MonthPlan(
    days=3.0, outage_hours=(20.0,), full_disk_hours=1.0, body_seconds=900.0, buffer_bytes_max=9000
)
"""Some days with everything that a month has, and a buffer that one night fills."""


@pytest.mark.timeout(600)
def test_after_a_month_of_outages_the_ledger_balances_to_zero() -> None:
    """Thirty days with five outages, three hours to four days long: every record that was acked is on
    both hubs once, or in a declared gap that counts exactly; every sum agrees, at every hour."""
    report = simulate_month(1)
    assert report.ok, report.to_text()
    counts = report.counts
    assert report.virtual_seconds > 30 * DAY
    assert counts["begins: down"] + counts["begins: cut"] == 5
    assert counts["begins: full"] == 2
    assert counts["begins: jump"] == 8
    assert counts["records"] > 50_000
    for happened in ("records shed", "refused: no room", "refused: disk full", "crash", "stop"):
        assert counts[happened] > 0, f"the month never saw: {happened}"
    # What is lost is the long outages' overflow, and no more.
    assert counts["records shed"] + counts["records refused"] < counts["records"] / 5
    assert counts["records shed and there"] < counts["records shed"]


def test_a_month_is_the_same_story_for_the_same_seed() -> None:
    first, again, other = (simulate_month(seed, DAYS) for seed in (7, 7, 8))
    assert first.ok, first.to_text()
    assert other.ok, other.to_text()
    assert first.digest == again.digest != other.digest


@pytest.mark.parametrize("seed", range(20))
def test_every_month_has_all_its_troubles_and_time_between_outages(seed: int) -> None:
    plan = MonthPlan()
    drawn = troubles_of(plan, luck(seed, "troubles"))
    outages = [each for each in drawn if each.kind in ("down", "cut")]
    assert sorted(each.seconds for each in outages) == [h * HOUR for h in plan.outage_hours]
    assert all(b.at - a.end >= DAY for a, b in itertools.pairwise(outages))
    full = [each for each in drawn if each.kind == "full"]
    assert {each.name for each in full} == {plan.edges[0], plan.edges[-1]}
    assert any(within(full_disk, outages) for full_disk in full)
    for name in (*plan.edges, *plan.hubs):
        jumps = [each.jump_seconds for each in drawn if (each.kind, each.name) == ("jump", name)]
        assert sorted(jumps) == [-HOUR, HOUR]


def within(trouble: Trouble, outages: list[Trouble]) -> bool:
    return any(outage.at <= trouble.at and trouble.end <= outage.end for outage in outages)


def test_a_gap_that_counts_one_record_too_few_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge sees a false declaration, however small."""
    honest = edge.books.gap_of

    def understate(
        signal: str, reason: str, seqs: Ranges, lost: shared.sums.Sum, times: tuple[int, int]
    ) -> Gap:
        fewer = shared.sums.Sum(lost.chunks, lost.records - 1, lost.stored_bytes)
        return honest(signal, reason, seqs, fewer, times)

    monkeypatch.setattr(edge.books, "gap_of", understate)
    report = simulate_month(1, DAYS)
    assert any("were kept there" in failure for failure in report.failures), report.failures
    assert any("the edge calls safe and shed" in failure for failure in report.failures)


def test_a_record_that_is_refused_and_not_counted_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The judge sees a record that nobody accounts for."""
    honest = MonthEdge._note_refused

    def forget(self: MonthEdge, *args: object) -> None:
        honest(self, *args)  # type: ignore[arg-type]  # Passed on as they came.
        self.told.refused.clear()

    monkeypatch.setattr(MonthEdge, "_note_refused", forget)
    report = simulate_month(1, DAYS)
    assert any("do not add up" in failure for failure in report.failures), report.failures
