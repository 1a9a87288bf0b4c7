"""`python -m tests.soak --seconds 600 --seed N`: kill everything again and again, then count."""

import argparse
import random
import sys

from tests.soak.soak import soak

SEEDS = 10**6
INTERRUPTED = 130  # As shells say it: 128 and the number of SIGINT.


def main() -> int:
    """Print what happens; 0 when every law held, 1 when one was broken, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, help="the order of the blows (default: by chance)")
    parser.add_argument("--venv", default=sys.prefix, help="where Headwater is installed")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.randrange(SEEDS)
    print(f"soaking for {asked.seconds:.0f} s, seed {seed}", flush=True)
    try:
        report = soak(asked.seconds, seed, asked.venv, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("interrupted: nothing was judged, and nothing is left behind", flush=True)
        return INTERRUPTED
    print(report.to_text(), flush=True)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
