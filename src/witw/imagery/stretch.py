"""Fit one 16 to 8 bit stretch for an area from its strips' merged histograms."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witw import files, stage
from witw.errors import UserError
from witw.settings.stretch import Stretch

VERSION = 2
READS = ("stretch",)

log = logging.getLogger("witw")

# Strips whose bright pixels differ by this factor hold different quantities: digital numbers and
# reflectance differ by thousands, water and cloud of one sensor by some tens.
OTHER_SCALE = 100
# A strip with a larger share of black, or of white, is reported in the log.
FLAT = 0.9
COLOURS = ("red", "green", "blue")


def percentile(values: NDArray[Any], counts: NDArray[np.int64], pct: float) -> float:
    """Return a percentile of values with given counts.

    The result equals ``np.percentile(np.repeat(values, counts), pct)`` to the last bit: it is
    linear between the two neighbours of rank ``(n - 1) * pct / 100`` (definition 7 of Hyndman and
    Fan 1996), computed from the nearer one.

    Args:
        values: Distinct values, ascending, (n,).
        counts: Number of occurrences of each, (n,).
        pct: 0..100 [%].
    """
    ends = np.cumsum(counts)
    rank = (int(ends[-1]) - 1) * (pct / 100)
    below = int(rank)
    above = min(below + 1, int(ends[-1]) - 1)
    low, high = (float(values[np.searchsorted(ends, i, side="right")]) for i in (below, above))
    share = rank - below
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def merge(histograms: Sequence[list[list[float]]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Merge histograms of value and count; return distinct ascending values and their counts."""
    pairs = [np.array(h, np.float64).reshape(-1, 2) for h in histograms]
    every = np.concatenate(pairs)
    values, where = np.unique(every[:, 0], return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, where, every[:, 1].astype(np.int64))
    return values, counts


def limits(stats: Sequence[dict[str, Any]], config: Stretch, aoi: str) -> dict[str, Any]:
    """Return the area's stretch.

    Returns:
        `{"kind": "keep"}` if all strips are 8-bit and stay unchanged, else `kind` "linear", `low`
        and `high` for red, green and blue, and `eight_bit`: the treatment of 8-bit strips.

    Raises:
        UserError: No strip has a valid pixel, or two strips have numbers of different scales.
    """
    if not any(s["valid"] for s in stats):
        raise UserError(
            f"Area {aoi!r}: no strip has a valid pixel; check its `bands` and `nodata`."
        )
    if config.eight_bit == "keep":
        stats = [s for s in stats if s["dtype"] != "Byte"]
    if not stats:
        return {"kind": "keep"}
    stats = [s for s in stats if s["valid"]] or stats
    _check_scales(stats, aoi)
    low, high = [], []
    for band in range(3):
        values, counts = merge([physical(s, band) for s in stats])
        if not len(values):
            raise UserError(
                f"Area {aoi!r}: no strip has a number in the band {COLOURS[band]}; "
                "check its `bands`."
            )
        low.append(percentile(values, counts, config.low_pct))
        high.append(percentile(values, counts, config.high_pct))
    _warn_of_flat(stats, low, high, aoi)
    return {"kind": "linear", "low": low, "high": high, "eight_bit": config.eight_bit}


def physical(stats: dict[str, Any], band: int) -> list[list[float]]:
    """Return a band's pairs of physical value (stored number * scale + offset) and count."""
    scale, offset = stats["scale"][band], stats["offset"][band]
    if (scale, offset) == (1, 0):
        return list(stats["histogram"][band])
    return [[value * scale + offset, count] for value, count in stats["histogram"][band]]


def _check_scales(stats: Sequence[dict[str, Any]], aoi: str) -> None:
    """Check that one stretch can show all strips.

    Raises:
        UserError: Two strips have numbers of different scales.
    """
    tops = np.array(
        [[percentile(*merge([physical(s, band)]), 98) for band in range(3)] for s in stats]
        if all(all(s["histogram"]) for s in stats)
        else [[1.0] * 3]
    )
    for bright, dark in itertools.permutations(range(len(tops)), 2):
        one_kind = stats[bright]["dtype"] == stats[dark]["dtype"]
        if one_kind and not stats[dark]["dtype"].startswith("Float"):
            continue  # integers of one type: dark ground, which only the log reports
        if (tops[dark] > 0).all() and (tops[bright] >= OTHER_SCALE * tops[dark]).all():
            one, two = stats[bright]["strip"], stats[dark]["strip"]
            raise UserError(
                f"Area {aoi!r}: the numbers of strip {one!r} are at least {OTHER_SCALE} times "
                f"those of strip {two!r} (98th percentiles of red {tops[bright][0]:g} and "
                f"{tops[dark][0]:g}), so one stretch cannot show both; declare each one's scale "
                "and offset in its file (gdal_edit.py -scale S -offset O), or give each an area "
                "of its own."
            )


def _warn_of_flat(
    stats: Sequence[dict[str, Any]], low: Sequence[float], high: Sequence[float], aoi: str
) -> None:
    """Warn about strips that come out black or white."""
    for strip in stats if len(stats) > 1 else ():
        shares = []
        for band in range(3):
            values, counts = merge([physical(strip, band)])
            total = max(int(counts.sum()), 1)
            below = counts[values <= low[band]].sum() / total
            above = counts[values >= high[band]].sum() / total
            shares.append((below, above))
        for name, share in zip(("black", "white"), np.min(shares, axis=0), strict=True):
            if share > FLAT:
                log.warning(
                    "Area %r: %.0f %% of strip %r is %s beside the other strips; check that all "
                    "hold the same quantity, or declare each one's scale and offset",
                    aoi, 100 * share, strip.get("strip"), name,
                )  # fmt: skip


def run(spec: dict[str, Any], stats: Sequence[Path], stretch: Path) -> None:
    """Write the area's stretch.

    Raises:
        UserError: No strip has a valid pixel.
    """
    config = Stretch.model_validate(spec["stretch"])
    found = [files.read_json(path) for path in stats]
    try:
        made = limits(found, config, spec["aoi"])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        names = ", ".join(map(str, stats))
        raise UserError(
            f"Area {spec['aoi']!r}: one of {names} has no counts; delete them and run again."
        ) from None
    files.write_json(stretch, files.seal(made))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    args = stage.arguments(
        "stretch", __doc__, inputs=["stats"], outputs=["stretch"], many=["stats"], argv=argv
    )
    run(args.spec, args.stats, args.stretch)


if __name__ == "__main__":
    stage.execute(main)
