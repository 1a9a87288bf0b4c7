"""One epoch of a log as a hub can account for it, and how that is told. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.ledger import MOVED, Declared, DeclaredGap, Loss, declared, unaccounted
from shared.ranges import NOTHING, Ranges
from shared.sums import Sum

SHOWN_RANGES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The epoch before, its last number as the edge knew it, and what is held and declared of it."""

    epoch: str
    last_seq: int
    held: Ranges
    declared: Ranges

    def to_wire(self) -> dict[str, Any]:
        """The linkage: what of the epoch before came here before it ended."""
        whole = Ranges(((1, self.last_seq),)) if self.last_seq else NOTHING
        carried = whole - self.held - self.declared
        beyond = self.held - whole
        return {
            "epoch": self.epoch,
            "last_seq": self.last_seq,
            "held": (whole & self.held).count,
            "carried_over": carried.count,
            "beyond": shown_ranges(beyond),
        }


@dataclass(frozen=True, slots=True)
class EpochBook:
    """Everything that a hub knows of one epoch of a log."""

    origin: str
    epoch: str
    held: Ranges
    by_signal: Mapping[str, Sum]
    declared_seqs: Ranges
    gaps: Sequence[DeclaredGap]
    gaps_total: int
    predecessor: Predecessor | None
    is_succeeded: bool
    first_received_ms: int
    kept_beside: int

    @property
    def head(self) -> int:
        """The last number that is held."""
        return self.held.last

    @property
    def holes(self) -> Ranges:
        """What is missing without a word; nothing for an epoch whose successor took over the rest."""
        return NOTHING if self.is_succeeded else unaccounted(self.held, self.declared_seqs)


def describe_epoch(book: EpochBook) -> dict[str, Any]:
    """One epoch as RPC, pages and the command line show it."""
    found = declared(book.gaps, book.held)
    holes = book.holes
    return {
        "epoch": book.epoch,
        "head": book.head,
        "held": {**_sum(book).to_wire(), "ranges": shown_ranges(book.held)},
        "by_signal": {name: each.to_wire() for name, each in sorted(book.by_signal.items())},
        "gaps": [_loss_to_wire(loss) for loss in found.losses],
        "gaps_filled": found.filled,
        "gaps_declared": book.gaps_total,
        "gaps_left_out": book.gaps_total - len(book.gaps),
        "holes": {"count": holes.count, "ranges": shown_ranges(holes)},
        "predecessor": book.predecessor.to_wire() if book.predecessor else None,
        "succeeded": book.is_succeeded,
        "conflict_chunks": book.kept_beside,
        "complete": not holes,
        "summary": summary(book, found),
    }


def _sum(book: EpochBook) -> Sum:
    return sum(book.by_signal.values(), Sum())


def _loss_to_wire(loss: Loss) -> dict[str, Any]:
    return {
        "reason": loss.reason,
        "signal": loss.signal,
        "lost": loss.reason not in MOVED,
        "gaps": loss.gaps,
        "chunks": loss.chunks,
        "records": loss.records,
        "bytes": loss.stored_bytes,
        "ranges": shown_ranges(loss.seqs),
    }


def shown_ranges(seqs: Ranges) -> list[list[int]]:
    """The newest ranges of a set, oldest of them first: an answer must not grow with the trouble."""
    return Ranges(seqs.spans[-SHOWN_RANGES_MAX:]).to_wire()


def summary(book: EpochBook, found: Declared) -> str:
    """One line: "edge-1 epoch e1: 1..9 complete, 2 declared gaps [3-4 shed logs, 200 records]"."""
    line = f"{book.origin} epoch {book.epoch}: {_extent(book)}"
    count = sum(loss.gaps for loss in found.losses)
    if count:
        line += f", {count} declared {_plural('gap', count)} [{_told(found.losses)}]"
    if found.filled:
        line += f", {found.filled} declared and filled"
    if book.holes:
        missing = book.holes.count
        line += f", {missing:,} {_plural('number', missing)} missing without a word ["
        line += f"{told_ranges(book.holes)}]"
    return line


def _extent(book: EpochBook) -> str:
    if not book.head:
        return "nothing held"
    whole = f"1..{book.head:,}"
    if book.is_succeeded:
        return f"{whole}, ended"
    return f"{whole} {'incomplete' if book.holes else 'complete'}"


def _told(losses: Sequence[Loss]) -> str:
    told = [
        f"{told_ranges(each.seqs)} {each.reason} {each.signal}, {each.records:,} records"
        for each in losses
    ]
    return "; ".join(told)


def told_ranges(seqs: Ranges, spans_max: int = 3) -> str:
    """The first ranges of a set in words."""
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in seqs.spans[:spans_max]]
    more = len(seqs.spans) - spans_max
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
