"""The sink that everything passes on its way to the buffer, and that keeps back what rules name."""

from collections import Counter as Tallies
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from edge.receive.scrub_part import Tally, scrub_part
from edge.receive.scrub_rules import ScrubRule
from edge.receive.sink import Sink
from shared.records import KIB, Checkpoint, Part, Signal

Offload = Callable[[Callable[[], Any]], Awaitable[Any]]

HEAVY_BYTES_MIN = 64 * KIB
"""From this size on, parts are scrubbed beside the event loop: they take milliseconds."""


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What one rule did since the start. A text that two rules changed counts for both."""

    dropped_records: int
    redacted_values: int


class ScrubCounters:
    """What rules keep back, by the names that the operator gave them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._dropped = Counter(
            "headwater_edge_scrub_records_dropped",
            "Records that a rule dropped before they were kept.",
            ["rule"],
            registry=registry,
        )
        self._redacted = Counter(
            "headwater_edge_scrub_values_redacted",
            "Texts in which a rule replaced something, and attributes that it removed.",
            ["rule"],
            registry=registry,
        )

    def begin(self, rule: str) -> None:
        """Show a rule that has done nothing yet with zeros."""
        self._dropped.labels(rule)
        self._redacted.labels(rule)

    def count(self, tally: Tally) -> None:
        """A part with these changes is on disk, or all of it was dropped."""
        for rule, records in tally.dropped.items():
            self._dropped.labels(rule).inc(records)
        for rule, values in tally.redacted.items():
            self._redacted.labels(rule).inc(values)


class Scrubbed:
    """A sink in front of another one. Parts of signals that no rule is about pass unread."""

    def __init__(
        self, sink: Sink, rules: Sequence[ScrubRule], counters: ScrubCounters, offload: Offload
    ) -> None:
        self._sink = sink
        self._counters = counters
        self._offload = offload
        self._rules = {
            signal: [rule for rule in rules if signal in rule.signals] for signal in Signal
        }
        self._dropped: Tallies[str] = Tallies({rule.name: 0 for rule in rules})
        self._redacted: Tallies[str] = Tallies({rule.name: 0 for rule in rules})
        for rule in rules:
            counters.begin(rule.name)

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        """Return after the commit of what the rules leave, and of the checkpoint in any case.

        Raises BufferFull, and BadInput when the part cannot be read. Only what was committed is
        counted, so that a part that comes again after a refusal counts once.
        """
        rules = self._rules[part.signal]
        if not rules or not part.records:
            await self._sink.append(part, checkpoint)
            return
        scrubbed, tally = await self._scrub(part, rules)
        if scrubbed.records or checkpoint:
            await self._sink.append(scrubbed, checkpoint)
        self._dropped.update(tally.dropped)
        self._redacted.update(tally.redacted)
        self._counters.count(tally)

    async def checkpoint(self, key: str) -> bytes | None:
        """The state that was last committed under this key."""
        return await self._sink.checkpoint(key)

    def counts(self) -> Mapping[str, RuleCount]:
        """What each rule did since the start, also those that did nothing."""
        return {
            name: RuleCount(dropped, self._redacted[name])
            for name, dropped in self._dropped.items()
        }

    async def _scrub(self, part: Part, rules: Sequence[ScrubRule]) -> tuple[Part, Tally]:
        if len(part.body) < HEAVY_BYTES_MIN:
            return scrub_part(part, rules)
        done: tuple[Part, Tally] = await self._offload(lambda: scrub_part(part, rules))
        return done
