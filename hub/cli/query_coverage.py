"""What an answer covers, in words for a person: until when, and what is missing."""

from collections.abc import Iterator, Mapping
from typing import Any

from hub.cli.output import age, finish, moment, say

NODES_NAMED_MAX = 10  # A fleet that is gone must not fill the screen.
BEHIND_CHUNKS_UNSAID = 16  # What was committed a moment ago is always behind: that is no news.


def tell_and_finish(answer: Mapping[str, Any], found: int) -> None:
    """Say what the answer covers on standard error; exit 3 when partial, 4 when nothing matched."""
    coverage = answer.get("coverage") or {}
    for line in coverage_lines(coverage):
        say(line)
    scanned = answer.get("scanned") or {}
    if scanned.get("unreadable_chunks"):
        say(f"{scanned['unreadable_chunks']:,} damaged chunks were left out")
    if scanned.get("complete") is False:
        say("not all was looked at: narrow the time range to see the rest")
    if answer.get("more"):
        say(f"{answer['more']:,} more did not fit: see --limit")
    finish(answer, found)


def coverage_lines(coverage: Mapping[str, Any]) -> Iterator[str]:
    """What is to be known beside the answer; losses and missing nodes are told at its end."""
    if not coverage:
        return
    yield _until(coverage)
    if coverage.get("isolated"):
        yield "this hub reaches no other hub: what came to them meanwhile is not in this answer"
    if split := coverage.get("split"):
        yield (
            f"hubs are apart for {age(split['age_s'])}: only {', '.join(split['island'])} of"
            f" {', '.join(split['configured'])} answer here ({split['side']})"
        )
    behind = coverage.get("behind") or ()
    yield from _behind(behind, coverage.get("behind_nodes") or len(behind))
    yield from _index(coverage.get("index") or {})
    if coverage.get("damaged_chunks"):
        yield f"{coverage['damaged_chunks']:,} damaged chunks are not yet fetched from another hub"
    for skewed in (coverage.get("skewed") or ())[:NODES_NAMED_MAX]:
        ahead = skewed["clock_skew_ms"]
        side = "ahead" if ahead > 0 else "behind"
        yield f"the clock of {skewed['node']} is {age(abs(ahead) / 1000)} {side}"


def _until(coverage: Mapping[str, Any]) -> str:
    where = f" ({coverage['hub']})" if coverage.get("hub") else ""
    until = coverage.get("complete_until")
    if until is None:
        return f"it is not known until when this is complete{where}"
    return f"complete until {moment(until)}{where}"


def _behind(nodes: Any, count: int) -> Iterator[str]:
    for node in nodes[:NODES_NAMED_MAX]:
        known = node.get("age_s") is not None
        by = f"is behind by {age(node['age_s'])}" if known else "was never heard of"
        holds = f"{node.get('chunks', 0):,} chunks, {node.get('records', 0):,} records to come"
        yield f"{node['node']} ({node.get('state', 'unknown')}) {by}: {holds}"
    if count > NODES_NAMED_MAX:
        yield f"{count - NODES_NAMED_MAX:,} more nodes are behind"


def _index(index: Mapping[str, Any]) -> Iterator[str]:
    chunks = index.get("behind_chunks") or 0
    if chunks > BEHIND_CHUNKS_UNSAID:
        yield f"the index is behind by {chunks:,} chunks, which were read instead"
    if index.get("error"):
        yield f"the index cannot be made now: {index['error']}"
