"""The mesh benchmark: how soon hubs agree, how soon they notice death, and what many nodes cost."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from shared.benchmarks.mesh_agree import agree
from shared.benchmarks.mesh_large import intake, large
from shared.benchmarks.mesh_wired import wired
from shared.benchmarks.stage import Figures, run_process

Tell = Callable[[str], None]
NODES = 10_000
STORM_SECONDS = 3600.0
STORM_SECONDS_EACH = 900.0
"""Of virtual time for each second that loads last: an hour from four seconds on."""

CURVE_NODES = (1_000, 10_000, 100_000)
CURVE_HUBS = 7
RUN_SECONDS_MAX = 1800.0


def measure(seconds: float, tell: Tell, nodes: int = NODES, part: str = "all") -> Figures:
    """Run one part of it, or all but the curve; returns one flat object of figures."""
    figures: Figures = {"nodes": nodes}
    with tempfile.TemporaryDirectory(prefix="hw-bench-") as name:
        folder = Path(name)
        if part in ("all", "agree"):
            figures |= agree(folder / "agree", seconds, tell, nodes)
        if part in ("all", "wired"):
            figures |= wired(folder / "wired", seconds, tell, nodes)
        if part in ("all", "intake"):
            figures |= intake(folder / "intake", seconds, tell, nodes)
        if part in ("all", "large"):
            figures |= large(folder / "large", tell, 10 * nodes)
    if part in ("all", "storm"):
        figures |= storm(seconds, tell)
    if part == "curve":
        figures |= curve(tell, nodes)
    return figures


def storm(seconds: float, tell: Tell) -> Figures:
    """The real failure detector in virtual time: a fifth of all messages lost, pauses under 5 s."""
    virtual = min(STORM_SECONDS, seconds * STORM_SECONDS_EACH)
    tell(f"the failure detectors of 3 hubs in {virtual:g} s of virtual bad weather")
    told = run_process("hub.benches.storm", virtual, seconds=RUN_SECONDS_MAX)
    return {name: round(value, 3) for name, value in told.items()}


def curve(tell: Tell, nodes: int) -> Figures:
    """What a change costs the real exchange of 7 hubs, by the number of nodes."""
    figures: Figures = {}
    for count in (each * nodes // NODES for each in CURVE_NODES):
        tell(f"the exchange of {CURVE_HUBS} hubs with {count} nodes, in virtual time")
        told = run_process("hub.benches.curve", CURVE_HUBS, count, seconds=RUN_SECONDS_MAX)
        figures |= {f"{name}_{count}": round(value, 3) for name, value in told.items()}
    return figures
