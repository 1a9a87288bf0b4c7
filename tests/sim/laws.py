"""What must be true when a simulated fleet has come to rest."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from edge.books import Totals
from shared.ranges import Ranges, from_wire
from shared.records import GENESIS_HASH, Chunk, read_header
from tests.hub_files import DATABASE, chunks_in, rows
from tests.sim.machines import Output
from tests.sim.telemetry import names_in

Log = Mapping[int, Chunk]


def logs_on_disk(folder: Path) -> dict[tuple[str, str], dict[int, Chunk]]:
    """Every chunk in the store of a hub, read without any code of the hub."""
    logs: dict[tuple[str, str], dict[int, Chunk]] = {}
    for chunk in chunks_in(folder):
        held = Chunk(read_header(chunk.header), chunk.header, chunk.body)
        logs.setdefault((chunk.origin, chunk.epoch), {})[chunk.seq] = held
    return logs


def keys_on_disk(folder: Path) -> set[tuple[str, str, int]]:
    """Which chunks a hub has, whether or not it runs."""
    if not (folder / DATABASE).exists():
        return set()
    return set(rows(folder / DATABASE, "SELECT origin, epoch, seq FROM chunk"))


def received_on_disk(folder: Path) -> dict[tuple[str, str], Ranges]:
    """What the hub has noted as received."""
    found = rows(folder / DATABASE, "SELECT origin, epoch, ranges FROM received")
    return {(o, e): from_wire(msgspec.msgpack.decode(spans)) for o, e, spans in found}


def nodes_on_disk(folder: Path) -> dict[str, bytes]:
    """The saved node records of a hub, by name."""
    return dict(rows(folder / DATABASE, "SELECT node_id, record FROM node ORDER BY node_id"))


def broken_by_hub(
    folder: Path, outputs: Mapping[str, Output], heads: Mapping[str, Totals]
) -> Iterator[str]:
    """Each law that the store of a hub breaks, in words."""
    logs, where = logs_on_disk(folder), folder.name
    origins = sorted(origin for origin, _ in logs if not is_hub(origin))
    if origins != sorted(name for name, totals in heads.items() if totals.head_seq):
        yield f"{where} holds logs of {origins}"
    received = received_on_disk(folder)
    for key, log in sorted(logs.items()):
        if received.get(key) != Ranges(((1, len(log)),)):
            yield f"{where} notes {received.get(key)} as received of {key}, and has {len(log)}"
        broken = (
            _broken_chain(log)
            if is_hub(key[0])
            else _broken_by_log(log, outputs[key[0]], heads[key[0]])
        )
        for sentence in broken:
            yield f"{where}, log of {key[0]}: {sentence}"


def is_hub(origin: str) -> bool:
    """Whether a log is what a hub says of itself, which no sender has counted."""
    return origin.startswith("hub-")


def _broken_chain(log: Log) -> Iterator[str]:
    if sorted(log) != list(range(1, len(log) + 1)):
        yield f"{len(log)} chunks, the last of them {max(log)}"
        return
    previous = GENESIS_HASH
    for seq in sorted(log):
        header = log[seq].header
        if header.previous_hash != previous:
            yield f"the chain of hashes breaks at {seq}"
        if hashlib.sha256(log[seq].body).digest() != header.body_sha256:
            yield f"the body of {seq} is not the one that was sealed"
        previous = log[seq].hash


def _broken_by_log(log: Log, output: Output, totals: Totals) -> Iterator[str]:
    if sorted(log) != list(range(1, totals.head_seq + 1)):
        yield f"{len(log)} chunks, and not 1 to {totals.head_seq}"
        return
    yield from _broken_chain(log)
    if log and log[max(log)].hash != totals.head_hash:
        yield "the last chunk is not the one that the edge made"
    yield from _broken_by_records([log[seq] for seq in sorted(log)], output, totals)


def _broken_by_records(chunks: Sequence[Chunk], output: Output, totals: Totals) -> Iterator[str]:
    there = [name for chunk in chunks for name in names_in(chunk)]
    known = set(there)
    if len(known) != len(there):
        twice = [name for name, group in groupby(sorted(there)) if len(list(group)) > 1]
        yield f"{len(twice)} records are there twice, such as {twice[0]}"
    lost = [name for name in output.acked if name not in known]
    if lost:
        yield f"{len(lost)} records that were acked are lost, such as {lost[0]}"
    strangers = known - set(output.acked) - output.in_doubt
    if strangers:
        yield f"{len(strangers)} records come from nowhere, such as {min(strangers)}"
    produced = totals.all.produced.records
    if produced != len(there):
        yield f"the edge counts {produced} records, the log has {len(there)}"


def broken_by_edge(name: str, totals: Totals, chunks_left: int) -> Iterator[str]:
    """Each law that an edge at rest breaks."""
    if chunks_left:
        yield f"{name} still holds {chunks_left} chunks"
    if totals.all.produced != totals.all.safe:
        yield f"the ledger of {name} does not balance: {totals}"


def unequal(one: Path, other: Path) -> Iterator[str]:
    """Each way in which two hubs differ that have written down all they know."""
    yield from unequal_chunks(one, other)
    if nodes_on_disk(one) != nodes_on_disk(other):
        yield f"{one.name} and {other.name} do not say the same of all nodes"


def unequal_chunks(one: Path, other: Path) -> Iterator[str]:
    """Each way in which the logs of two hubs differ."""
    mine, theirs = logs_on_disk(one), logs_on_disk(other)
    if {key: set(log) for key, log in mine.items()} != {
        key: set(log) for key, log in theirs.items()
    }:
        yield f"{one.name} and {other.name} do not hold the same chunks"
    elif mine != theirs:
        yield f"{one.name} and {other.name} hold chunks with different bytes"
