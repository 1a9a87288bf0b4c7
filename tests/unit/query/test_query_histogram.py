"""log.histogram and label.values: the counts are those of the naive model, however they are made."""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.index.log_gist import read_gist
from hub.query.histogram import Bin, count_logs, default_step_ns, read_histogram_query
from hub.query.log_census import GROUPS_MAX, OTHER, Census
from hub.query.log_values import list_label_values, read_label_query
from hub.query.scan import Limits, MayHold
from shared.errors import BadInput, RpcError
from shared.records import Signal
from tests.examples import examples
from tests.unit.query import log_model
from tests.unit.query.log_model import NAMES, Seen, all_seen, stock_of, wanted
from tests.unit.query.stock import NOW_NS, ListReader, S, log, logs

AMPLE = Limits(chunks_max=10**6, bytes_max=10**9, rows_max=10**9)


class SummedBins:
    """Sums of the covered chunks, made as the index makes them."""

    def __init__(self, reader: ListReader, covered: Collection[int]) -> None:
        self._covered = covered
        self._bins: Counter[tuple[int, str, int, str]] = Counter()
        for held in reader.chunks:
            if held.arrival in covered:
                for (bin_s, severity, service), records in read_gist(
                    held.header, held.body
                ).bins.items():
                    self._bins[bin_s, held.header.origin, severity, service] += records

    @property
    def uncovered(self) -> MayHold:
        return lambda *chunk: not self.covers(*chunk)

    def covers(self, arrival: int, received_ms: int, signal: Signal) -> bool:
        return arrival in self._covered

    def bins(
        self,
        start_s: int,
        end_s: int,
        nodes: Collection[str] | None = None,
        severity_min: int = 0,
        service: str | None = None,
    ) -> Iterator[Bin]:
        assert start_s % 10 == end_s % 10 == 0
        for (bin_s, node, severity, name), records in self._bins.items():
            if (
                start_s <= bin_s < end_s
                and (nodes is None or node in nodes)
                and severity >= severity_min
                and service in (None, name)
            ):
                yield bin_s, node, severity, name, records

    def sums(
        self, start_s: int, end_s: int, step_s: int, *filters: Any
    ) -> Iterator[tuple[int, int, int]]:
        assert step_s % 10 == 0
        for bin_s, _, severity, _, records in self.bins(start_s, end_s, *filters):
            yield (bin_s - start_s) // step_s * step_s + start_s, severity, records


class BrokenBins(SummedBins):
    """An index whose file is damaged."""

    def sums(self, *_: Any) -> Iterator[tuple[int, int, int]]:
        yield 0, 9, 1
        raise BadInput("the index cannot be read")


def without_range(filters: dict[str, Any]) -> dict[str, Any]:
    """For questions that must have a range."""
    return {name: drawn for name, drawn in filters.items() if name not in ("start", "end")}


def shown(answer: dict[str, Any]) -> dict[tuple[int, str], int]:
    """The counts by (start in seconds, group)."""
    counts: dict[tuple[int, str], int] = {}
    for bar in answer["bins"]:
        assert bar["records"] == sum(bar["counts"].values())
        at_s = round(datetime.fromisoformat(bar["time"]).timestamp())
        counts.update({(at_s, group): count for group, count in bar["counts"].items()})
    totals: Counter[str] = Counter()
    for (_, group), count in counts.items():
        totals[group] += count
    assert answer["totals"] == totals
    return counts


def group_of(seen: Seen, by: str) -> str:
    severity = NAMES[seen.row.severity_number]
    service = str(seen.row.resource["service.name"])
    return {"severity": severity, "node": seen.place[1], "service": service}.get(by, "all")


questions = st.fixed_dictionaries(
    {
        "start": st.integers(0, 9),
        "end": st.integers(10, 30),
        "step": st.sampled_from([1, 5, 10, 20, 30, "10s", "7s"]),
        "by": st.sampled_from(["severity", "node", "service", "none"]),
    },
    optional=without_range(log_model.filters),
)
plain_questions = st.fixed_dictionaries(
    {
        "start": st.integers(0, 9) | st.just(0),
        "end": st.integers(10, 30) | st.just(30),
        "step": st.sampled_from([10, 20, 30]),
        "by": st.sampled_from(["severity", "node", "service", "none"]),
    },
    optional=without_range(log_model.plain_filters),
)


