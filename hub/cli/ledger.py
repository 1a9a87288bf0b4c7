"""What became of a node's data: `ledger show` adds it up, `ledger verify` reads every byte of it."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from hub.cli.ask import Asker, asking
from hub.cli.output import Column, plain, say, show_list, show_one, size
from shared.errors import RpcError
from shared.lazy_group import CommandGroup
from shared.terminal import safe

BROKEN = 1
HOLES = 3
PAGE_SECONDS = 120.0
FAULTS_SHOWN = 10


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else plain(value)


def _spans(value: Any) -> str:
    words = [f"{first:,}" if first == last else f"{first:,}-{last:,}" for first, last in value]
    more = len(words) - 5
    return ", ".join(words[:5]) + (f" and {more:,} more" if more > 0 else "") or "-"


SIGNAL_COLUMNS = (
    Column("EPOCH", "epoch"),
    Column("SIGNAL", "signal"),
    Column("CHUNKS", "chunks", _number),
    Column("RECORDS", "records", _number),
    Column("SIZE", "bytes", size),
)
GAP_COLUMNS = (
    Column("EPOCH", "epoch"),
    Column("GAP", "reason"),
    Column("SIGNAL", "signal"),
    Column("CHUNKS", "chunks", _number),
    Column("RECORDS", "records", _number),
    Column("NUMBERS", "ranges", _spans),
)
EDGE_COLUMNS = tuple(
    Column(name.upper(), name, _number)
    for name in (
        *("signal", "produced", "safe", "accepted", "buffered"),
        *("shed", "rejected", "damaged", "balance"),
    )
)


@click.group(cls=CommandGroup)
def ledger() -> None:
    """Account for a node's data, and check it."""


@ledger.command("show")
@click.argument("node", metavar="NODE")
@click.option("--on", "hub", default=None, metavar="HUB", help="Ask about what this hub holds.")
@asking
def show(asker: Asker, /, node: str, hub: str | None) -> None:
    """Show what a hub holds of a node's logs, what is declared lost, and what is missing."""
    answer = asker.ask("ledger.show", {"node": node, "hub": hub})
    if asker.form == "table":
        _show_table(answer)
    elif asker.form == "csv":
        show_list("csv", answer, list(_by_signal(answer)), SIGNAL_COLUMNS)
    else:
        show_one(asker.form, answer)
    sys.exit(0 if answer["complete"] else HOLES)


def _show_table(answer: Mapping[str, Any]) -> None:
    for epoch in answer["epochs"]:
        click.echo(safe(epoch["summary"]))
        for line in _linkage(epoch):
            click.echo(safe(f"  {line}"))
    for rows, columns in (
        (list(_by_signal(answer)), SIGNAL_COLUMNS),
        (list(_gaps(answer)), GAP_COLUMNS),
        (list(_edge_rows(answer["edge"])), EDGE_COLUMNS),
    ):
        if rows:
            click.echo()
            show_list("table", answer, rows, columns)
    if answer["edge"]:
        click.echo(safe(answer["edge"]["note"]))
    for conflict in answer["conflicts"]:
        where = f"epoch {conflict['epoch']} number {conflict['seq']}"
        sender = f"{conflict['time']} from {conflict['sender']}"
        click.echo(safe(f"conflict: {where}, {sender}: {conflict['reason']}"))


def _linkage(epoch: Mapping[str, Any]) -> Iterator[str]:
    former = epoch["predecessor"]
    if former:
        text = f"follows epoch {former['epoch']}, which ended at {former['last_seq']:,}"
        yield f"{text}: {former['held']:,} of it held, {former['carried_over']:,} carried over"
        if former["beyond"]:
            yield f"held of that epoch beyond its end: {_spans(former['beyond'])}"
    if epoch["conflict_chunks"]:
        yield f"{epoch['conflict_chunks']:,} chunks of this epoch contradict it and are kept beside"
    if epoch["gaps_left_out"]:
        yield f"{epoch['gaps_left_out']:,} older gaps are not added up here"


