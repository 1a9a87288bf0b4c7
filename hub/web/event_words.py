"""Events of hubs and edges in plain sentences; what is not known here is told in its own words."""

from collections.abc import Callable, Mapping
from typing import Any

from hub.ledger import MOVED
from hub.web.formats import age, milliseconds, number, size, text

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
    "clock.*",
    "conf.*",
    "disk.guard.*",
    "hub.*",
    "leader:*",
    "peer.*",
    "retention.*",
    "state:changed",
    "store.*",
    "term:changed",
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


def _clock(facts: Facts) -> str:
    """Whose clock it is, as a subject."""
    return f"The clock of {'this hub' if facts.get('is_own') is True else text(facts.get('hub'))}"


def _off(facts: Facts) -> str:
    return f"{_clock(facts)} is {_side(facts.get('offset_ms'))}, by the clocks of {text(facts.get('by'))}"


def _side(ms: Any) -> str:
    if not isinstance(ms, int | float):
        return "off"
    return f"{milliseconds(abs(ms))} {'ahead' if ms > 0 else 'behind'}"


def _stepped(facts: Facts) -> str:
    ms = facts.get("by_ms")
    if not isinstance(ms, int | float):
        return f"{_clock(facts)} was set"
    return f"{_clock(facts)} was set {'forward' if ms > 0 else 'back'} by {milliseconds(abs(ms))}"


_SENTENCES: Mapping[str, Callable[[Facts], str]] = {
    "buffer.gap": lambda facts: gap_sentence(facts["gap"]),
    "clock.quarantined": lambda facts: f"{_off(facts)}: its orders wait until it is right",
    "clock.sound": lambda facts: f"{_clock(facts)} is right again",
    "clock.stepped": _stepped,
    "clock.suspect": _off,
    "conf.not_applied": lambda facts: (
        f"The setting {text(facts.get('key'))} is kept and passed on, but not applied here:"
        f" {text(facts.get('reason'))}"
    ),
    "conf.parked": lambda facts: (
        f"{text(facts.get('peer'))} told something that is no setting: {text(facts.get('reason'))}"
    ),
    "conf.refusal_over": lambda facts: (
        f"No edge refuses the settings {text(facts.get('hash'))[:12]} any more"
    ),
    "conf.refused_by_edge": lambda facts: (
        f"{text(facts.get('edge'))} cannot apply the settings {text(facts.get('hash'))[:12]} and"
        f" keeps its last good ones: {text(facts.get('error'))}"
    ),
    "disk.guard.closed": _guard,
    "disk.guard.opened": _guard,
    "hub.isolated": lambda facts: (
        f"This hub reaches none of its {number(facts.get('peers'))} peers; it declares nobody dead"
    ),
    "hub.refuted": lambda facts: (
        f"{text(facts.get('told_by'))} took this hub for dead or for an earlier life; it answered with"
        f" incarnation {number(facts.get('incarnation'))}"
    ),
    "hub.rejoined": lambda facts: (
        f"This hub reaches {text(facts.get('through'))} again after {age(facts.get('seconds'))}"
    ),
    "hub.started": lambda facts: (
        f"{facts['node']} has started: version {text(facts.get('version'))} at {text(facts.get('url'))}"
    ),
    "hub.stopped": lambda facts: f"{facts['node']} has stopped",
    "leader:elected": lambda facts: (
        f"{text(facts.get('leader'))} leads term {text(facts.get('term'))}"
    ),
    "leader:hook_failed": lambda facts: (
        f"The {text(facts.get('kind'))} hook of term {text(facts.get('term'))} was given up after"
        f" {number(facts.get('attempts'))} attempts: {text(facts.get('error'))}"
    ),
    "leader:lost": lambda facts: (
        f"The leader of term {text(facts.get('term'))} is gone: {text(facts.get('reason'))}"
    ),
    "own.dropped": lambda facts: (
        f"{number(facts.get('records'))} records of its own {text(facts.get('signal'))} were dropped"
    ),
    "peer.alive": lambda facts: (
        f"{text(facts.get('peer'))} is back after {age(facts.get('dead_seconds'))}:"
        f" {text(facts.get('how'))}"
    ),
    "peer.dead": lambda facts: (
        f"{text(facts.get('peer'))} is dead: silent for {age(facts.get('silent_seconds'))},"
        f" missed by {text(facts.get('observers'))}"
    ),
    "peer.lag": _lag,
    "retention.adopted": _adopted,
    "retention.dropped": _dropped,
    "retention.over_limit": _over,
    "retention.paused": lambda facts: (
        "Nothing is let go for its age while the clock cannot be trusted:"
        f" it says {text(facts.get('today'))}"
    ),
    "state:changed": lambda facts: (
        f"{text(facts.get('hub'))} is now {text(facts.get('state'))}: {text(facts.get('reason'))}"
    ),
    "store.damaged": _damaged,
    "store.healed": lambda facts: (
        f"{number(facts.get('chunks'))} damaged headers of {_day_file(facts)} are whole again"
    ),
    "store.refilled": lambda facts: f"All that was lost of {_day_file(facts)} is here again",
    "term:changed": lambda facts: (
        f"Term {text(facts.get('term'))} has begun ({text(facts.get('reason'))})"
    ),
}
