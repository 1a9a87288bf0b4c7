"""The same questions of a hub with indexes, of one without, and of a naive model give the same rows.

Whatever state the indexes are in, in order, and over all pages, also when every other page comes from
a hub that has no index.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.query.times import parse_time
from shared.records import Signal
from tests.law.answer_draws import CHUNKS_MAX, damage, days, laws, states_of, ways
from tests.law.answer_world import Arriving, World, world
from tests.unit.query import log_model
from tests.unit.query.log_model import NAMES, Seen, as_text
from tests.unit.query.stock import S, logs

log_arrivals = st.builds(
    lambda chunk, signal, day: Arriving(
        signal, logs(chunk[0], chunk[3]), chunk[1], chunk[2], day, chunk[4]
    ),
    log_model.chunks,
    st.sampled_from([Signal.LOGS, Signal.LOGS, Signal.EVENTS]),
    days,
)
log_worlds = st.tuples(
    st.lists(log_arrivals, max_size=CHUNKS_MAX), states_of(Signal.LOGS, Signal.EVENTS), damage, ways
)
signals = st.sampled_from(["logs", "events"])


def without_range(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: drawn for name, drawn in filters.items() if name not in ("start", "end")}


log_questions = st.fixed_dictionaries(
    {"limit": st.integers(1, 7), "order": st.sampled_from(["newest", "oldest"])},
    optional={**log_model.filters, "signal": signals},
)
event_filters = {
    name: log_model.filters[name]
    for name in (
        *("start", "end", "nodes", "severity", "severity_max", "text", "attributes", "backfilled"),
    )
}
event_questions = st.fixed_dictionaries(
    {"limit": st.integers(1, 7), "order": st.sampled_from(["newest", "oldest"])},
    optional={
        **event_filters,
        "type": st.sampled_from(["vm.started", "vm.*", "vm.s*", "vm", "*", "none"]),
        "subject": st.sampled_from(["shop", "/api/v1", "404", "Disk full", "none"]),
    },
)
histograms = st.fixed_dictionaries(
    {
        "start": st.integers(0, 9),
        "end": st.integers(10, 40),
        "step": st.sampled_from(["1s", "7s", "10s", "20s", "30s", "1h"]),
        "by": st.sampled_from(["severity", "node", "service", "none"]),
    },
    optional={**without_range(log_model.filters), "signal": signals},
)
plain_histograms = st.fixed_dictionaries(
    {
        "start": st.integers(0, 9),
        "end": st.integers(10, 40),
        "step": st.sampled_from(["10s", "20s", "30s", "1h"]),
        "by": st.sampled_from(["severity", "node", "service", "none"]),
    },
    optional=without_range(log_model.plain_filters),
)
labels = st.fixed_dictionaries(
    {
        "label": st.sampled_from(["severity", "node", "service", "word", "code", "absent"]),
        "start": st.integers(0, 9),
        "end": st.integers(10, 40),
        "limit": st.integers(1, 4),
    },
    optional={
        **{name: log_model.filters[name] for name in ("nodes", "severity", "text", "service")},
        "attributes": log_model.filters["attributes"],
        "signal": signals,
    },
)


def seen_in(stored: World, asked: Mapping[str, Any]) -> list[Seen]:
    """The records that the model finds, oldest first."""
    signal = asked.get("signal", "logs")
    kept = [each for each in stored.reader.chunks if each.header.signal == signal]
    everything = log_model.all_seen(type(stored.reader)(kept))
    wanted = (seen for seen in everything if log_model.wanted(seen, dict(asked)))
    return sorted(wanted, key=lambda seen: seen.place)


def rows_of(seen: list[Seen]) -> list[tuple[Any, ...]]:
    return [(*each.place, each.row.body, each.row.attributes, each.late) for each in seen]


def rows_in(items: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            parse_time(item["time"], 0, "time"),
            *(item[name] for name in ("node", "epoch", "seq", "index", "body", "attributes")),
            item["backfilled"],
        )
        for item in items
    ]


def is_event_wanted(seen: Seen, asked: Mapping[str, Any]) -> bool:
    name, kind = seen.row.event_name, asked.get("type")
    begins = kind is not None and kind.endswith("*")
    if kind is not None and not (name.startswith(kind[:-1]) if begins else name == kind):
        return False
    return "subject" not in asked or asked["subject"] in seen.row.attributes.values()


@laws
@given(log_worlds, log_questions)
def test_all_pages_of_log_records_are_those_of_the_model(
    described: Any, question: dict[str, Any]
) -> None:
    with world(*described) as stored:
        expected = rows_of(seen_in(stored, question))
        if question["order"] == "newest":
            expected.reverse()
        for items in stored.all_pages("log.query", question):
            assert rows_in(items) == expected


@laws
@given(log_worlds, event_questions)
def test_all_pages_of_events_are_those_of_the_model(
    described: Any, question: dict[str, Any]
) -> None:
    with world(*described) as stored:
        asked = {**question, "signal": "events"}
        wanted = [each for each in seen_in(stored, asked) if is_event_wanted(each, asked)]
        expected = rows_of(wanted)
        if question["order"] == "newest":
            expected.reverse()
        for items in stored.all_pages("event.list", question):
            assert rows_in(items) == expected
            assert [item["type"] for item in items] == [item["event_name"] for item in items]


def group_of(seen: Seen, by: str) -> str:
    if by == "none":
        return "all"
    if by == "severity":
        return NAMES[seen.row.severity_number]
    return seen.place[1] if by == "node" else str(seen.row.resource["service.name"])


@laws
@given(log_worlds, histograms | plain_histograms)
def test_a_histogram_counts_what_the_model_counts(described: Any, question: dict[str, Any]) -> None:
    """From sums, from chunks, and from both where an index has a part of a day."""
    step_ns = _step_ns(question["step"])
    with world(*described) as stored:
        counted: Counter[tuple[int, str]] = Counter()
        for seen in seen_in(stored, question):
            step_at = seen.place[0] // step_ns * step_ns
            counted[step_at, group_of(seen, question["by"])] += 1
        for answer in stored.each("log.histogram", question):
            told = {
                (parse_time(each["time"], 0, "time"), group): records
                for each in answer["bins"]
                for group, records in each["counts"].items()
                if records
            }
            assert told == dict(counted)
            assert sum(each["records"] for each in answer["bins"]) == counted.total()
            assert answer["scanned"]["complete"] is True


def _step_ns(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "h": 3600}[text[-1]] * S


def label_of(seen: Seen, label: str) -> str:
    row = seen.row
    if label in ("severity", "node", "service"):
        return group_of(seen, label)
    both = {**row.resource, **row.attributes}
    return as_text(both[label]) if label in both else ""


@laws
@given(log_worlds, labels)
def test_labels_of_logs_have_the_values_of_the_model(
    described: Any, question: dict[str, Any]
) -> None:
    with world(*described) as stored:
        counted = Counter(label_of(seen, question["label"]) for seen in seen_in(stored, question))
        del counted[""]
        ranked = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
        for answer in stored.each("label.values", question):
            told = [(each["value"], each["records"]) for each in answer["items"]]
            assert told == ranked[: question["limit"]]
            assert answer["more"] == max(0, len(ranked) - question["limit"])
