"""Whether settings may be written: each against its table, and all that one edge would get together.

What is refused here never spreads. A hub does not know the files, rules and own settings of each
machine, so an edge checks again, keeps its last good settings if it must, and says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from typing import Any

from hub.conf.book import ConfBook
from hub.conf.resolve import fitting_scope
from hub.conf.scope_index import ScopeIndex, Signature
from shared.beat import check_json
from shared.conf import VALUE_BYTES_MAX, Entry, canonical
from shared.conf_scope import EDGES, HUBS, NODE, Scope, read_scope, scope_of
from shared.conf_table import PAIRS, TABLES, check_together
from shared.errors import BadInput

TOGETHER = frozenset(chain.from_iterable(PAIRS))
"""The keys that can contradict each other; only their scopes are tried together."""

KINDS_TRIED_MAX = 5000  # Kinds of edges; beyond them edges check for themselves.

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written in one scope: sound values by key, and keys to take away."""

    scope: Scope
    values: dict[str, Any]
    gone: tuple[str, ...] = ()


def scope_for(keys: Iterable[str], wanted: str | None, labels: Labels) -> Scope:
    """Who is meant, when nobody said, by the keys themselves; raises BadInput."""
    if wanted is not None or labels:
        return scope_of(wanted or EDGES, labels)
    kinds = {kind for kind, table in TABLES.items() if all(key in table for key in keys)}
    if len(kinds) > 1:
        raise BadInput(f"{', '.join(keys)} is known to {HUBS} and to {EDGES}: say which are meant")
    if not kinds:
        raise _unknown(keys)
    return scope_of(kinds.pop(), {})


def _unknown(keys: Iterable[str]) -> BadInput:
    known = sorted({key for table in TABLES.values() for key in table})
    for key in keys:
        if key not in known:
            return BadInput(f"{key[:64]} is not a setting of the cluster{_hint(key, known)}")
    return BadInput(f"{', '.join(keys)} are not all of {HUBS}, and not all of {EDGES}")


def _hint(key: str, known: Iterable[str]) -> str:
    near = get_close_matches(key, list(known), 1)
    return f": did you mean {near[0]}?" if near else f": known are {', '.join(known)}"


def sound_values(scope: Scope, given: Mapping[str, object]) -> dict[str, Any]:
    """The values as they are kept; raises BadInput that names the key and what it must be."""
    return {key: _sound(scope.kind, key, value) for key, value in given.items()}


def _sound(kind: str, key: str, value: object) -> Any:
    table = TABLES[kind]
    if key not in table:
        others = [other for other, known in TABLES.items() if key in known]
        hint = f": it is one of {others[0]}" if others else _hint(key, sorted(table))
        raise BadInput(f"{key[:64]} is not a setting of {kind}{hint}")
    try:
        found = table[key].read(value)
    except ValueError as error:
        raise BadInput(f"{key} must be {error}; it is {_shown(value)}") from error
    check_json(found)
    if len(canonical(found)) > VALUE_BYTES_MAX:
        raise BadInput(f"{key} is larger than the limit of {VALUE_BYTES_MAX} bytes")
    return found


def _shown(value: object) -> str:
    return repr(value)[:100]


def check_edges(book: ConfBook, change: Change, edges: Iterable[Labels]) -> None:
    """Whether every edge would still have settings that fit each other; raises BadInput.

    Tried are the scope itself, its meetings with every other scope, and the edges that are known, each
    with its labels and its `node`.
    """
    if change.scope.kind != EDGES or not TOGETHER & {*change.values, *change.gone}:
        return
    rules = _rules_after(book, change)
    index = ScopeIndex(rules)
    meetings = _meetings(change.scope, [scope for scope, _ in rules])
    # Edges that no scope tells apart get the same.
    tried: set[Signature] = set()
    for labels in chain(meetings, edges):
        signature = index.signature(labels)
        if signature in tried or not change.scope.fits(labels):
            continue
        if len(tried) >= KINDS_TRIED_MAX:
            return
        tried.add(signature)
        _check_one(index.fitting(labels), labels)


def _rules_after(book: ConfBook, change: Change) -> list[tuple[Scope, dict[str, Any]]]:
    """All settings of edges that can contradict each other, as they would be."""
    by_scope: dict[str, dict[str, Any]] = {change.scope.text: {}}
    for entry in book.in_force():
        if entry.key in TOGETHER and _is_of_edges(entry):
            by_scope.setdefault(entry.scope, {})[entry.key] = entry.value
    own = by_scope[change.scope.text] | change.values
    by_scope[change.scope.text] = {key: own[key] for key in own if key not in change.gone}
    return [(read_scope(text), values) for text, values in by_scope.items()]


def _is_of_edges(entry: Entry) -> bool:
    try:
        return fitting_scope(entry).kind == EDGES
    except BadInput:  # Of a newer version: passed on, and not for the edges of this one.
        return False


def _meetings(scope: Scope, others: Iterable[Scope]) -> list[dict[str, str]]:
    """The labels of an edge that the scope and one other both mean."""
    own = dict(scope.labels)
    unions = ({**dict(other.labels), **own} for other in others if _can_meet(own, other))
    return [own, *unions]


def _can_meet(own: Labels, other: Scope) -> bool:
    return all(own.get(name, value) == value for name, value in other.labels)


def _check_one(fitting: Iterable[dict[str, Any]], labels: Labels) -> None:
    together: dict[str, Any] = {}
    for values in fitting:
        together |= values
    try:
        check_together(together)
    except ValueError as error:
        named = labels.get(NODE)
        pairs = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
        whom = f"the edge {named}" if named else f"edges with {pairs}" if pairs else "every edge"
        raise BadInput(f"{whom} would have settings that contradict each other: {error}") from error
