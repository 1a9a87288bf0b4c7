"""Which node a new VM could go to, and why not the others: by what nodes told. Rules only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.nodes.sieve import LabelWish
from shared.records import MIB
from shared.terminal import safe

GIB = 1024 * MIB
MEMORY_STEP_BYTES = 256 * MIB
"""Nodes whose free memory differs by less are equal: it changes all the time."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node as far as a choice looks at it. `memory_bytes` and `memory_ratio` (0 to 1) are what the
    host has and uses; None where it did not tell. `promised_bytes` is the memory of all its VMs."""

    node_id: str
    is_live: bool
    is_draining: bool
    labels: Mapping[str, Any]
    vms: int = 0
    memory_bytes: int | None = None
    memory_ratio: float | None = None
    promised_bytes: int = 0

    @property
    def free_bytes(self) -> int | None:
        """What neither the host uses now nor its VMs may come to use; None: nobody knows."""
        if self.memory_bytes is None:
            return None
        used = round(self.memory_bytes * (self.memory_ratio or 0.0))
        return max(0, self.memory_bytes - max(used, self.promised_bytes))


@dataclass(frozen=True, slots=True)
class Hint:
    """What the one who orders wants of the node; `nodes` None leaves the choice among all."""

    labels: Sequence[LabelWish] = ()
    nodes: frozenset[str] | None = None
    not_nodes: frozenset[str] = frozenset()


def place_of(
    node_id: str,
    told: Mapping[str, Any],
    facts: Mapping[str, Any],
    vms: Iterable[Any],
    **known: Any,
) -> Place:
    """A node by what it told of its load and its host, whatever rubbish is in it."""
    machines = [vm for vm in vms if isinstance(vm, Mapping)]
    load = told.get("load")
    ratio = load.get("memory_ratio") if isinstance(load, Mapping) else None
    return Place(
        node_id,
        vms=len(machines),
        memory_bytes=_whole(facts.get("memory_bytes")),
        memory_ratio=min(1.0, max(0.0, ratio)) if isinstance(ratio, int | float) else None,
        promised_bytes=sum(_whole(vm.get("memory_mib")) or 0 for vm in machines) * MIB,
        **known,
    )


def why_not(place: Place, hint: Hint, memory_bytes: int) -> str:
    """Why a VM of this memory cannot go there; empty when nothing here speaks against it."""
    if hint.nodes is not None and place.node_id not in hint.nodes:
        return "it is not one of those that were named"
    if place.node_id in hint.not_nodes:
        return "it was ruled out"
    if not all(wish.holds(place.labels) for wish in hint.labels):
        return "it has not the labels"
    if not place.is_live:
        return "it is silent"
    if place.is_draining:
        return "it is draining"
    free = place.free_bytes
    if free is not None and memory_bytes > free:
        return f"it has {size(free)} of memory free, and {size(memory_bytes)} are asked for"
    return ""


def by_preference(places: Iterable[Place]) -> list[Place]:
    """The best first: most free memory, then the fewest VMs, then by name."""
    return sorted(places, key=_rank)


def _rank(place: Place) -> tuple[int, int, str]:
    free = place.free_bytes
    return -((free or 0) // MEMORY_STEP_BYTES), place.vms, place.node_id


def reason(place: Place, fit: int) -> str:
    """Why this one was chosen of so many that could be."""
    free = place.free_bytes
    room = "its free memory is not known" if free is None else f"{size(free)} of memory free"
    among = "the only node that can run it" if fit == 1 else f"the best of {fit} nodes"
    return f"{among}: {room}, {place.vms} VMs"


def memory_bytes_of(spec: Mapping[str, Any]) -> int:
    """What a spec asks for; 0 where it does not say."""
    limits = spec.get("limits")
    limited = limits.get("memory_mib") if isinstance(limits, Mapping) else None
    return (_whole(spec.get("memory_mib")) or _whole(limited) or 0) * MIB


def in_words(considered: Sequence[Mapping[str, Any]], named_max: int = 5) -> str:
    """Why nodes were not taken, in one line."""
    named = [f"{each['node_id']}: {safe(str(each['why']))}" for each in considered[:named_max]]
    more = len(considered) - len(named)
    return "; ".join(named + ([f"and {more} more"] if more > 0 else []))


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def _whole(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and value >= 0 else None
