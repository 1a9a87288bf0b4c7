"""Which nodes a person asks for: by state, label, hub, text, and what needs a look. Rules only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hub.params import Name
from hub.query.coverage import SKEW_MS_MAX
from hub.registry import Registry
from shared.liveness import NodeState
from shared.merge import LABELS, ROLE, NodeRecord, Observation

PAGE_NODES_USUAL = 1000
PAGE_NODES_MAX = 2000  # The dicts of more take 20 ms to be let go.

NODE_LIST_SUMMARY = (
    "Nodes by name, a page at a time, and how many there are: text, states, labels, heard_by, "
    "draining, attention, brief, after, limit."
)

StateName = Literal["online", "late", "suspect", "offline", "unknown"]
Selector = Annotated[str, Meta(min_length=1, max_length=300)]

TROUBLED = frozenset({NodeState.OFFLINE, NodeState.LATE, NodeState.SUSPECT})


class ListNodes(Struct, forbid_unknown_fields=True):
    """Which nodes, by name. All conditions must hold; of several states one is enough."""

    text: Annotated[str, Meta(max_length=200)] = ""
    """Its name, state, role, host name, system or one of its labels has this in it."""
    states: Annotated[list[StateName], Meta(max_length=5)] = []
    labels: Annotated[list[Selector], Meta(max_length=16)] = []
    """Each `key=value`, `key!=value`, or `key` for any value."""
    heard_by: Name | None = None
    """The hub that heard it last."""
    draining: bool | None = None
    attention: bool = False
    """Only nodes at which a person should look: silent, a wrong clock, refused data, a failed VM."""
    brief: bool = False
    """Tell only the name and state of each."""
    after: Annotated[str, Meta(max_length=200)] = ""
    cursor: Annotated[str, Meta(max_length=200)] = ""
    """The cursor of an answer, which is the last node in it."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_NODES_MAX)] = PAGE_NODES_USUAL


@dataclass(frozen=True, slots=True)
class LabelWish:
    """What a label must be: `value` None for any."""

    key: str
    value: str | None
    is_not: bool = False

    def holds(self, labels: Mapping[str, Any]) -> bool:
        """Whether it is so; a node without the label is not the value, either."""
        if self.value is None:
            return self.key in labels
        return (labels.get(self.key) == self.value) is not self.is_not


def label_wish(selector: str) -> LabelWish:
    """Read `key=value`, `key!=value` or `key`."""
    key, equals, value = selector.partition("=")
    if not equals:
        return LabelWish(key.strip(), None)
    is_not = key.endswith("!")
    return LabelWish(key.removesuffix("!").strip(), value.strip(), is_not)


@dataclass(frozen=True, slots=True)
class Sieve:
    """The conditions of one question."""

    states: frozenset[str] = frozenset()
    labels: Sequence[LabelWish] = ()
    heard_by: str | None = None
    draining: bool | None = None
    attention: bool = False
    needle: str = ""
    lets_all_through: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        has_any = self.states or self.labels or self.heard_by or self.attention or self.needle
        object.__setattr__(self, "lets_all_through", not has_any and self.draining is None)

    def lets_through(self, registry: Registry, record: NodeRecord, state: NodeState) -> bool:
        """Whether a node that is in this state is asked for; the cheapest conditions come first."""
        return (
            (not self.states or str(state) in self.states)
            and self.draining in (None, registry.is_draining(record))
            and (not self.labels or self._labels_hold(record))
            and (self.heard_by is None or self._was_heard(registry, record))
            and (not self.attention or needs_a_look(registry.newest(record.node_id), state))
            and (not self.needle or _has_text(record, state, self.needle))
        )

    def _labels_hold(self, record: NodeRecord) -> bool:
        labels = _labels(record)
        return all(wish.holds(labels) for wish in self.labels)

    def _was_heard(self, registry: Registry, record: NodeRecord) -> bool:
        verdict = registry.life.verdict(record.node_id)
        return verdict is not None and verdict.observer == self.heard_by


def sieve_of(wanted: ListNodes) -> Sieve:
    """The conditions in the parameters of a call."""
    return Sieve(
        frozenset(wanted.states),
        tuple(map(label_wish, wanted.labels)),
        wanted.heard_by,
        wanted.draining,
        wanted.attention,
        wanted.text.strip().lower(),
    )


def needs_a_look(seen: Observation | None, state: NodeState) -> bool:
    """Whether a person should look at a node: by its state, or by what its last beat told."""
    if state in TROUBLED:
        return True
    if seen is None:
        return False
    told = _told.decode(seen.packed)
    skew, buffer, vms = told.clock_skew_ms, told.buffer, told.vms
    if isinstance(skew, int | float) and abs(skew) > SKEW_MS_MAX:
        return True
    if isinstance(buffer, dict) and buffer.get("dead_letters"):
        return True
    machines = vms if isinstance(vms, list) else []
    return any(isinstance(vm, dict) and vm.get("state") == "failed" for vm in machines)


class _Told(Struct, gc=False):
    clock_skew_ms: Any = None
    buffer: Any = None
    vms: Any = None


class _Known(Struct, gc=False):
    hostname: Any = None
    os: Any = None


_told = msgspec.json.Decoder(_Told)
_known = msgspec.json.Decoder(_Known)


def _labels(record: NodeRecord) -> Mapping[str, Any]:
    labels = record.intent_value(LABELS)
    return labels if isinstance(labels, Mapping) else {}


def _has_text(record: NodeRecord, state: NodeState, needle: str) -> bool:
    """Whether what a person sees of a node has a text in it, in capitals or not."""
    return any(needle in str(word).lower() for word in _words(record, state) if word)


def _words(record: NodeRecord, state: NodeState) -> Iterable[object]:
    yield record.node_id
    yield state
    yield record.intent_value(ROLE)
    yield from (f"{key}={value}" for key, value in _labels(record).items())
    if record.facts is not None:
        known = _known.decode(record.facts.packed)
        yield known.hostname
        yield known.os
