"""`python -m tests.sim SEED [RUNS]`: run fleets through storms, one seed after the other."""

import logging
import sys
from collections import Counter

from tests.sim.run import simulate


def main() -> int:
    """Print what happened; 0 when every law held in every run."""
    logging.basicConfig(level=logging.CRITICAL)
    logging.getLogger().setLevel(logging.ERROR)
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    failed: list[int] = []
    counts: Counter[str] = Counter()
    for seed in range(first, first + runs):
        report = simulate(seed)
        print(report.to_text(), flush=True)
        counts.update(report.counts)
        if not report.ok:
            failed.append(seed)
    for kind, count in sorted(counts.items()):
        print(f"{count:8} {kind}")
    print(f"{runs - len(failed)} of {runs} runs ok" + (f", failed: {failed}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
