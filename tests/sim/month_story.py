"""A month of a small fleet: when hubs are away, clocks jump, disks fill up and edges fall over."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class MonthPlan:
    """The size of a month. Each edge takes in one body every `body_seconds`, of one signal after
    the other."""

    days: float = 30.0
    hubs: tuple[str, ...] = ("hub-1", "hub-2")
    shedding: tuple[str, ...] = ("edge-1",)
    rejecting: tuple[str, ...] = ("edge-2",)
    body_seconds: float = 1200.0
    records_max: int = 40
    # About as much as an edge takes in within two days, so that only long outages fill it.
    buffer_bytes_max: int = 40_000
    # Several files, so that they are begun, dropped and rewritten as those of a large buffer are.
    segment_bytes_max: int = 4_000
    outage_hours: tuple[float, ...] = (3.0, 9.0, 24.0, 48.0, 96.0)
    full_disk_hours: float = 5.0
    rest_seconds_max: float = DAY

    @property
    def edges(self) -> tuple[str, ...]:
        """All edges."""
        return (*self.shedding, *self.rejecting)

    @property
    def seconds(self) -> float:
        """How long the edges take in data."""
        return self.days * DAY


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that goes wrong at a time, for a while; times are seconds since the month began.

    `down` crashes all hubs, `cut` parts them from all edges; `full` is a disk without room; `jump`
    sets a clock by `jump_seconds` for good; `crash` and `restart` end a process and start it again.
    """

    kind: str
    at: float
    seconds: float
    name: str
    jump_seconds: float = 0.0

    @property
    def end(self) -> float:
        """When it is over."""
        return self.at + self.seconds

    def overlaps(self, other: "Trouble", margin_seconds: float) -> bool:
        """Whether the other one is at the same time, or nearly."""
        return self.at < other.end + margin_seconds and other.at < self.end + margin_seconds


def troubles_of(plan: MonthPlan, rng: Random) -> list[Trouble]:
    """Everything that goes wrong in a month, in the order in which it begins."""
    outages = _outages(plan, rng)
    full = _full_disks(plan, rng, outages)
    falls = [fall for name in plan.edges for fall in _edge_falls(plan, rng, name, full)]
    drawn = [*outages, *full, *falls, *_hub_falls(plan, rng, outages), *_jumps(plan, rng)]
    return sorted(drawn, key=lambda trouble: trouble.at)


def _outages(plan: MonthPlan, rng: Random) -> list[Trouble]:
    """One after the other, in any order, with a day between them to come to rest."""
    lengths = [hours * HOUR for hours in plan.outage_hours]
    rng.shuffle(lengths)
    kinds = ["down", "cut"] * len(lengths)
    spare = plan.seconds - sum(lengths) - DAY * (len(lengths) + 1)
    cuts = sorted(rng.uniform(0, spare) for _ in lengths)
    outages: list[Trouble] = []
    passed = DAY
    for length, kind, cut in zip(lengths, kinds, cuts, strict=False):
        outages.append(Trouble(kind, passed + cut, length, "all hubs"))
        passed += length + DAY
    return outages


def _full_disks(plan: MonthPlan, rng: Random, outages: Sequence[Trouble]) -> list[Trouble]:
    """Twice: of one edge while all is well, and of another in an outage, with a backlog on it."""
    seconds = plan.full_disk_hours * HOUR
    outage = rng.choice([each for each in outages if each.seconds > 2 * seconds])
    second = Trouble("full", outage.at + rng.uniform(0, seconds), seconds, plan.edges[-1])
    first = _apart(outages, HOUR, partial(_any_time, plan, rng, "full", seconds, plan.edges[0]))
    return [first, second]


def _edge_falls(
    plan: MonthPlan, rng: Random, name: str, full: Iterable[Trouble]
) -> Iterator[Trouble]:
    """One a week or so; some in the moment in which something is being committed."""
    # One that starts on a full disk says so and ends, and rightly so.
    others = [each for each in full if each.name == name]
    for kind in ("crash", "restart", "crash", "crash"):
        others.append(_apart(others, HOUR, partial(_fall, plan, rng, kind, name)))
        yield others[-1]


def _fall(plan: MonthPlan, rng: Random, kind: str, name: str) -> Trouble:
    fall = _any_time(plan, rng, kind, rng.uniform(60, HOUR), name)
    if kind == "restart":
        return fall
    moment = fall.at // plan.body_seconds * plan.body_seconds + rng.uniform(0, 0.01)
    return replace(fall, at=moment)


def _hub_falls(plan: MonthPlan, rng: Random, outages: Sequence[Trouble]) -> Iterator[Trouble]:
    """Each hub once, while the other one is there."""
    others = [*outages]
    for name in plan.hubs:
        draw = partial(_any_time, plan, rng, "crash", 2 * HOUR, name)
        others.append(_apart(others, HOUR, draw))
        yield others[-1]


def _jumps(plan: MonthPlan, rng: Random) -> Iterator[Trouble]:
    """An hour forward and an hour back, of every clock."""
    for name in (*plan.edges, *plan.hubs):
        for hour in (HOUR, -HOUR):
            yield Trouble("jump", rng.uniform(HOUR, plan.seconds - HOUR), 0.0, name, hour)


def _any_time(plan: MonthPlan, rng: Random, kind: str, seconds: float, name: str) -> Trouble:
    return Trouble(kind, rng.uniform(HOUR, plan.seconds - seconds - DAY / 2), seconds, name)


def _apart(
    others: Iterable[Trouble], margin_seconds: float, draw: Callable[[], Trouble]
) -> Trouble:
    """Draw until it is well clear of the others."""
    others = list(others)
    while True:
        drawn = draw()
        if not any(drawn.overlaps(other, margin_seconds) for other in others):
            return drawn
