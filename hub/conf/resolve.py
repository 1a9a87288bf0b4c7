"""What each edge should have: the settings of all scopes that fit it, the more specific over the rest.

Of two scopes that fit one edge, the greater `Scope.rank` wins for each key. Asked at every heartbeat,
so answers are kept for as long as the book does not change, by the labels that matter to any scope.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.conf.book import ConfBook
from hub.conf.scope_index import ScopeIndex, Signature
from shared.conf import Document, Entry
from shared.conf_report import Age, Wanted
from shared.conf_scope import HUBS, NODE, Scope, read_scope
from shared.conf_table import TABLES
from shared.errors import BadInput

KEPT_MAX = 10_000  # Different edges, to the settings; beyond them answers are made anew.


@dataclass(frozen=True, slots=True)
class Unfit:
    """A setting that this hub holds and passes on, but does not apply, and why."""

    entry: Entry
    reason: str


@dataclass(slots=True)
class _Build:
    """All that follows from one state of the book."""

    changes: int = -1
    age: Age = field(default_factory=Age)
    rules: ScopeIndex[Entry] = field(default_factory=lambda: ScopeIndex(()))
    hubs: dict[str, Any] = field(default_factory=dict)
    unfit: list[Unfit] = field(default_factory=list)
    wanted: dict[Signature, Wanted] = field(default_factory=dict)
    since_ms: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Resolver:
    """Answers from the book as it is now; `wall_ms` is asked once for each change."""

    book: ConfBook
    wall_ms: Callable[[], int]
    _held: _Build = field(default_factory=_Build)

    @property
    def _now(self) -> _Build:
        if self._held.changes != self.book.changes:
            self._held = _build(self.book, self._held, self.wall_ms())
        return self._held

    def wanted(self, node_id: str, labels: Mapping[str, str]) -> Wanted:
        """What a heartbeat is answered with."""
        held = self._now
        signature = held.rules.signature({**labels, NODE: node_id})
        return held.wanted.get(signature) or self._find(signature)

    def _find(self, signature: Signature) -> Wanted:
        held = self._held
        document = _document(held, held.rules.labels_of(signature))
        found = Wanted(document.hash, document.age)
        if len(held.wanted) >= KEPT_MAX:
            held.wanted.clear()
        held.wanted[signature] = found
        held.since_ms.setdefault(found.hash, held.since_ms[""])
        return found

    def document(self, node_id: str, labels: Mapping[str, str]) -> Document:
        """The settings of one edge."""
        return _document(self._now, {**labels, NODE: node_id})

    def sources(self, node_id: str, labels: Mapping[str, str]) -> dict[str, Entry]:
        """For each key that is set for an edge, the entry that holds."""
        return _sources(self._now, {**labels, NODE: node_id})

    @property
    def hub_settings(self) -> dict[str, Any]:
        """What is set for all hubs, and can be applied here."""
        return dict(self._now.hubs)

    @property
    def unfit(self) -> list[Unfit]:
        """What is set, and cannot be applied here."""
        return list(self._now.unfit)

    @property
    def named_nodes(self) -> frozenset[str]:
        """The nodes that some scope names."""
        return self._now.rules.known.get(NODE, frozenset())

    def since_ms(self, wanted_hash: str) -> int:
        """Since when this hub has wanted a set, Unix ms."""
        held = self._now
        return held.since_ms.get(wanted_hash, held.since_ms[""])


def _build(book: ConfBook, before: _Build, wall_ms: int) -> _Build:
    build = _Build(book.changes, book.versions.age)
    rules: list[tuple[Scope, Entry]] = []
    for entry in book.in_force():
        try:
            scope = fitting_scope(entry)
        except BadInput as error:
            build.unfit.append(Unfit(entry, str(error)))
            continue
        if scope.kind == HUBS:
            build.hubs[entry.key] = entry.value
        else:
            rules.append((scope, entry))
    build.rules = ScopeIndex(rules)
    kept = {wanted.hash for wanted in before.wanted.values()}
    build.since_ms = {each: ms for each, ms in before.since_ms.items() if each in kept}
    build.since_ms[""] = wall_ms  # Of every set that is wanted from this change on.
    return build


def _sources(build: _Build, labels: Mapping[str, str]) -> dict[str, Entry]:
    return {entry.key: entry for entry in build.rules.fitting(labels)}


def _document(build: _Build, labels: Mapping[str, str]) -> Document:
    sources = _sources(build, labels)
    return Document({key: sources[key].value for key in sorted(sources)}, build.age)


def fitting_scope(entry: Entry) -> Scope:
    """The scope of an entry that this version can apply; raises BadInput that says why it cannot."""
    scope = read_scope(entry.scope)
    setting = TABLES[scope.kind].get(entry.key)
    if setting is None:
        raise BadInput(f"{entry.key} is not a setting of {scope.kind} that this version knows")
    try:
        sound = setting.read(entry.value)
    except ValueError as error:
        raise BadInput(f"{entry.key} must be {error}") from error
    if sound != entry.value:
        raise BadInput(f"{entry.key} is not written as this version writes it")
    return scope
