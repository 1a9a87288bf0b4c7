"""What was found wrong with the folder of a buffer, and what a repair would do about it. Pure rules."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from edge.books import Books, Segment, Tally, subtract_sums
from shared.ranges import NOTHING, Ranges, of_seqs
from shared.records import Signal
from shared.sums import Sum

SPANS_SHOWN = 5

UNMENDABLE = frozenset({"body", "chain", "epoch", "balance", "head", "twice", "sums", "alerts"})
"""The bits are as they were written, and contradict each other: no rule says which of them are right."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: in which file, of what kind, and which chunks it costs."""

    file: str
    kind: str
    text: str
    seqs: Ranges = NOTHING

    def as_object(self) -> dict[str, object]:
        """The finding as a JSON value."""
        seqs = self.seqs.to_wire()
        return {"file": self.file, "kind": self.kind, "text": self.text, "seqs": seqs}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one chunk says of itself, once all its bits are known to be as they were written."""

    epoch: str
    signal: str
    sum: Sum
    hash: bytes
    previous_hash: bytes


@dataclass(frozen=True, slots=True)
class FileHealth:
    """What reading every byte of one file of the books gave. `faults` are pairs of kind and text."""

    segment: Segment
    name: str
    chunks: Mapping[int, Facts]
    """The live chunks that are sound."""
    faults: tuple[tuple[str, str], ...] = ()
    is_there: bool = True

    @property
    def sound(self) -> Ranges:
        """The numbers of the sound chunks."""
        return of_seqs(self.chunks)

    @property
    def lost(self) -> Ranges:
        """The numbers that the books hold and the file does not."""
        return self.segment.live - self.sound

    @property
    def lost_sum(self) -> Sum:
        """What is lost, by the books."""
        found = sum((facts.sum for facts in self.chunks.values()), Sum())
        return self.segment.held - found

    @property
    def needs_repair(self) -> bool:
        """Whether what is sound should leave this file, and the rest be declared."""
        return bool(self.lost) or any(kind not in UNMENDABLE for kind, _ in self.faults)


@dataclass(frozen=True, slots=True)
class Broken:
    """One of the newest files, which the log cannot go on in, and why."""

    number: int
    name: str
    why: str
    is_there: bool = True


@dataclass(frozen=True, slots=True)
class Health:
    """What reading a whole folder gave."""

    books: Books | None
    files: tuple[FileHealth, ...] = ()
    broken: tuple[Broken, ...] = ()
    letters: str = ""
    """Why the dead letters cannot be read; empty when they can."""
    chunks_read: int = 0
    bytes_read: int = 0
    notes: tuple[str, ...] = field(default=())
    """What is worth a look and costs nothing."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is wrong, the newest file first."""
        return tuple(_findings(self))


def _findings(health: Health) -> Iterator[Finding]:
    for broken in health.broken:
        kind = "unreadable" if broken.is_there else "missing"
        yield Finding(broken.name, kind, broken.why)
    if health.books is None:
        yield Finding("", "no_books", "no file of the log can be read: the account is gone")
    for file in health.files:
        yield from _file_findings(file)
    if health.books is not None:
        yield from _chain_findings(health.books, health.files)
        yield from _book_findings(health.books)
    if health.letters:
        yield Finding("dead-letters.db", "unreadable", health.letters)


def _file_findings(file: FileHealth) -> Iterator[Finding]:
    if not file.is_there:
        text = f"the file is gone, and with it {counted(file.segment.held)}"
        yield Finding(file.name, "missing", text, file.segment.live)
        return
    for kind, text in file.faults:
        yield Finding(file.name, kind, text)
    if file.lost:
        text = f"{counted(file.lost_sum)} are not as they were written: {shown(file.lost)}"
        yield Finding(file.name, "damaged", text, file.lost)
    else:
        yield from _sum_findings(file)


def _sum_findings(file: FileHealth) -> Iterator[Finding]:
    measured: dict[str, Sum] = {}
    for facts in file.chunks.values():
        measured[facts.signal] = measured.get(facts.signal, Sum()) + facts.sum
    for signal, differs in subtract_sums(file.segment.sums, measured).items():
        text = f"the books hold {signal} that differ from the file by {counted(differs)}"
        yield Finding(file.name, "sums", text)
    events = of_seqs(seq for seq, facts in file.chunks.items() if facts.signal == Signal.EVENTS)
    if events != file.segment.alerts:
        text = f"the books call other chunks events than the file does: {shown(events)}"
        yield Finding(file.name, "alerts", text, events)


def _chain_findings(books: Books, files: Iterable[FileHealth]) -> Iterator[Finding]:
    named = {
        (file.segment.epoch, seq): (file.name, facts)
        for file in files
        for seq, facts in file.chunks.items()
    }
    for (epoch, seq), (name, facts) in sorted(named.items()):
        before = named.get((epoch, seq - 1))
        if before is not None and before[1].hash != facts.previous_hash:
            text = f"chunk {seq} does not follow from chunk {seq - 1}: the hash chain is broken"
            yield Finding(name, "chain", text, of_seqs([seq]))
        if facts.epoch != epoch:
            text = f"chunk {seq} is of the life {facts.epoch} of the log, not {epoch}"
            yield Finding(name, "epoch", text, of_seqs([seq]))
    head = named.get((books.epoch, books.totals.head_seq))
    if head is not None and head[1].hash != books.totals.head_hash:
        text = f"chunk {books.totals.head_seq} is not the head of the log that the books name"
        yield Finding(head[0], "chain", text, of_seqs([books.totals.head_seq]))