def expected(reader: ListReader, params: dict[str, Any]) -> Counter[tuple[int, str]]:
    step = int(str(params["step"]).rstrip("s"))
    return Counter(
        (seen.row.time_ns // S // step * step, group_of(seen, params["by"]))
        for seen in all_seen(reader)
        if wanted(seen, params)
    )


@settings(max_examples=examples(200), deadline=None)
@given(stored=st.lists(log_model.chunks, max_size=6), params=questions)
def test_scanned_counts_are_those_of_the_model(stored: list[Any], params: dict[str, Any]) -> None:
    reader = stock_of(stored)
    answer = count_logs(reader, read_histogram_query(params, NOW_NS), AMPLE)
    assert shown(answer) == expected(reader, params)
    assert answer["scanned"]["complete"] is True


@settings(max_examples=examples(200), deadline=None)
@given(
    stored=st.lists(log_model.chunks, max_size=6),
    params=plain_questions,
    covered=st.sets(st.integers(1, 6)),
)
def test_counts_are_the_same_whatever_the_index_covers(
    stored: list[Any], params: dict[str, Any], covered: set[int]
) -> None:
    """Cut bins at both ends, and chunks that are not indexed, are read."""
    reader = stock_of(stored)
    query = read_histogram_query(params, NOW_NS)
    bins = SummedBins(reader, covered)
    assert shown(count_logs(reader, query, AMPLE, bins=bins)) == expected(reader, params)


def ticks(seconds: range) -> ListReader:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(second * S, "tick") for second in seconds]))
    return reader


def test_whole_bins_of_indexed_chunks_are_not_read() -> None:
    reader = ticks(range(100, 200))
    query = read_histogram_query({"start": 100, "end": 200, "step": "20s"}, NOW_NS)
    answer = count_logs(reader, query, bins=SummedBins(reader, {1}))
    assert [bar["records"] for bar in answer["bins"]] == [20] * 5
    assert answer["scanned"] == {"chunks": 0, "records": 0, "complete": True, "indexed": True}
    assert reader.bodies_read == 0


@pytest.mark.parametrize(
    "more", [{"text": "tick"}, {"step": "15s"}, {"backfilled": False}, {"words": ["tick"]}]
)
def test_what_the_sums_cannot_tell_is_read_from_the_chunks(more: dict[str, Any]) -> None:
    reader = ticks(range(90, 150))
    query = read_histogram_query({"start": 90, "end": 150, "step": "30s", **more}, NOW_NS)
    answer = count_logs(reader, query, bins=SummedBins(reader, {1}))
    assert answer["totals"] == {"INFO": 60}
    assert answer["scanned"]["indexed"] is False
    assert reader.bodies_read == 1


def test_a_damaged_index_changes_no_count() -> None:
    reader = ticks(range(100, 200))
    query = read_histogram_query({"start": 100, "end": 200, "step": "10s"}, NOW_NS)
    answer = count_logs(reader, query, bins=BrokenBins(reader, {1}))
    assert answer["totals"] == {"INFO": 100}
    assert answer["scanned"]["indexed"] is False


def test_empty_steps_are_told_too_and_stand_at_multiples_of_their_length() -> None:
    query = read_histogram_query({"start": 95, "end": 131, "step": 10, "by": "none"}, NOW_NS)
    answer = count_logs(ticks(range(111, 113)), query)
    assert [(bar["time"][14:], bar["counts"]) for bar in answer["bins"]] == [
        ("01:30Z", {}), ("01:40Z", {}), ("01:50Z", {"all": 2}), ("02:00Z", {}), ("02:10Z", {}),
    ]  # fmt: skip
    assert (answer["start"], answer["step_s"]) == ("1970-01-01T00:01:35Z", 10.0)


def test_a_spent_budget_is_told_with_the_time_from_which_counts_are_whole() -> None:
    reader = ListReader()
    for minute in range(1, 6):
        reader.put(Signal.LOGS, logs([log(minute * 60 * S, "tick")]))
    query = read_histogram_query({"start": 0, "end": 600, "step": 60}, NOW_NS)
    answer = count_logs(reader, query, Limits(chunks_max=2))
    assert answer["totals"] == {"INFO": 3}
    assert answer["scanned"]["complete"] is False
    assert answer["scanned"]["from"] == "1970-01-01T00:02:00.000000001Z"


def test_a_damaged_chunk_is_counted_and_hides_nothing_else() -> None:
    reader = ticks(range(10, 20))
    reader.put_body(Signal.LOGS, b"damaged", time_min_ns=12 * S, time_max_ns=13 * S)
    answer = count_logs(reader, read_histogram_query({"start": 0, "end": 60, "step": 60}, NOW_NS))
    assert (answer["totals"], answer["scanned"]["unreadable_chunks"]) == ({"INFO": 10}, 1)