def _by_signal(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for epoch in answer["epochs"]:
        for signal, sums in epoch["by_signal"].items():
            yield {"epoch": epoch["epoch"], "signal": signal, **sums}


def _gaps(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for epoch in answer["epochs"]:
        for gap in epoch["gaps"]:
            yield {"epoch": epoch["epoch"], **gap}


def _edge_rows(edge: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    if edge is not None:
        for signal, sums in edge["by_signal"].items():
            yield {"signal": signal, **sums}
        yield {"signal": "all", **edge}


# ---- verify


@dataclass(slots=True)
class Checked:
    """What one hub found, all its pages together."""

    hub: str
    verdict: str = "unfinished"
    chunks: int = 0
    stored_bytes: int = 0
    broken: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)

    def add(self, page: Mapping[str, Any]) -> None:
        """Take in the next page."""
        for epoch in page["epochs"]:
            self.chunks += epoch["chunks"]
            self.stored_bytes += epoch["bytes"]
            self.broken += epoch["broken"]
            named = ({"epoch": epoch["epoch"], **fault} for fault in epoch["faults"])
            self.faults += list(named)[: FAULTS_SHOWN - len(self.faults)]
        self.verdict = "broken" if self.broken else page["verdict"]

    def to_wire(self) -> dict[str, Any]:
        """As programs read it."""
        return {
            "hub": self.hub,
            "verdict": self.verdict,
            "chunks": self.chunks,
            "bytes": self.stored_bytes,
            "broken": self.broken,
            "faults": self.faults,
            "summaries": self.summaries,
        }


@ledger.command("verify")
@click.argument("node", metavar="NODE")
@click.option("--from", "first", type=click.IntRange(1), help="First number to read.")
@click.option("--to", "last", type=click.IntRange(1), help="Last number to read.")
@click.option("--epoch", default=None, help="Read this life of the log only.")
@click.option("--all-hubs", is_flag=True, help="Let every hub check what it holds.")
@asking
def verify(
    asker: Asker,
    /,
    node: str,
    first: int | None,
    last: int | None,
    epoch: str | None,
    all_hubs: bool,
) -> None:
    """Check the hashes of all that hubs hold of a node, and that nothing is missing without a word.

    Exits with 0 when all is well, 1 when a hash or the chain is broken or a hub could not check, 3
    when numbers are missing that no gap record declares (yet).
    """
    asked = {"node": node, "from": first, "to": last, "epoch": epoch}
    hubs = [item["hub_id"] for item in asker.ask("hub.list")["items"]] if all_hubs else [None]
    found = [_checked(asker, asked, hub) for hub in hubs]
    if asker.form == "table":
        for each in found:
            _tell(each)
    else:
        wire = [each.to_wire() for each in found]
        columns = tuple(
            Column(n.upper(), n) for n in ("hub", "verdict", "chunks", "bytes", "broken")
        )
        show_list(asker.form, {"items": wire}, wire, columns)
    verdicts = {each.verdict for each in found}
    sys.exit(BROKEN if verdicts & {"broken", "failed"} else HOLES if "holes" in verdicts else 0)


def _checked(asker: Asker, asked: Mapping[str, Any], hub: str | None) -> Checked:
    checked = Checked(hub or "")
    try:
        _read_all(asker, {**asked, "hub": hub}, checked)
    except RpcError as error:
        if hub is None:
            raise
        checked.verdict = "failed"  # The other hubs are asked all the same.
        checked.summaries = [str(error)]
    return checked


def _read_all(asker: Asker, asked: Mapping[str, Any], checked: Checked) -> None:
    cursor: str | None = None
    while True:
        question = {**asked, "cursor": cursor}
        page = asker.ask("ledger.verify", question, timeout_seconds=PAGE_SECONDS)
        checked.hub = page["hub"]
        checked.add(page)
        asked = {**asked, "hub": page["hub"]}  # A cursor means nothing to another hub.
        cursor = page["cursor"]
        if cursor is None:
            break
    shown = asker.ask("ledger.show", {"node": asked["node"], "hub": asked["hub"]})
    wanted = asked["epoch"]
    checked.summaries = [
        epoch["summary"] for epoch in shown["epochs"] if wanted in (None, epoch["epoch"])
    ]


def _tell(checked: Checked) -> None:
    click.echo(safe(f"{checked.hub}: {checked.verdict}"))
    for line in checked.summaries:
        click.echo(safe(f"  {line}"))
    if checked.verdict != "failed":
        click.echo(f"  {checked.chunks:,} chunks read, {size(checked.stored_bytes)}")
    for fault in checked.faults:
        numbers = _spans([[fault["first"], fault["last"]]])
        say(f"  broken: epoch {fault['epoch']} {numbers}: {fault['fault']}")
    if checked.broken > len(checked.faults):
        say(f"  {checked.broken:,} broken numbers in all")
