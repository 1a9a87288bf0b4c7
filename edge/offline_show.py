"""What the folder of an edge holds, in short: as an object for programs and as tables for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge.books import Books, Segment, oldest_ms
from edge.ledger import COLUMNS, ledger_of
from edge.letters import DeadLetter
from edge.offline import Survey
from edge.offline_filter import moment
from edge.segments import path_of
from shared.sums import Sum

MS = 1_000_000
HIDDEN = frozenset({"accepted"})
"""What a hub has of the buffer, only the running agent knows."""

Rows = Sequence[Sequence[str]]


def summary(
    surveyed: Survey, letters: Sequence[DeadLetter], faults: Sequence[str]
) -> dict[str, Any]:
    """All that the folder tells without reading every byte. Times are Unix milliseconds or None."""
    place, books = surveyed.place, surveyed.books
    return {
        "folder": str(place.folder),
        "node_id": place.node_id,
        "agent_pid": place.agent_pid,
        **(_state(surveyed, books) if books else {}),
        "dead_letters": len(letters),
        "dead_letter_records": sum(letter.records for letter in letters),
        "findings": list(faults),
    }


def _state(surveyed: Survey, books: Books) -> dict[str, Any]:
    held = books.held
    total = sum(held.values(), Sum())
    ledger = {key: each for key, each in ledger_of(books, {}).items() if key not in HIDDEN}
    return {
        "epoch": books.epoch,
        "head_seq": books.totals.head_seq,
        "head_hash": books.totals.head_hash.hex(),
        **_counts(total),
        "seqs": books.seqs.to_wire(),
        "oldest_ms": oldest_ms(books),
        "newest_ms": max((each.last_ms for each in books.segments if each.live), default=None),
        "by_signal": {signal: _counts(each) for signal, each in held.items()},
        "ledger": ledger,
        "segments": [_segment(surveyed, each) for each in books.segments],
    }


def _counts(total: Sum) -> dict[str, int]:
    return {"chunks": total.chunks, "records": total.records, "bytes": total.stored_bytes}


def _segment(surveyed: Survey, segment: Segment) -> dict[str, Any]:
    path = path_of(surveyed.place.buffer, segment.number)
    return {
        "file": path.name,
        "epoch": segment.epoch,
        "seqs": segment.live.to_wire(),
        **_counts(segment.held),
        "by_signal": {signal: each.stored_bytes for signal, each in segment.sums.items()},
        "file_bytes": path.stat().st_size if path.exists() else None,
        "oldest_ms": segment.first_ms or None,
        "newest_ms": segment.last_ms or None,
    }


def tables(shown: Mapping[str, Any]) -> Iterator[Rows]:
    """The tables for people: the whole, the files, the ledger, and what is wrong."""
    yield list(_overview(shown))
    if "epoch" not in shown:
        return
    yield [("FILE", "CHUNKS", "RECORDS", "BYTES", "OLDEST", "NUMBERS"), *_files(shown["segments"])]
    if shown["ledger"]["by_signal"]:
        columns = [name for name in COLUMNS if name not in HIDDEN]
        rows = {**shown["ledger"]["by_signal"], "all": shown["ledger"]}
        yield [
            ("SIGNAL", *(name.upper() for name in columns)),
            *((signal, *(str(line[name]) for name in columns)) for signal, line in rows.items()),
        ]


def _overview(shown: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield "folder", shown["folder"]
    yield "node", shown["node_id"] or "-"
    yield "agent", f"runs as process {shown['agent_pid']}" if shown["agent_pid"] else "is stopped"
    if "epoch" in shown:
        yield "epoch", f"{shown['epoch']}, head {shown['head_seq']}"
        holds = f"{shown['chunks']} chunks, {shown['records']} records, {shown['bytes']} bytes"
        yield "holds", holds
        for signal, each in shown["by_signal"].items():
            yield f"  {signal}", f"{each['records']} records, {each['bytes']} bytes"
        yield "oldest", _time(shown["oldest_ms"])
        yield "newest", _time(shown["newest_ms"])
    count, records = shown["dead_letters"], shown["dead_letter_records"]
    yield "dead letters", f"{count} chunks, {records} records"


def _files(segments: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for each in segments:
        counts = (str(each[name]) for name in ("chunks", "records", "bytes"))
        yield each["file"], *counts, _time(each["oldest_ms"]), _numbers(each["seqs"])


def _numbers(spans: Sequence[Sequence[int]]) -> str:
    words = [f"{first}-{last}" if first != last else f"{first}" for first, last in spans[:3]]
    more = [f"and {len(spans) - 3} more"] if len(spans) > 3 else []
    return ", ".join([*words, *more]) or "-"


def _time(time_ms: int | None) -> str:
    return moment(time_ms * MS if time_ms else None)


def faults_of(surveyed: Survey) -> Iterator[str]:
    """What is wrong with the folder, as far as a short look tells."""
    for unread in surveyed.unread:
        yield f"file {unread.number} cannot be read: {unread.why}"
    if surveyed.books is None:
        yield "no file of the log can be read"
    elif not surveyed.is_whole and not surveyed.unread:
        yield f"file {surveyed.successor}, the newest, is gone or empty"
    elif surveyed.is_whole:
        for segment in surveyed.books.segments:
            path = path_of(surveyed.place.buffer, segment.number)
            if not path.exists():
                yield f"{path.name} is gone"
        yield from (f"the books of {each} do not balance" for each in surveyed.books.imbalance())