@pytest.mark.parametrize(
    ("range_s", "bins", "step_s"),
    [(3600, 60, 60), (3601, 60, 120), (60, 60, 1), (1, 60, 0.02), (86_400, 60, 1800),
     (86_400, 1, 86_400), (315_576_000, 60, 61 * 86_400), (1e-9, 60, 0.001)],
)  # fmt: skip
def test_a_step_that_was_not_given_is_a_round_one(range_s: float, bins: int, step_s: float) -> None:
    assert default_step_ns(round(range_s * S), bins) == round(step_s * S)


def test_without_a_range_the_last_hour_is_counted() -> None:
    query = read_histogram_query({}, NOW_NS)
    assert (query.asked.start_ns, query.asked.end_ns) == (NOW_NS - 3600 * S, NOW_NS)
    assert query.step_ns == 60 * S


def test_too_many_groups_are_counted_together() -> None:
    census = Census()
    for number in range(GROUPS_MAX + 500):
        census.add(number % 3, f"service {number}", 1)
    totals = census.totals()
    assert len(totals) == GROUPS_MAX + 1
    assert totals[-1] == (OTHER, 500)
    assert sum(records for _, records in totals) == GROUPS_MAX + 500


@settings(max_examples=examples(150), deadline=None)
@given(
    stored=st.lists(log_model.chunks, max_size=6),
    label=st.sampled_from(["severity", "node", "service", "word", "code", "none"]),
    params=st.fixed_dictionaries(
        {"start": st.just(0), "end": st.just(30)}, optional=without_range(log_model.filters)
    ),
)
def test_values_of_a_label_are_those_of_the_model(
    stored: list[Any], label: str, params: dict[str, Any]
) -> None:
    reader = stock_of(stored)
    answer = list_label_values(reader, read_label_query({**params, "label": label}, NOW_NS), AMPLE)
    counts: Counter[str] = Counter()
    for seen in all_seen(reader):
        both = {**seen.row.resource, **seen.row.attributes}
        if wanted(seen, params) and label in ("severity", "node", "service"):
            counts[group_of(seen, label)] += 1
        elif wanted(seen, params) and label in both:
            counts[log_model.as_text(both[label])] += 1
    assert answer["items"] == [
        {"value": value, "records": records}
        for value, records in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]
    assert answer["more"] == 0


def test_values_that_do_not_fit_are_numbered() -> None:
    reader = ListReader()
    user = [log((n + 1) * S, "in", attributes={"user": f"u{n}"}) for n in range(9)]
    reader.put(Signal.LOGS, logs(user))
    asked = {"label": "user", "limit": 4, "start": 0}
    answer = list_label_values(reader, read_label_query(asked, NOW_NS))
    assert [item["value"] for item in answer["items"]] == ["u0", "u1", "u2", "u3"]
    assert (answer["more"], answer["scanned"]["complete"]) == (5, True)


def test_values_are_looked_for_newest_first_within_the_limits() -> None:
    reader = ListReader()
    for minute in range(1, 6):
        reader.put(Signal.LOGS, logs([log(minute * 60 * S, "tick")], f"service-{minute}"))
    query = read_label_query({"label": "service", "start": 0}, NOW_NS)
    answer = list_label_values(reader, query, Limits(chunks_max=1))
    assert [item["value"] for item in answer["items"]] == ["service-4", "service-5"]
    assert answer["scanned"]["complete"] is False


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"step": 0}, r"^step: "),
        ({"step": "1ms", "start": "-1d"}, r"^step: the range has more than 2000"),
        ({"bins": 0}, r"^bins: "),
        ({"bins": 1001}, r"^bins: "),
        ({"by": "host"}, r"^by: "),
        ({"start": "now", "end": "-1h"}, r"^start: it must be earlier"),
        ({"limit": 5}, r"^limit: there is no such parameter"),
    ],
)
def test_wrong_parameters_are_refused_by_name(params: dict[str, Any], said: str) -> None:
    with pytest.raises(RpcError, match=said) as refusal:
        read_histogram_query(params, NOW_NS)
    assert refusal.value.kind == "invalid_params"


@pytest.mark.parametrize("params", [{}, {"label": ""}, {"label": "x" * 256}, {"label": 5}])
def test_a_label_must_be_named(params: dict[str, Any]) -> None:
    with pytest.raises(RpcError, match=r"^label: "):
        read_label_query(params, NOW_NS)


def test_ten_years_are_a_range_like_any_other() -> None:
    query = read_histogram_query({"start": "-520w", "end": "now"}, NOW_NS)
    answer = count_logs(ticks(range(5)), query)
    assert len(answer["bins"]) <= 61
    assert answer["totals"] == {}
