"""Search a city for its photos: calls, completeness, noise, kills, refresh.

    .venv/bin/python -m benchmarks.search [--quick] [--only ROW ...]

The service is the Flickr stand-in with synthetic photos as crowded as those of Paris. The
original's search rules run on the same service (:mod:`benchmarks.search.original`). All draws are
seeded: counts are the same on every machine, times are not. Without ``--quick`` it takes about 15
minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.search.rows import Row, crowded, frozen, noisy, others, refreshed, truthful
from benchmarks.search.stage import killed, paced

ROWS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "frozen": frozen,
    "crowded": crowded,
    "noisy": noisy,
    "truthful": truthful,
    "others": others,
    "killed": killed,
    "paced": paced,
    "refreshed": refreshed,
}


def main() -> None:
    """Measure the requested rows and print them as a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller, in less than a minute")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="some rows")
    args = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"  # for the processes it starts
    print("| what | measured | bar | held |", "|---|---|---|---|", sep="\n", flush=True)
    missed = 0
    for name in args.only:
        began = time.monotonic()
        for row in ROWS[name](args.quick):
            print(row.text, flush=True)
            missed += row.held is False
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(f"\n{missed} bars missed." if missed else "\nAll bars held.")


if __name__ == "__main__":
    main()
