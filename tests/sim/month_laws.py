"""What must be true of the account of every record, during a month and at its end."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.ledger import difference
from shared.ranges import Ranges, of_seqs, of_spans
from shared.records import Chunk, Gap, Signal
from tests.sim.laws import logs_on_disk
from tests.sim.month_machines import MonthEdge, SlowHub
from tests.sim.telemetry import names_of_signal

Line = Mapping[str, int]
Log = Mapping[int, Chunk]


def log_on_disk(folder: Path, origin: str) -> Log:
    """The log of an edge in the store of a hub, read without any code of the hub; it has one epoch."""
    logs = [log for (name, _), log in logs_on_disk(folder).items() if name == origin]
    return logs[0] if len(logs) == 1 else {}


def gaps_in(log: Log) -> list[Gap]:
    """All losses that the chunks of a log declare."""
    return [gap for seq in sorted(log) for gap in log[seq].header.gaps]


def given_up(log: Log) -> Ranges:
    """The numbers that are declared lost."""
    return of_spans(span for gap in gaps_in(log) for span in gap.ranges)


@dataclass(frozen=True)
class Account:
    """What a log comes to, in records by signal.

    `both` is what the edge gave up and a hub has all the same: it had been pushed before the edge knew
    it to be on enough disks, or was in a batch that was built already. A declaration errs on this
    side only.
    """

    held: Counter[str]
    declared: Counter[str]
    both: Counter[str]


def account_of(log: Log) -> Account:
    """Add up a log."""
    held, declared, both = Counter[str](), Counter[str](), Counter[str]()
    lost = given_up(log)
    for seq, chunk in log.items():
        held[chunk.header.signal] += chunk.header.records
        if seq in lost:
            both[chunk.header.signal] += chunk.header.records
    for gap in gaps_in(log):
        declared[gap.signal] += gap.records
    return Account(held, declared, both)


def broken_by_books(edge: MonthEdge) -> list[str]:
    """At any moment: produced is what became of it, by signal, whatever is in the files."""
    assert edge.agent is not None
    assert edge.buffer is not None
    sentences = [
        f"{edge.name}: the ledger of {signal} is out by {difference(line)}: {line}"
        for signal, line in edge.agent.ledger_by_signal().items()
        if difference(line)
    ]
    if wrong := edge.buffer.books.imbalance():
        sentences.append(f"{edge.name}: the books and the files differ by {wrong}")
    return sentences


def broken_at_rest(edge: MonthEdge) -> list[str]:
    """At the end: the same, nothing waits, and what was made was kept or refused."""
    assert edge.agent is not None
    sentences = broken_by_books(edge)
    lines = edge.agent.ledger_by_signal()
    for signal, line in lines.items():
        if line["accepted"] or line["buffered"] or line["rejected"] or line["damaged"]:
            sentences.append(f"{edge.name}: at rest, the ledger of {signal} says {line}")
    for signal, made in edge.told.made.items():
        produced, refused = lines[signal]["produced"], edge.told.refused[signal]
        if made != produced + refused:
            told = f"{made} made, {produced} produced, {refused} refused"
            sentences.append(f"{edge.name}: {signal} do not add up: {told}")
    if edge.told.doubt is not None:
        sentences.append(f"{edge.name}: body {edge.told.doubt.number} was never answered")
    return sentences


async def broken_by_audit(hub: SlowHub, edge: MonthEdge) -> list[str]:
    """What a hub says of an edge: complete, every byte as it was, and the sums of both agree."""
    assert hub.process is not None
    return await hub.process.run(_broken_by_audit(hub, edge))


async def _broken_by_audit(hub: SlowHub, edge: MonthEdge) -> list[str]:
    assert hub.hub is not None
    assert edge.agent is not None
    where, audit = f"{hub.name} on {edge.name}", hub.hub.audit
    shown = await audit.show({"node": edge.name})
    sentences = []
    if not shown["complete"] or len(shown["epochs"]) != 1 or shown["conflicts"]:
        sentences.append(f"{where}: not one complete log: {shown}")
    lines = edge.agent.ledger_by_signal()
    if shown["edge"]["balance"] or shown["edge"]["produced"] != _sum(lines, "produced"):
        sentences.append(f"{where}: the edge's sums arrived as {shown['edge']}")
    account = account_of(log_on_disk(hub.folder, edge.name))
    sentences += [f"{where}: {each}" for each in _unequal(shown["epochs"][0], lines, account)]
    if (verdict := await _verdict(hub, edge.name)) != "verified":
        sentences.append(f"{where}: the chain of hashes is {verdict}")
    return sentences


async def _verdict(hub: SlowHub, name: str) -> str:
    assert hub.hub is not None
    page = await hub.hub.audit.verify({"node": name})
    while page["verdict"] == "unfinished":
        page = await hub.hub.audit.verify({"node": name, "cursor": page["cursor"]})
    return str(page["verdict"])


def _unequal(
    shown: Mapping[str, Any], lines: Mapping[str, Line], account: Account
) -> Iterator[str]:
    told = {column: _records(lines, column) for column in ("produced", "safe", "shed")}
    if told["produced"] != account.held + account.declared - account.both:
        yield f"the edge has produced {told}, here is {account}"
    if (told["safe"], told["shed"]) != (account.held - account.both, account.declared):
        yield f"the edge calls safe and shed {told}, here is {account}"
    held = Counter({name: each["records"] for name, each in shown["by_signal"].items()})
    lost = Counter({gap["signal"]: gap["records"] for gap in shown["gaps"]})
    if held != account.held:
        yield f"the ledger says {held} and the disk {account}"
    if not account.declared - account.both <= lost <= account.declared:
        yield f"the ledger says that {lost} are lost, the disk {account}"


def _records(lines: Mapping[str, Line], column: str) -> Counter[str]:
    return Counter({signal: line[column] for signal, line in lines.items()})


def _sum(lines: Mapping[str, Line], column: str) -> int:
    return sum(line[column] for line in lines.values())


def broken_on_disk(folder: Path, edge: MonthEdge, head_seq: int) -> list[str]:
    """Each acked record is here once or in one declared gap, and each gap counts exactly."""
    log = log_on_disk(folder, edge.name)
    found = [*_broken_numbers(log, head_seq), *_broken_bodies(log, edge)]
    found += [sentence for gap in gaps_in(log) for sentence in _broken_gap(gap, edge)]
    return [f"{folder.name}, log of {edge.name}: {sentence}" for sentence in found]


def _broken_numbers(log: Log, head_seq: int) -> Iterator[str]:
    held, lost = of_seqs(log), given_up(log)
    if lost.count != sum(gap.chunks for gap in gaps_in(log)):
        yield "some numbers are declared lost twice, or gaps miscount their chunks"
    if held | lost != of_spans([(1, head_seq)]):
        yield f"of 1 to {head_seq}, neither here nor declared: {held}, {lost}"


def _broken_bodies(log: Log, edge: MonthEdge) -> Iterator[str]:
    kept = edge.told.kept
    for seq, chunk in log.items():
        if chunk.header.signal == Signal.EVENTS and chunk.header.gaps:
            continue  # The log's own word on what it lost.
        body = kept.get(seq)
        if body is None or names_of_signal(chunk) != list(body.names):
            yield f"chunk {seq} is not what was kept under this number: {body}"
    numbers = Counter(body.number for body in kept.values())
    if numbers.total() != len(numbers):
        yield "a body was kept twice"


def _broken_gap(gap: Gap, edge: MonthEdge) -> Iterator[str]:
    if gap.reason != "shed":
        yield f"a gap by {gap.reason}: {gap}"
    bodies = [edge.told.kept.get(seq) for seq in of_spans(gap.ranges)]
    records = sum(len(body.names) for body in bodies if body is not None)
    if None in bodies or records != gap.records:
        yield f"{gap} declares {gap.records} records, and {records} were kept there"
    if {body.signal for body in bodies if body is not None} != {gap.signal}:
        yield f"{gap} declares what was not of its signal"
