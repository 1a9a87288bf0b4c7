"""The methods about replicated settings, and what heartbeats and the door of edges ask of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from msgspec import Struct

from hub import params
from hub.conf.book import ConfBook, Unsaved
from hub.conf.check import Change, check_edges, scope_for, sound_values
from hub.conf.describe import describe_book, describe_entry, describe_sources
from hub.conf.drift import Drift, Surveyor, describe_drift, judge
from hub.conf.params import ConfDrift, ConfHistory, SetConf, UnsetConf
from hub.conf.resolve import Resolver
from hub.conf.section import Section
from shared.conf import Entry, Request, check_stamp, write_document
from shared.conf_report import Report, Wanted
from shared.conf_scope import NODE
from shared.errors import BadInput, RpcError
from shared.label_name import check_label_names
from shared.stamp import Stamp

REQUEST_BYTES_MAX = 4096
UNFIT_REMEMBERED_MAX = 1000

Labels = Mapping[str, str]
Tell = Callable[[str, Mapping[str, Any]], None]
Save = Callable[[Unsaved], Awaitable[None]]
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@contextmanager
def _as_refusal() -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise RpcError("invalid_params", str(error)) from error


@dataclass(frozen=True, slots=True)
class Around:
    """What the settings need of the hub. `labels_of` is None for a node that is not known; `save`
    returns when it is on disk; `changed` is rung after every change, from here or from a peer."""

    stamp: Callable[[], Awaitable[Stamp]]
    wall_ms: Callable[[], int]
    labels_of: Callable[[str], Labels | None]
    nodes: Callable[[], Iterable[tuple[str, Labels]]]
    save: Save
    changed: Callable[[], None]
    tell: Tell


@dataclass(slots=True)
class ConfMethods:
    """Reads and writes the settings; each handler takes the parameters of a call and may raise
    RpcError."""

    book: ConfBook
    resolver: Resolver
    drift: Drift
    around: Around
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    async def get(self, raw: dict[str, Any]) -> dict[str, Any]:
        """All settings of the cluster, and which settings there are."""
        params.read(params.Nothing, raw)
        return describe_book(self.book, self.resolver)

    async def set(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Set settings for all hubs, or for the edges with all of the labels: settings, for, labels,
        author."""
        asked = params.read(SetConf, raw)
        with _as_refusal():
            check_label_names(asked.labels)
            scope = scope_for(asked.settings, asked.whom, asked.labels)
            change = Change(scope, sound_values(scope, asked.settings))
        return await self._write(change, asked.author)

    async def unset(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Take settings back, as if nobody had set them: keys, for, labels, author."""
        asked = params.read(UnsetConf, raw)
        with _as_refusal():
            scope = scope_for(asked.keys, asked.whom, asked.labels)
        for key in asked.keys:
            if key not in self.book.values(scope.text):
                raise RpcError("not_found", f"{key} is not set for {scope.text}", {"key": key})
        return await self._write(Change(scope, {}, tuple(asked.keys)), asked.author)

    async def _write(self, change: Change, author: str) -> dict[str, Any]:
        """Check against all that is in force, write to disk, and only then tell and answer."""
        async with self._writing:
            scope = change.scope.text
            with _as_refusal():
                self.book.check_room((scope, key) for key in change.values)
                check_edges(self.book, change, self._edges())
            with _as_refusal():
                entries = await self._entries(change, author)
            await self.around.save(Unsaved(entries, []))
            for entry in entries:
                self.book.add(entry)
            self.book.written += len(entries)
        self.around.changed()
        return {"hash": self.book.versions.hash, "items": list(map(describe_entry, entries))}

    def _edges(self) -> Iterable[Labels]:
        return ({**labels, NODE: node_id} for node_id, labels in self.around.nodes())

    async def _entries(self, change: Change, author: str) -> list[Entry]:
        scope, at_ms = change.scope, self.around.wall_ms()
        values = self.book.values(scope.text)

        async def entry(key: str, value: Any, *, gone: bool) -> Entry:
            before, stamp = values.get(key), await self.around.stamp()
            stamp = self._over_what_is_held((scope.text, key), stamp)
            return Entry(scope.text, key, value, stamp, author, at_ms, gone, before)

        written = [await entry(key, value, gone=False) for key, value in change.values.items()]
        return written + [await entry(key, None, gone=True) for key in dict.fromkeys(change.gone)]

    def _over_what_is_held(self, place: tuple[str, str], stamp: Stamp) -> Stamp:
        """A stamp that wins over what a person saw here, even where a clock far ahead wrote that."""
        held = self.book.versions.current.get(place)
        if held is None or held.stamp < stamp:
            return stamp
        over = Stamp(held.stamp.wall_ms, held.stamp.counter + 1, stamp.hub_id)
        check_stamp(over)
        return over

    async def history(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Who changed what, when and through which hub, the newest first: key, limit."""
        asked = params.read(ConfHistory, raw)
        found = (
            entry
            for entry in self.book.versions.newest_first()
            if asked.key is None or entry.key == asked.key
        )
        return {"items": [describe_entry(entry) for entry in islice(found, asked.limit)]}

    async def show_drift(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Which edges have not the settings that they should have, the worst first: limit."""
        asked = params.read(ConfDrift, raw)
        surveyor = Surveyor(self.drift, asked.limit)
        for _ in surveyor.steps():
            await asyncio.sleep(0)
        return describe_drift(surveyor.survey)

    async def effective(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What one edge should have, where each setting comes from, and what it has applied: node."""
        node_id = params.read(params.OfNode, raw).node
        labels = self.around.labels_of(node_id)
        if labels is None:
            raise RpcError("not_found", f"there is no node {node_id}")
        wanted = self.resolver.wanted(node_id, labels)
        report = self.drift.of_node(node_id)
        return {
            "node_id": node_id,
            "labels": dict(labels),
            "wanted": wanted.hash,
            "applied": report.applied if report else None,
            "state": str(judge(wanted.hash, report)) if report else "unknown",
            "error": (report.error or None) if report else None,
            "waiting": report.waiting if report else [],
            "items": describe_sources(self.resolver.sources(node_id, labels)),
        }

    def hear(self, node_id: str, labels: Labels, report: Report) -> Wanted:
        """A heartbeat: note what it said of the settings, and return what the edge should have."""
        self.drift.note(node_id, labels, report, self.around.wall_ms())
        return self.resolver.wanted(node_id, labels)

    def document_for(self, request: Request) -> bytes:
        """The door of edges: the settings of one edge. Raises BadInput for one that is not known."""
        labels = self.around.labels_of(request.node_id)
        if labels is None:
            raise BadInput(f"{request.node_id} has sent no heartbeat yet")
        return write_document(self.resolver.document(request.node_id, labels))

    def take(self, section: Section, hub_id: str) -> list[Entry]:
        """What a peer told; returns what was news. Raises BadInput.

        What was taken in waits for `save_told`.
        """
        parked = self.book.counters["parked"]
        news = self.book.take(section, hub_id)
        if self.book.counters["parked"] > parked:
            last = self.book.parked[-1]
            self._tell_once(
                (hub_id, last.reason, ""), "conf.parked", {"peer": hub_id, "reason": last.reason}
            )
        if news:
            self.around.changed()
            self._tell_unfit()
        return news

    async def save_told(self) -> None:
        """Write what is new; raises Unavailable, and then it is written with the next call."""
        unsaved = self.book.take_unsaved()
        if not unsaved.entries and not unsaved.dropped:
            return
        try:
            await self.around.save(unsaved)
        # Also when this is cancelled: what may not be on disk is to be written again.
        except BaseException:
            self.book.put_back(unsaved)
            raise

    def _tell_unfit(self) -> None:
        for unfit in self.resolver.unfit:
            entry = unfit.entry
            facts = {"key": entry.key, "scope": entry.scope, "reason": unfit.reason}
            self._tell_once((entry.scope, entry.key, unfit.reason), "conf.not_applied", facts)

    def _tell_once(self, about: tuple[str, str, str], name: str, facts: Mapping[str, Any]) -> None:
        if about in self._told:
            return
        if len(self._told) >= UNFIT_REMEMBERED_MAX:
            self._told.clear()
        self._told.add(about)
        self.around.tell(name, facts)


def conf_methods(methods: ConfMethods) -> dict[str, tuple[Handler, type[Struct]]]:
    """What answers each method, and the type of its parameters, for the table of the hub."""
    return {
        "config.get": (methods.get, params.Nothing),
        "config.set": (methods.set, SetConf),
        "config.unset": (methods.unset, UnsetConf),
        "config.history": (methods.history, ConfHistory),
        "config.drift": (methods.show_drift, ConfDrift),
        "config.effective": (methods.effective, params.OfNode),
    }
