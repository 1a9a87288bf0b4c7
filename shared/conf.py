"""Replicated settings: one entry, the canonical bytes of many, and what an edge is given of them.

An entry is the word of a person about one key of one scope. Of two, the later stamp wins, with the
contents as the last word (as in shared.merge): merging is commutative, associative and idempotent,
reads no clock, and gives equal bytes on all hubs.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from shared.beat import NodeId, check_json
from shared.conf_report import Age, Key
from shared.conf_scope import SCOPE_LENGTH_MAX
from shared.errors import BadInput, TooLarge
from shared.merge import Count, UnixMs
from shared.stamp import Stamp

VALUE_BYTES_MAX = 16 * 1024  # Some hundred log files or rules; what is larger is no setting.
DOCUMENT_BYTES_MAX = 1024 * 1024


class Entry(msgspec.Struct, frozen=True):
    """What somebody wanted of a key, when and through which hub (both in the stamp).

    `gone` means: as if nobody had ever said anything, and then `value` is null. `before` is what the
    writer replaced, None for nothing. `more` is open: what newer versions add survives.
    """

    scope: Annotated[str, Meta(min_length=1, max_length=SCOPE_LENGTH_MAX)]
    key: Key
    value: Any
    stamp: Stamp
    author: Annotated[str, Meta(max_length=200)]
    at_ms: UnixMs
    gone: bool = False
    before: Any = None
    more: dict[str, Any] = {}

    @property
    def place(self) -> tuple[str, str]:
        """What the entry is about."""
        return self.scope, self.key


class Document(msgspec.Struct, frozen=True):
    """The settings that an edge should have, by key, and how old they are."""

    settings: dict[Key, Any] = {}
    age: Age = Age()

    @property
    def hash(self) -> str:
        """What recognises the settings: SHA-256 over their canonical bytes, in hex."""
        return hashlib.sha256(canonical(self.settings)).hexdigest()


class Request(msgspec.Struct, frozen=True):
    """An edge asks for its settings."""

    node_id: NodeId


def canonical(value: Any) -> bytes:
    """The bytes of a value: equal values give equal bytes, whatever the order of their keys."""
    return orjson.dumps(msgspec.to_builtins(value), option=orjson.OPT_SORT_KEYS)


def order(entry: Entry) -> tuple[Stamp, bytes]:
    """Of two entries about the same, the greater one holds."""
    # Two hubs with one id could reuse a stamp: then any rule would do that is the same everywhere.
    return entry.stamp, canonical(entry)


def later(mine: Entry | None, theirs: Entry) -> Entry:
    """The entry that holds."""
    if mine is None:
        return theirs
    if mine.stamp != theirs.stamp:
        return mine if mine.stamp > theirs.stamp else theirs
    return max(mine, theirs, key=order)


def content_hash(entries: Iterable[Entry]) -> str:
    """What recognises a whole set, in hex: equal on two hubs when they hold the same."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.place):
        digest.update(canonical(entry) + b"\n")
    return digest.hexdigest()


def read_entry(value: Any) -> Entry:
    """Check one entry from anywhere; raises BadInput."""
    try:
        entry = msgspec.convert(value, Entry)
    except msgspec.ValidationError as error:
        raise BadInput(f"a setting cannot be read: {error}") from error
    check_json([entry.value, entry.before, entry.more, entry.scope, entry.key, entry.author])
    check_stamp(entry.stamp)
    if max(map(len, map(canonical, (entry.value, entry.before, entry.more)))) > VALUE_BYTES_MAX:
        raise TooLarge(f"the setting {entry.key}", VALUE_BYTES_MAX)
    return entry


def check_stamp(stamp: Stamp) -> None:
    """Refuse a stamp that no hub makes; raises BadInput."""
    try:
        msgspec.convert([stamp.wall_ms, stamp.counter, stamp.hub_id], tuple[UnixMs, Count, NodeId])
    except msgspec.ValidationError as error:
        raise BadInput(f"a setting has a stamp that no hub makes: {error}") from error


EMPTY = Document()
EMPTY_HASH = EMPTY.hash
"""Of an edge for which nobody has set anything."""

_documents = msgspec.json.Decoder(Document)


def read_document(body: bytes) -> Document:
    """Read the settings of an edge; raises TooLarge or BadInput."""
    if len(body) > DOCUMENT_BYTES_MAX:
        raise TooLarge("the settings of an edge", DOCUMENT_BYTES_MAX)
    try:
        document = _documents.decode(body)
        check_json(document.settings)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the settings of this edge cannot be read: {error}") from error
    return document


def write_document(document: Document) -> bytes:
    """The settings of an edge as JSON."""
    return canonical(document)
