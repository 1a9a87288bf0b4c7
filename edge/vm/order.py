"""In which order machines start after their host, and stop before it. Pure."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from edge.vm.model import Vm


def start_groups(vms: Iterable[Vm]) -> list[list[Vm]]:
    """Those that may start together: the lowest start_order first."""
    ordered = sorted(vms, key=lambda vm: (vm.spec.start_order, vm.name))
    return [list(group) for _, group in groupby(ordered, key=lambda vm: vm.spec.start_order)]


def stop_waves(vms: Iterable[Vm], width: int) -> list[Sequence[Vm]]:
    """Those that stop together, at most `width` of them: the highest start_order first."""
    return [
        group[begin : begin + width]
        for group in reversed(start_groups(vms))
        for begin in range(0, len(group), width)
    ]
