"""How replicated settings look from outside."""

from collections.abc import Mapping
from typing import Any

from hub.conf.book import ConfBook, Parked
from hub.conf.resolve import Resolver, Unfit
from hub.describe import time_of_ms
from shared.conf import Entry
from shared.conf_scope import read_scope
from shared.conf_table import TABLES
from shared.errors import BadInput


def describe_scope(text: str) -> dict[str, Any]:
    """For whom an entry is; of a scope of a newer version, only its text."""
    try:
        scope = read_scope(text)
    except BadInput:
        return {"scope": text, "for": None, "labels": {}}
    return {"scope": text, "for": scope.kind, "labels": dict(scope.labels)}


def describe_entry(entry: Entry) -> dict[str, Any]:
    """One version of one setting: who wanted what, when, through which hub, and what it replaced."""
    return {
        **describe_scope(entry.scope),
        "key": entry.key,
        "value": entry.value,
        "unset": entry.gone,
        "before": entry.before,
        "author": entry.author,
        "hub_id": entry.stamp.hub_id,
        "at": time_of_ms(entry.at_ms),
        "version": version_of(entry),
    }


def version_of(entry: Entry) -> str:
    """The stamp as one text that people can compare and quote."""
    return f"{entry.stamp.wall_ms}.{entry.stamp.counter}@{entry.stamp.hub_id}"


def describe_book(book: ConfBook, resolver: Resolver) -> dict[str, Any]:
    """All that is set, and what of it this hub cannot apply."""
    return {
        "hash": book.versions.hash,
        "items": [describe_entry(entry) for entry in book.in_force()],
        "not_applied": [_describe_unfit(each) for each in resolver.unfit],
        "parked": [_describe_parked(each) for each in book.parked],
        "counters": dict(book.counters),
        "known": [
            {
                "for": kind,
                "key": setting.key,
                "meaning": setting.meaning,
                "applies": setting.applies,
            }
            for kind, table in TABLES.items()
            for setting in table.values()
        ],
    }


def _describe_unfit(unfit: Unfit) -> dict[str, Any]:
    return {"scope": unfit.entry.scope, "key": unfit.entry.key, "reason": unfit.reason}


def _describe_parked(parked: Parked) -> dict[str, Any]:
    return {"hub_id": parked.hub_id, "reason": parked.reason, "text": parked.text}


def describe_sources(sources: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """What one edge is given, and from which scope each of it comes."""
    return [describe_entry(sources[key]) for key in sorted(sources)]
