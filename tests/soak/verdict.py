"""The laws, judged from the disks of the hubs, the journals of the oracle, and the ledgers.

Each function returns one sentence for each law that is broken, and nothing when all hold.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby, pairwise
from typing import Any

from shared.codec import decompress
from shared.otlp_rows import span_rows
from shared.records import GENESIS_HASH, MIB, Encoding, Signal
from tests.soak.journal import Promises
from tests.system.oracle import SERVICE, HeldChunk, chunks_on_disk
from tests.system.processes import HubProcess, Role

SHOWN_MAX = 5
RAW_BYTES_MAX = 64 * MIB
FATES = ("safe", "accepted", "buffered", "shed", "rejected", "damaged")
LOST = ("shed", "rejected", "damaged")


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What one hub's file holds of one edge: its log, and how often each of the oracle's records."""

    hub: str
    edge: str
    chunks: list[HeldChunk]
    held: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> Counter[str]:
        """Records by signal, the edge's own included, as the headers count them."""
        sums: Counter[str] = Counter()
        for chunk in self.chunks:
            sums[chunk.header.signal] += chunk.header.records
        return sums


class Reader:
    """Reads the files of hubs, whether they run or not; the same body is opened only once."""

    def __init__(self) -> None:
        self._ids: dict[bytes, tuple[str, ...]] = {}

    def look(self, hub: HubProcess, edge: str) -> OnDisk:
        """What a hub's file holds of an edge now."""
        chunks = chunks_on_disk(hub.database, edge)
        held = Counter(each for chunk in chunks for each in self._ids_in(chunk))
        return OnDisk(hub.name, edge, chunks, held)

    def _ids_in(self, chunk: HeldChunk) -> tuple[str, ...]:
        digest = sha256(chunk.body).digest()  # Of what lies there, whatever its header says.
        if digest not in self._ids:
            self._ids[digest] = tuple(ids_in(chunk))
        return self._ids[digest]


def ids_in(chunk: HeldChunk) -> Iterator[str]:
    """The oracle's records in a chunk: log records by their text, spans by their name."""
    if chunk.header.signal != Signal.TRACES:
        yield from chunk.ids()
        return
    raw = decompress(chunk.body, RAW_BYTES_MAX)
    for row in span_rows(Encoding(chunk.header.encoding), raw):
        if row.resource.get("service.name") == SERVICE:
            yield row.name


def broken_promises(seen: OnDisk, promises: Sequence[Promises]) -> list[str]:
    """Acknowledged records are there once, unanswered ones at most once, and no others are there.

    What was refused, or left when nobody listened, must not be there: its sender will send it again.
    """
    where = f"{seen.hub} of {seen.edge}"
    sent: set[str] = set()
    missing: list[str] = []
    untaken: list[str] = []
    for each in promises:
        sent.update(each.ids(each.sent))
        missing += [name for name in each.ids(each.acked) if not seen.held[name]]
        untaken += [name for name in each.ids(each.refused | each.unheard) if seen.held[name]]
    double = [name for name, times in seen.held.items() if times > 1]
    return [
        *_broken(f"{where}: acknowledged and not there", missing),
        *_broken(f"{where}: there more than once", double),
        *_broken(f"{where}: there though it was never sent", seen.held.keys() - sent),
        *_broken(f"{where}: there though the edge never took it", untaken),
    ]


def broken_answers(promises: Iterable[Promises]) -> list[str]:
    """All that was sent is valid, and the buffer is never full: there is no reason to refuse any."""
    return [
        f"{each.connection}: {each.records_refused} records refused with {sorted(each.statuses)}"
        for each in promises
        if each.refused
    ]


def broken_chain(seen: OnDisk) -> list[str]:
    """One life of the log, from 1 without a hole; every hash is that of the chunk before.

    A killed process never makes a new life: its disk is where it was.
    """
    broken: list[str] = []
    lives = groupby(seen.chunks, key=lambda chunk: chunk.header.epoch)
    epochs = 0
    for epoch, chunks in lives:
        epochs += 1
        broken += _broken_life(f"{seen.hub} of {seen.edge}, epoch {epoch[:8]}", list(chunks))
    if epochs > 1:
        broken.append(f"{seen.hub} of {seen.edge}: the log has {epochs} lives and was never copied")
    return broken


