"""`python -m tests.fleet SEED [COUNT]`: play seeds, print what happened, stop at the first broken promise."""

import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fleet.scenario import play


def main(first: int, count: int) -> int:
    """Play `count` seeds from `first` on; returns the exit code."""
    for seed in range(first, first + count):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="hw-sim-") as folder:
            try:
                outcome = play(seed, Path(folder))
            except Exception:  # Whatever broke, the person needs the seed that repeats it.
                traceback.print_exc()
                print(f"seed {seed}: FAILED; repeat it with: make sim SEED={seed}")
                return 1
        faults = ", ".join(f"{name} {number}" for name, number in outcome.happened.items())
        print(
            f"seed {seed}: ok, {outcome.chunks} chunks and {outcome.records} records on both hubs, "
            f"{outcome.virtual_seconds:.0f} s lived in {time.monotonic() - began:.1f} s; "
            f"{faults}; {outcome.digest[:12]}"
        )
    return 0


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]] or [1]
    sys.exit(main(arguments[0], arguments[1] if len(arguments) > 1 else 1))
