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
    "adoption.*",
    "buffer.gap",
    "clock.*",
    "conf.*",
    "disk.guard.*",
    "fleet.*",
    "gossip.*",
    "hub.*",
    "incident.*",
    "leader:*",
    "mesh.*",
    "node.*",
    "peer.*",
    "retention.*",
    "state:changed",
    "store.*",
    "term:changed",
    "views.*",
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


def _moving(facts: Facts) -> str:
    """Why duties move: of which hubs others take over, and which take theirs back."""
    gone, back = facts.get("lost"), facts.get("back")
    said = [f"{text(gone)} cannot care for them now"] if gone else []
    return f"Duties move: {'; '.join(said + ([f'{text(back)} can again'] if back else []))}"


def _subject(facts: Facts) -> str:
    """What hubs believe differently: a hub, or the nodes as a peer holds them."""
    subject = text(facts.get("subject"))
    return f"the hub {subject}" if facts.get("about") == "hub" else f"nodes: this one and {subject}"


def _turned(facts: Facts, state: str) -> str:
    """One node whose verdict turned, or how many at once."""
    if facts.get("nodes") is not None:
        return f"{number(facts['nodes'])} nodes are {state}: {text(facts.get('first'))}, and more"
    who, by, reason = (text(facts.get(key)) for key in ("node_id", "observer", "reason"))
    said = f"{who} is {state}; {by} heard it last"
    return f"{said}: {reason}" if facts.get("reason") else said


def _cloned(facts: Facts) -> str:
    """Two machines with one identity: by their beats, or by chunks that contradict each other."""
    node = text(facts.get("node_id"))
    if facts.get("refused_at") is not None:
        return f"Two machines run as {node}: the one at {text(facts['refused_at'])} is refused"
    if facts.get("heard_at") is not None:
        shown = f"the one at {text(facts['heard_at'])} counts less and is not shown"
        return f"Two machines run as {node}, with edges of an older version: {shown}"
    if facts.get("heard_by") is not None:
        return f"Two machines run as {node}: {text(facts['heard_by'])} hears the other one"
    return (
        f"Two machines write the log of {node}, or its disk was set back:"
        " what contradicts is refused and kept aside, and its edge begins a new log"
    )


_SENTENCES: Mapping[str, Callable[[Facts], str]] = {
    "adoption.begin": _moving,
    "adoption.end": lambda facts: (
        f"{number(facts.get('names'))} {'duty' if facts.get('names') == 1 else 'duties'} moved from"
        f" {text(facts.get('from'))} to {text(facts.get('to'))} in {age(facts.get('seconds'))}"
    ),
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
    "fleet.brake.begin": lambda facts: (
        f"{text(facts.get('reason'))}: silent nodes are unknown, not offline, for up to"
        f" {age(facts.get('hold_seconds'))}"
    ),
    "fleet.brake.end": lambda facts: (
        f"The brake ended after {age(facts.get('seconds'))}: {text(facts.get('why'))}"
    ),
    "hub.hold.begin": lambda facts: (
        f"{text(facts.get('hub'))} leaves on purpose for {age(facts.get('seconds'))}:"
        f" {text(facts.get('reason'))}"
    ),
    "hub.hold.end": lambda facts: (
        f"The hold of {text(facts.get('hub'))} ended: {text(facts.get('why'))}"
    ),
    "gossip.parked": lambda facts: (
        f"A record of {text(facts.get('node'))} from {text(facts.get('hub'))} could not be applied"
        f" and was set aside: {text(facts.get('reason'))}"
    ),
    "gossip.refused": lambda facts: (
        f"What {text(facts.get('peer'))} says at {text(facts.get('door'))} is refused, and nothing of it"
        f" is kept: {text(facts.get('reason'))}"
    ),
    "gossip.repaired": lambda facts: (
        f"A digest sweep or a peer's record repaired {number(facts.get('records'))} records: this"
        " should never happen, please report it"
    ),
    "hub.isolated": lambda facts: (
        f"This hub reaches none of its {number(facts.get('peers'))} peers"
        f"{', which were stopped in order' if facts.get('by_plan') else ''}; it declares nobody dead"
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
    "incident.closed": lambda facts: (
        f"The incident {text(facts.get('incident'))} is over: hubs were equal again after"
        f" {age(facts.get('equal_after_seconds'))}, this one met {number(facts.get('conflicts'))}"
        " conflicts"
    ),
    "incident.opened": lambda facts: (
        f"The incident {text(facts.get('incident'))} began; on this side: {text(facts.get('island'))}"
    ),
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
    "node.check.failed": lambda facts: (
        f"The check {text(facts.get('check'))} of {text(facts.get('node_id'))} fails at"
        f" {text(facts.get('target'))}: {text(facts.get('message'))}"
    ),
    "node.check.passed": lambda facts: (
        f"The check {text(facts.get('check'))} of {text(facts.get('node_id'))} passes again"
    ),
    "mesh.split": lambda facts: (
        f"Hubs are apart: {text(facts.get('island'))} cannot reach {text(facts.get('missing'))}"
    ),
    "mesh.whole": lambda facts: (
        f"All hubs reach each other again after {age(facts.get('seconds'))}"
    ),
    "node.cloned": lambda facts: _cloned(facts),
    "node.offline": lambda facts: _turned(facts, "offline"),
    "node.online": lambda facts: _turned(facts, "online again"),
    "node.refused": lambda facts: (
        f"{text(facts.get('node_id'))} was removed by {text(facts.get('removed_by'))} and asks to come back"
    ),
    "node.registered": lambda facts: (
        f"{text(facts.get('node_id'))} {'may come back' if facts.get('was_removed') is True else 'may come'}:"
        f" registered by {text(facts.get('by'))}"
    ),
    "node.removed": lambda facts: (
        f"{text(facts.get('node_id'))} was removed by {text(facts.get('by'))}"
        f"{': ' + text(facts.get('why')) if facts.get('why') else ''}"
    ),
    "own.dropped": lambda facts: (
        f"{number(facts.get('records'))} records of its own {text(facts.get('signal'))} were dropped"
    ),
    "peer.admitted": lambda facts: (
        f"{text(facts.get('peer'))} may take part again, by word of {text(facts.get('by'))}"
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
    "peer.removed": lambda facts: (
        f"{text(facts.get('peer'))} was removed from the mesh through {text(facts.get('by'))}"
        f"{': ' + text(facts['why']) if facts.get('why') else ''}"
    ),
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
    "views.agree": lambda facts: f"Hubs believe the same again of {_subject(facts)}",
    "views.differ": lambda facts: f"Hubs believe different things of {_subject(facts)}",
}
