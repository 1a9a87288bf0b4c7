"""Events of hubs and edges in plain sentences; what is not known here is told in its own words."""

from collections.abc import Callable, Mapping
from typing import Any

from hub.ledger import MOVED
from hub.web.formats import age, number, size, text

Facts = Mapping[str, Any]

REASONS: Mapping[str, str] = {"age": "their age", "bytes": "the room they took"}

GAP_REASONS: Mapping[str, str] = {
    "shed": "the buffer was full",
    "damaged": "the disk no longer held what was written",
    "dead_letter": "hubs refuse them, and they are kept on the node as a dead letter",
    "discarded": "their dead letter was discarded",
    "split": "they were too large",
}

KNOWN_TYPES = (
    "buffer.gap",
    "disk.guard.*",
    "hub.*",
    "peer.*",
    "retention.*",
    "store.*",
    "vm.*",
)
"""Beginnings to choose from where nobody knows what there is."""


def sentence_of(row: Mapping[str, Any]) -> str:
    """What an event says to people."""
    said = _SENTENCES.get(str(row.get("type") or row.get("event_name") or ""))
    facts = row.get("attributes")
    if said is None or not isinstance(facts, Mapping):
        return text(row.get("body"))
    return said({**facts, "node": row.get("node"), "gap": row.get("gap") or {}})


def gap_sentence(gap: Facts) -> str:
    """What is lost, and why."""
    signal, reason = gap.get("signal") or "any signal", text(gap.get("reason"))
    what = f"{number(gap.get('records'))} records of {signal} in {number(gap.get('chunks'))} chunks"
    numbers = _numbers(gap.get("first_seq"), gap.get("last_seq"))
    if gap.get("reason") in MOVED:
        return f"{what}{numbers} were sent in other chunks: {GAP_REASONS.get(reason, reason)}"
    return f"{what}{numbers} are declared lost ({reason}): {GAP_REASONS.get(reason, reason)}"


def is_loss(gap: Facts) -> bool:
    """Whether the records are gone, not only their numbers."""
    return gap.get("reason") not in MOVED


def _numbers(first: Any, last: Any) -> str:
    if first is None:
        return ""
    return f" (number {first})" if first == last else f" (numbers {first} to {last})"


def _day_file(facts: Facts) -> str:
    return f"{text(facts.get('signal'))} of {text(facts.get('day'))}"


def _damaged(facts: Facts) -> str:
    lost = number(facts.get("lost_chunks"))
    kept = number(facts.get("sound_chunks"))
    return (
        f"The file with {_day_file(facts)} was damaged: {kept} chunks are sound, {lost} are lost here"
        " and asked of the other hubs"
    )


def _dropped(facts: Facts) -> str:
    sums = f"{number(facts.get('records'))} records, {size(facts.get('bytes'))}"
    reason = REASONS.get(str(facts.get("reason")), text(facts.get("reason")))
    copies = "" if facts.get("safe") is not False else "; not all of them were on enough hubs"
    return f"Let {_day_file(facts)} go for {reason}: {sums}{copies}"


def _adopted(facts: Facts) -> str:
    of = f"{number(facts.get('nodes'))} nodes" if "nodes" in facts else text(facts.get("origin"))
    return (
        f"{number(facts.get('chunks'))} chunks of {of} never come: their time was over on"
        f" {text(facts.get('peer'))}, and no hub has them"
    )


def _guard(facts: Facts) -> str:
    free, needed = size(facts.get("free_bytes")), size(facts.get("reserve_bytes"))
    if facts.get("accepting"):
        return f"There is room on the disk again ({free} free): data is taken in"
    return f"The disk is nearly full ({free} free, {needed} are kept free): no data is taken in"


def _over(facts: Facts) -> str:
    over, limit = size(facts.get("over_bytes")), size(facts.get("limit_bytes"))
    return (
        f"{text(facts.get('signal'))} are {over} over their limit of {limit}: the rest is of today"
        " or waits for its copies"
    )


def _lag(facts: Facts) -> str:
    seconds, peer = facts.get("seconds"), text(facts.get("peer"))
    if isinstance(seconds, int | float) and seconds < 5:
        return f"Has caught up with {peer}"
    return f"Is {age(seconds)} behind {peer}"


_SENTENCES: Mapping[str, Callable[[Facts], str]] = {
    "buffer.gap": lambda facts: gap_sentence(facts["gap"]),
    "disk.guard.closed": _guard,
    "disk.guard.opened": _guard,
    "hub.started": lambda facts: (
        f"{facts['node']} has started: version {text(facts.get('version'))} at {text(facts.get('url'))}"
    ),
    "hub.stopped": lambda facts: f"{facts['node']} has stopped",
    "own.dropped": lambda facts: (
        f"{number(facts.get('records'))} records of its own {text(facts.get('signal'))} were dropped"
    ),
    "peer.lag": _lag,
    "retention.adopted": _adopted,
    "retention.dropped": _dropped,
    "retention.over_limit": _over,
    "retention.paused": lambda facts: (
        "Nothing is let go for its age while the clock cannot be trusted:"
        f" it says {text(facts.get('today'))}"
    ),
    "store.damaged": _damaged,
    "store.healed": lambda facts: (
        f"{number(facts.get('chunks'))} damaged headers of {_day_file(facts)} are whole again"
    ),
    "store.refilled": lambda facts: f"All that was lost of {_day_file(facts)} is here again",
}
