"""The ledger of an edge: what became of every record it ever took in. Pure sums.

produced = safe + accepted + buffered + shed + rejected + damaged, for each signal and in all.
"""

from collections.abc import Mapping

from edge.books import Books, Tally
from shared.sums import Sum

COLUMNS = ("produced", "safe", "accepted", "buffered", "shed", "rejected", "damaged")


def ledger_of(books: Books, accepted: Mapping[str, Sum]) -> dict[str, object]:
    """The ledger in records; `accepted` is what of the buffer one hub has, as last measured.

    Keys: those of COLUMNS in all, and `by_signal` with the same keys for each signal.
    """
    lines = ledger_lines(books, accepted)
    sums: dict[str, object] = {
        column: sum(line[column] for line in lines.values()) for column in COLUMNS
    }
    return {**sums, "by_signal": lines}


def ledger_lines(books: Books, accepted: Mapping[str, Sum]) -> dict[str, dict[str, int]]:
    """The same by signal."""
    held = books.held
    return {
        signal: _line(
            books.totals.by_signal.get(signal, Tally()),
            held.get(signal, Sum()).records,
            accepted.get(signal, Sum()).records,
        )
        for signal in sorted(held.keys() | books.totals.by_signal.keys())
    }


def _line(tally: Tally, held: int, accepted: int) -> dict[str, int]:
    # The measurement may be a moment older than the books: what was released since is safe.
    accepted = min(accepted, held)
    return {
        "produced": tally.produced.records,
        "safe": tally.safe.records,
        "accepted": accepted,
        "buffered": held - accepted,
        "shed": tally.shed.records,
        "rejected": tally.rejected.records,
        "damaged": tally.damaged.records,
    }