def _broken_life(where: str, chunks: list[HeldChunk]) -> list[str]:
    holes: list[int] = []
    unlinked: list[int] = []
    changed: list[int] = []
    before_seq, before_hash = 0, GENESIS_HASH
    for chunk in chunks:
        seq = chunk.header.seq
        if seq != before_seq + 1:
            holes.append(before_seq + 1)
        elif chunk.header.previous_hash != before_hash:
            unlinked.append(seq)
        if sha256(chunk.body).digest() != chunk.header.body_sha256:
            changed.append(seq)
        before_seq, before_hash = seq, chunk.hash
    return [
        *_broken(f"{where}: holes that begin at", holes),
        *_broken(f"{where}: chunks that do not follow the one before", unlinked),
        *_broken(f"{where}: bodies that are not what their header says", changed),
    ]


def broken_twins(seen: Sequence[OnDisk]) -> list[str]:
    """All hubs hold the same log of an edge, chunk for chunk."""
    return [said for one, other in pairwise(seen) for said in _broken_pair(one, other)]


def _broken_pair(one: OnDisk, other: OnDisk) -> list[str]:
    mine, theirs = ({_key(chunk): chunk.hash for chunk in each.chunks} for each in (one, other))
    differing = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
    return _broken(f"{one.hub} and {other.hub} differ over {one.edge} at", sorted(differing))


def broken_sweeps(repaired: int) -> list[str]:
    """Announcements bring every chunk to every hub; a sweep finds only what they have left out."""
    return [f"announcements left out {repaired} chunks, which sweeps brought"] if repaired else []


def _key(chunk: HeldChunk) -> tuple[str, int]:
    return chunk.header.epoch, chunk.header.seq


def broken_ledger(edge: str, ledger: dict[str, Any], seen: Sequence[OnDisk]) -> list[str]:
    """The sums of a drained edge balance, nothing is lost, and every hub holds what was produced."""
    broken: list[str] = []
    for signal, line in {"all signals": ledger, **ledger["by_signal"]}.items():
        fates = {fate: line[fate] for fate in FATES}
        if line["produced"] != sum(fates.values()):
            broken.append(
                f"{edge}, {signal}: produced {line['produced']} is not the sum of {fates}"
            )
        if any(line[fate] for fate in LOST):
            broken.append(f"{edge}, {signal}: records were given up: {fates}")
    produced = {name: line["produced"] for name, line in ledger["by_signal"].items()}
    return broken + [
        f"{each.hub} holds {dict(each.records)} of {edge}, which produced {produced}"
        for each in seen
        if dict(each.records) != produced
    ]


def broken_audit(hub: HubProcess, edge: str) -> list[str]:
    """The hub itself comes to the same end: verified, complete, without a conflict."""
    where = f"{hub.name} of {edge}"
    verdict, faults = verify(hub, edge)
    shown = hub.call("ledger.show", node=edge)
    conflicts = hub.call("ledger.conflicts", node=edge)["items"]
    told = shown["edge"]
    return [
        *([] if verdict == "verified" else [f"{where}: ledger.verify says {verdict}: {faults}"]),
        *([] if shown["complete"] else [f"{where}: ledger.show does not say complete: {shown}"]),
        *([] if told and not told["balance"] else [f"{where}: the edge's sums are {told}"]),
        *_broken(f"{where}: chunks that contradict its log", conflicts),
    ]


def verify(hub: HubProcess, edge: str) -> tuple[str, list[dict[str, Any]]]:
    """The verdict of `ledger.verify` over all pages, and the faults that it names."""
    faults: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = hub.call("ledger.verify", node=edge, **cursor)
        faults += [fault for epoch in page["epochs"] for fault in epoch["faults"]]
        if not page["cursor"]:
            return ("broken" if faults else str(page["verdict"])), faults[:SHOWN_MAX]
        cursor = {"cursor": page["cursor"]}


def broken_words(roles: Iterable[Role]) -> list[str]:
    """Death of others is bad weather: nobody is so surprised as to print a traceback."""
    said = {role.name: role.log.read_text(errors="replace").count("Traceback") for role in roles}
    return [f"{name} printed {times} tracebacks" for name, times in said.items() if times]


def _broken(what: str, found: Iterable[object]) -> list[str]:
    """One sentence with the number and the first few, or nothing."""
    all_ = list(found)
    return [f"{what}: {len(all_)}, such as {all_[:SHOWN_MAX]}"] if all_ else []
