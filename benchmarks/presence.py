"""How well any measure can tell an area's own photos from strangers, given the network's ranks.

    .venv/bin/python -m benchmarks.presence

Scores are drawn, not measured: standard normal at every cell, independent of each other, and larger
by a constant at the cell that an own photo shows. The constant follows from the median rank. The
likelihood ratio of own photo to stranger is then known, and no measure made from the scores has a
larger AUROC.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from witw.cvig.scoring.presence import auroc

PHOTOS, BLOCK = 4000, 500
CASES = ((5.6, 900), (2.0, 900), (0.5, 900), (0.1, 900), (0.01, 900), (0.01, 13_689))


def best_auroc(median_pct: float, cells: int) -> float:
    """Return the AUROC of the likelihood ratio.

    Args:
        median_pct: median rank of the true cell [% of the cells].
        cells: of the area.
    """
    rng = np.random.default_rng(0)
    shift = NormalDist().inv_cdf(1 - median_pct / 100)

    def ratios(own: bool) -> np.ndarray:
        scores = rng.normal(size=(BLOCK, cells))
        scores[:, 0] += shift * own
        return np.log(np.exp(shift * scores - shift**2 / 2).mean(axis=1))

    own, strangers = (
        np.concatenate([ratios(kind) for _ in range(PHOTOS // BLOCK)]) for kind in (True, False)
    )
    return auroc(own, strangers)


def main() -> None:
    """Print a row for each case."""
    for median_pct, cells in CASES:
        best = best_auroc(median_pct, cells)
        print(f"median rank {median_pct:g} % of {cells:,} cells: AUROC at most {best:.2f}")


if __name__ == "__main__":
    main()
