"""`python -m tests.sim [SEED] [RUNS] [--plan mesh|fleet] [--bug NAME]`: one storm after the other."""

import gc
import logging
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter

from tests.sim.bugs import BUGS
from tests.sim.run import Report, simulate, simulate_mesh


def read_arguments(words: list[str]) -> Namespace:
    """Which seeds of which plan, and with which bug."""
    parser = ArgumentParser("python -m tests.sim", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=1, help="the first seed")
    parser.add_argument("runs", type=int, nargs="?", default=1, help="how many seeds from there")
    parser.add_argument("--plan", choices=("mesh", "fleet"), default="mesh")
    parser.add_argument("--bug", choices=sorted(BUGS), help="run with this bug until it is found")
    asked = parser.parse_args(words)
    if asked.bug and asked.plan != "mesh":
        parser.error("bugs are looked for in the mesh")
    return asked


def run_one(seed: int, asked: Namespace) -> Report:
    """One seed of what was asked for."""
    if asked.plan == "fleet":
        return simulate(seed)
    return simulate_mesh(seed, BUGS[asked.bug]) if asked.bug else simulate_mesh(seed)


def main() -> int:
    """Print what happened; 0 when every law held in every run, or when the bug was found."""
    gc.set_threshold(50_000, 20, 20)  # Millions of short-lived objects, hardly a cycle.
    logging.basicConfig(level=logging.CRITICAL)
    logging.getLogger().setLevel(logging.ERROR)
    asked = read_arguments(sys.argv[1:])
    failed: list[int] = []
    counts: Counter[str] = Counter()
    for seed in range(asked.seed, asked.seed + asked.runs):
        report = run_one(seed, asked)
        counts.update(report.counts)
        if not report.ok:
            failed.append(seed)
        if asked.bug:
            if not report.ok:
                print(f"{asked.bug}: found by seed {seed}: {report.failures[0]}")
                return 0
        else:
            print(report.to_text(), flush=True)
    if asked.bug:
        print(f"{asked.bug}: not found by {asked.runs} seeds from {asked.seed}")
        return 1
    for kind, count in sorted(counts.items()):
        print(f"{count:8} {kind}")
    ok = asked.runs - len(failed)
    print(f"{ok} of {asked.runs} runs ok" + (f", failed: {failed}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