def _book_findings(books: Books) -> Iterator[Finding]:
    for signal, differs in books.imbalance().items():
        tally = books.totals.by_signal.get(signal, Tally())
        text = (
            f"the books of {signal} do not balance: {tally.buffered.records} records should be in "
            f"the buffer, which holds {(tally.buffered + differs).records}"
        )
        yield Finding("", "balance", text)
    beyond = books.seqs - Ranges(((1, max(1, books.totals.head_seq)),))
    if beyond:
        text = f"chunks lie beyond the head of the log, {books.totals.head_seq}: {shown(beyond)}"
        yield Finding("", "head", text, beyond)
    twice = _twice(books)
    if twice:
        yield Finding("", "twice", f"two files claim the same chunks: {shown(twice)}", twice)


def _twice(books: Books) -> Ranges:
    seen, twice = NOTHING, NOTHING
    for segment in books.current:
        twice |= seen & segment.live
        seen |= segment.live
    return twice


def counted(total: Sum) -> str:
    """A sum in words."""
    return f"{total.chunks} chunks ({total.records} records, {total.stored_bytes} bytes)"


def shown(seqs: Ranges) -> str:
    """Numbers in words; of many spans the first ones."""
    spans = [f"{first}" if first == last else f"{first}-{last}" for first, last in seqs.spans]
    more = len(spans) - SPANS_SHOWN
    rest = f" and {more} more ranges" if more > 0 else ""
    return "numbers " + ", ".join(spans[:SPANS_SHOWN]) + rest


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a repair does. `gap` are the numbers that it declares lost."""

    action: str
    file: str
    text: str
    gap: Ranges = NOTHING

    def as_object(self) -> dict[str, object]:
        """The step as a JSON value."""
        gap = self.gap.to_wire()
        return {"action": self.action, "file": self.file, "text": self.text, "gap": gap}


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a repair in their order, and the findings that no step mends."""

    steps: tuple[Step, ...] = ()
    left: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What opening the folder makes of the newest files, which are not whole."""

    findings: tuple[str, ...]
    saved: Ranges
    """The chunks that are written into a new file."""
    lost: Ranges
    """The numbers that may have been used, and are declared lost."""


def plan_of(health: Health, rehearsal: Rehearsal | None) -> Plan:
    """What a repair would do; `rehearsal` is what opening the folder would, None for nothing."""
    damaged = [file for file in health.files if file.needs_repair]
    steps = [*_keeping(health, damaged)]
    if rehearsal is not None:
        steps += _opening(health, rehearsal)
    for file in damaged:
        steps += _mending(file, health.books.epoch if health.books else "")
    if health.letters:
        text = "set aside as dead-letters.db.damaged, and begin a new one"
        steps.append(Step("set_aside", "dead-letters.db", text))
    left = tuple(each for each in health.findings if each.kind in UNMENDABLE)
    return Plan(tuple(steps), left)


def _keeping(health: Health, damaged: Iterable[FileHealth]) -> Iterator[Step]:
    names = [broken.name for broken in health.broken if broken.is_there]
    names += [file.name for file in damaged if file.is_there]
    if health.letters:
        names.append("dead-letters.db")
    for name in names:
        yield Step("keep", name, "copy the file as it is into a folder beside the buffer")


def _opening(health: Health, rehearsal: Rehearsal) -> Iterator[Step]:
    names = ", ".join(broken.name for broken in health.broken)
    for broken in health.broken:
        if broken.is_there:
            text = f"set aside as {broken.name}.damaged, out of the log"
            yield Step("set_aside", broken.name, text)
    yield Step("begin", "", "begin a new file, from what is known")
    if rehearsal.saved:
        text = f"write {rehearsal.saved.count} sound chunks into it: {shown(rehearsal.saved)}"
        yield Step("save", names, text)
    if rehearsal.lost:
        text = f"declare {shown(rehearsal.lost)} lost, which may have been used and never are again"
        yield Step("declare", names, text, rehearsal.lost)
    for finding in rehearsal.findings:
        yield Step("report", "", f"report to the hubs: {finding}")


def _mending(file: FileHealth, epoch: str) -> Iterator[Step]:
    lost = f"{counted(file.lost_sum)}, {shown(file.lost)}"
    if file.lost and file.segment.epoch == epoch:
        yield Step("declare", file.name, f"declare as damaged: {lost}", file.lost)
    elif file.lost:  # Numbers mean something in their own life of the log only.
        text = f"report to the hubs as lost, of the former life {file.segment.epoch}: {lost}"
        yield Step("report", file.name, text)
    if file.is_there:
        text = f"move {file.sound.count} sound chunks into a new file, and remove this one"
        yield Step("move", file.name, text)
