"""Which VMs a person asks for, of what nodes told last, and how much of each is read. Rules only."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hub.machines.params import ListMachines, SelectMachines
from hub.nodes.sieve import LabelWish, label_wish
from shared.merge import Observation

Brief = dict[str, Any]
ALWAYS = ("id", "name", "node_id")
TEXT_KEYS = ("name", "node_id", "status", "image", "id")


class _Raws(Struct, gc=False):
    vms: list[Raw] = []


class _Names(Struct, gc=False):
    id: Any = None
    name: Any = None


class _Named(Struct, gc=False):
    vms: list[_Names] = []


_raws = msgspec.json.Decoder(_Raws)
_named = msgspec.json.Decoder(_Named)


def count_of(seen: Observation | None) -> int:
    """How many VMs a node told of; what is in them is not read."""
    if seen is None or b'"vms":[]' in seen.packed:
        return 0
    try:
        return len(_raws.decode(seen.packed).vms)
    except msgspec.MsgspecError:
        return 0


def briefs_of(seen: Observation | None) -> list[Brief]:
    """What a node told of each of its VMs, read anew at each call."""
    machines = seen.vms if seen is not None else []
    return [vm for vm in machines if isinstance(vm, dict)]


def may_have(seen: Observation | None, vm: str) -> bool:
    """Whether a node told of a VM with this id or name."""
    if seen is None or f'"{vm}"'.encode() not in seen.packed:
        return False
    try:
        named = _named.decode(seen.packed).vms
    except msgspec.MsgspecError:
        return False
    return any(vm in (each.id, each.name) for each in named)


@dataclass(frozen=True, slots=True)
class VmSieve:
    """The conditions of one question."""

    name: re.Pattern[str] | None = None
    states: frozenset[str] = frozenset()
    kind: str | None = None
    labels: Sequence[LabelWish] = ()
    needle: str = ""
    since_seq: int | None = None
    lets_all_through: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        has_any = self.name or self.states or self.kind or self.labels or self.needle
        object.__setattr__(self, "lets_all_through", not has_any and self.since_seq is None)

    def lets_through(self, vm: Mapping[str, Any]) -> bool:
        """Whether a VM is asked for, as it is shown: with its node and its status."""
        return self.lets_all_through or (
            (not self.states or _state_of(vm) in self.states)
            and self.kind in (None, vm.get("kind"))
            and (self.name is None or self.name.match(str(vm.get("name"))) is not None)
            and (self.since_seq is None or _number(vm.get("seq")) > self.since_seq)
            and (not self.labels or self._labels_hold(vm.get("labels")))
            and (not self.needle or _has_text(vm, self.needle))
        )

    def _labels_hold(self, labels: Any) -> bool:
        held = labels if isinstance(labels, Mapping) else {}
        return all(wish.holds(held) for wish in self.labels)


ALL = VmSieve()


def sieve_of(wanted: ListMachines | SelectMachines) -> VmSieve:
    """The conditions in the parameters of a call."""
    return VmSieve(
        re.compile(translate(wanted.name)) if wanted.name else None,
        frozenset(_all(wanted.state)),
        wanted.kind,
        tuple(map(label_wish, _all(wanted.label))),
        wanted.text.strip().lower(),
        wanted.since_seq if isinstance(wanted, ListMachines) else None,
    )


def only(vm: Brief, fields: Sequence[str] | None) -> Brief:
    """A VM with no more than what was asked for."""
    if fields is None:
        return vm
    return {name: vm[name] for name in dict.fromkeys([*ALWAYS, *fields]) if name in vm}


def _all(words: Sequence[str] | str | None) -> Iterable[str]:
    if words is None:
        return ()
    return (words,) if isinstance(words, str) else words


def _state_of(vm: Mapping[str, Any]) -> str:
    """A VM on a silent node is in no state that anybody knows."""
    return "unknown" if vm.get("freshness") == "unreachable" else str(vm.get("state"))


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _has_text(vm: Mapping[str, Any], needle: str) -> bool:
    return any(needle in str(vm.get(key) or "").lower() for key in TEXT_KEYS)
