"""How the streams of former lives go away, so that vectors stay small however often hubs start. Pure.

A hub has a new stream in each life. When it has more than two old ones, it originates all that bears
a change of the oldest anew, as ordinary changes of its own stream, a few at a time; then it says that
the old stream is *retired* into its own one up to a number. Whoever covers the own stream so far has
all that was in the old one, and drops it too. A change that only others had (the hub lost it in a
crash) is originated anew by them.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice

from hub.peering.exchange_replica import Replica
from hub.peering.exchange_values import R, RetiredStream
from hub.peering.exchange_wire import RETIRED_MAX, SPANS_OF_STREAM_MAX, Retired
from hub.peering.vector import Stream
from shared.errors import BadInput
from shared.ranges import NOTHING, SEQ_MAX, Ranges, of_spans

OLD_STREAMS_KEPT = 2


@dataclass(slots=True)
class Retirement:
    """What a hub has heard of retired streams, and cannot do yet."""

    waiting: dict[Stream, RetiredStream] = field(default_factory=dict)

    def take(self, told: Iterable[Retired]) -> None:
        """Hear what a peer says; raises BadInput."""
        for each in told:
            if any(first > last for first, last in each.covered) or each.stream == each.successor:
                raise BadInput(f"what is told of the retired stream {each.stream} makes no sense")
            known = RetiredStream(each.successor, each.through, of_spans(each.covered))
            self.waiting[each.stream] = known
        while len(self.waiting) > RETIRED_MAX:
            del self.waiting[next(iter(self.waiting))]


def retire_by_and_by(replica: Replica[R], records_max: int, gone: Collection[str] = ()) -> int:
    """One step with a stream of a hub that is gone for good, or with the oldest own one, where there
    are too many; returns how many records were originated anew."""
    stream = replica.retiring or _oldest(replica, gone)
    if stream is None:
        return 0
    replica.retiring = stream
    bearers = (node for node, _ in replica.dots.bearers(stream) if node not in replica.redone)
    page = list(islice(bearers, records_max))
    for node in page:
        replica.redone.add(node)
        replica.originate_anew(node)
    if not page:
        covered = replica.vector.drop(stream)
        _keep(replica, stream, RetiredStream(replica.own, replica.seq, covered))
    return len(page)


def _oldest(replica: Replica[R], gone: Collection[str]) -> Stream | None:
    orphans = [each for each in replica.vector.ranges if each[0] in gone]
    if orphans:
        return orphans[0]
    streams = [each for each in replica.vector.ranges if each[0] == replica.own[0]]
    old = [each for each in streams if each != replica.own]
    return old[0] if len(old) > OLD_STREAMS_KEPT else None


def drop_retired(replica: Replica[R], retirement: Retirement) -> None:
    """Drop the streams that others have retired, where this hub has all that is in them."""
    for stream, told in list(retirement.waiting.items()):
        if stream in replica.retired or stream == replica.own:
            del retirement.waiting[stream]
        elif _has(replica, told):
            del retirement.waiting[stream]
            _drop(replica, stream, told)


def _has(replica: Replica[R], told: RetiredStream) -> bool:
    after = replica.retired.get(told.successor)
    held = replica.vector.ranges.get(told.successor, NOTHING) if after is None else after.covered
    return told.through == 0 or held.first_missing(1) > told.through


def _drop(replica: Replica[R], stream: Stream, told: RetiredStream) -> None:
    for node, seq in replica.dots.bearers(stream):
        if seq not in told.covered:
            replica.rescued += 1
            replica.originate_anew(node)
    replica.vector.drop(stream)
    _keep(replica, stream, told)


def _keep(replica: Replica[R], stream: Stream, told: RetiredStream) -> None:
    replica.dots.drop(stream)
    replica.retired[stream] = told
    if replica.retiring == stream:
        replica.retiring, replica.redone = None, set()
    while len(replica.retired) > RETIRED_MAX:
        del replica.retired[next(iter(replica.retired))]


def to_wire(replica: Replica[R]) -> list[Retired]:
    """The retired streams for a message."""
    return [
        Retired(stream, each.successor, min(each.through, SEQ_MAX), _few_spans(each.covered))
        for stream, each in replica.retired.items()
    ]


def _few_spans(covered: Ranges) -> list[tuple[int, int]]:
    # Telling of fewer is safe: the others then originate anew what they are not told of.
    return list(covered.spans[:SPANS_OF_STREAM_MAX])
