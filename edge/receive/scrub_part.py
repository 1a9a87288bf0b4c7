"""Rules applied to one part: first records are dropped, as they came, then the rest is redacted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.receive.scrub_clean import Cleaning
from edge.receive.scrub_drop import Dropping
from edge.receive.scrub_rules import DropRule, ScrubRule
from shared.otlp_tree import NESTS, TREES, prune
from shared.records import Part


@dataclass(frozen=True, slots=True)
class Tally:
    """What the rules did to one part, by the names of the rules."""

    dropped: Counter[str] = field(default_factory=Counter)
    """Records."""
    redacted: Counter[str] = field(default_factory=Counter)
    """Texts in which something was replaced, and attributes that were removed."""


def scrub_part(part: Part, rules: Sequence[ScrubRule]) -> tuple[Part, Tally]:
    """The part as the rules for its signal leave it, which is the same object when they change nothing.

    A part of which every record was dropped has 0 records and no body. Raises BadInput for a body
    that cannot be read: what nobody can look into must not pass.
    """
    rules = [rule for rule in rules if part.signal in rule.signals]
    tree = TREES[part.encoding]
    request = tree.open(part.signal, part.body)
    drops = [rule for rule in rules if isinstance(rule, DropRule)]
    tally = Tally(Dropping(tree, part.signal, drops).drop(request))
    if tally.dropped:
        prune(tree, part.signal, request)
        if not tree.many(request, NESTS[part.signal][0]):
            return Part(part.signal, part.encoding, b"", 0, 0, 0), tally
    for rule in rules:
        changed = (
            0 if isinstance(rule, DropRule) else Cleaning(tree, part.signal, rule).clean(request)
        )
        if changed:
            tally.redacted[rule.name] = changed
    is_changed = tally.dropped or tally.redacted
    return (tree.seal(part.signal, request) if is_changed else part), tally
