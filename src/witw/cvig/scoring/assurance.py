"""Statistics of an evaluation for the statements of a single answer.

The statements are whether the photo was taken in the area (:mod:`witw.cvig.scoring.presence`), how
often equally sharp maps are right (``reliability``), and whether the photo looks unlike the
training photos (``unusual``). Statistics are fitted on the validation areas and counted on the test
areas. The own photos of an area are the queries of the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from witw.cvig import batches
from witw.cvig.network.model import Model, autocast, device
from witw.cvig.scoring import presence, reliability, unusual
from witw.cvig.scoring.calibration import Calibration, chances
from witw.cvig.scoring.presence import Presence
from witw.cvig.scoring.reliability import Outcome
from witw.cvig.scoring.unusual import Usual
from witw.cvig.search import two_steps
from witw.cvig.search.index_file import Index
from witw.dataset.packed import Packed

STRANGERS = 1000  # to an area
FAR_M = 20_000.0  # distance from which a photo counts as from elsewhere
_AT_ONCE = 256  # encoded at a time


@dataclass(frozen=True)
class Assurance:
    """Statistics of an evaluation for single answers.

    Attributes:
        presence: measure of whether a photo belongs to an area; None if unknown.
        usual: appearance of the training photos; None if unknown.
        told: the evaluation's ``presence`` and ``reliability``, for people.
    """

    presence: Presence | None = None
    usual: Usual | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, evaluation: Mapping[str, Any]) -> Assurance:
        """Read the statistics from an evaluation's JSON or a model file.

        Raises:
            KeyError, TypeError, ValueError: the JSON is damaged.
        """
        here, usual = evaluation.get("presence"), evaluation.get("usual")
        return cls(
            Presence.read(here) if here else None,
            Usual.read(usual) if usual else None,
            {name: evaluation.get(name) for name in ("presence", "reliability")},
        )


@dataclass(frozen=True)
class Asked:
    """The areas of a split with the signs of their own photos.

    Attributes:
        data: the split.
        own: signs ``(P, 3)`` of each area's own photos, by area.
    """

    data: Packed
    own: Mapping[str, NDArray[np.float64]]

    def signs(self) -> list[NDArray[np.float64]]:
        """Return the signs of the own photos of each area, in the order of their names."""
        return [self.own[name] for name in self.data.rows_by_area]


def tell(
    model: Model,
    cells: Mapping[str, Index],
    train: Packed | None,
    val: Asked,
    test: Asked,
    fitted: Calibration,
    outcomes: Sequence[Outcome],
) -> dict[str, Any]:
    """Fit and count the statistics.

    Args:
        model: the network.
        cells: index of each validation and test area.
        train: photos of other cities; None: validation cities serve each other.
        val: photos for the fit.
        test: photos for the counts.
        fitted: calibration of the maps.
        outcomes: outcomes of the own photos of the test areas.

    Returns:
        ``presence``: what :meth:`Presence.read` reads, with ``fitted_on`` and ``test``, as
        :func:`presence.figures` has it; None where there are no strangers to fit on.
        ``reliability`` as :func:`reliability.tell` has it. ``usual``: what :meth:`Usual.read`
        reads; None without ``train``.
    """
    pools = [val.data] if train is None else [val.data, train]
    others = [_strangers(model, fitted, cells[name], val.data, rows, pools)
              for name, rows in val.data.rows_by_area.items()]  # fmt: skip
    told = None
    if len(np.concatenate(others)):
        found = presence.fit(np.concatenate(val.signs()), np.concatenate(others))
        theirs = [_strangers(model, fitted, cells[name], test.data, rows, [test.data, val.data])
                  for name, rows in test.data.rows_by_area.items()]  # fmt: skip
        told = asdict(found) | {
            "weights": list(found.weights),
            "fitted_on": list(val.data.rows_by_area),
        }
        told["test"] = presence.figures(found, test.signs(), theirs)
    return {
        "presence": told,
        "reliability": reliability.tell(Outcome.join(outcomes)),
        "usual": None if train is None else _usual(train, val.data),
    }


def _strangers(
    model: Model, fitted: Calibration, at: Index, data: Packed, rows: NDArray[np.int64],
    pools: Sequence[Packed],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the signs of photos from elsewhere at an area with these own rows, ``(Q, 3)``."""
    found, middle = [], data.positions[rows].mean(axis=0)
    for n, pool in enumerate(pools):
        far = np.flatnonzero(np.linalg.norm(pool.positions - middle, axis=1) > FAR_M)
        count = STRANGERS // len(pools) if n else STRANGERS - STRANGERS // 2
        chosen = _some(far, pool.areas[far], count)
        found.append(_signs(model, fitted, at, pool, chosen))
    return np.concatenate(found)


def _some(rows: NDArray[np.int64], groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Choose some rows, evenly over the groups, with a fixed seed."""
    mixed = np.random.default_rng(0).permutation(len(rows))
    order = mixed[np.argsort(groups[mixed], kind="stable")]
    sorted_groups = groups[order]
    # Position in its group: take the first row of each group, then the second of each, and so on.
    turn = np.arange(len(order)) - np.searchsorted(sorted_groups, sorted_groups)
    return np.sort(rows[order[np.argsort(turn, kind="stable")[:count]]])


@torch.inference_mode()
def _signs(
    model: Model, fitted: Calibration, cells: Index, data: Packed, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the signs of photos at an area's cells, ``(P, 3)``."""
    found = [np.zeros((0, len(presence.SIGNS)))]
    for start in range(0, len(rows), _AT_ONCE):
        batch = batches.read(data, rows[start : start + _AT_ONCE]).to(device())
        with autocast(device()):
            codes = model.network.encode_photos(batch.photos, batch.sizes, fov_deg=batch.fov_deg)
        for _, scored in two_steps.scored(codes, cells, model.blend):
            maps = chances(scored.values, cells.grid, fitted)
            found.append(presence.signs(scored.values, maps))
    return np.concatenate(found)


def _usual(train: Packed, val: Packed) -> dict[str, Any]:
    """Return the statistics of the training photos' appearance."""
    figures = []
    for data in (train, val):
        rows = np.arange(len(data))
        some = _some(rows, data.areas, unusual.PHOTOS)
        figures.append(unusual.figures(data.pictures(some)[0], data.sizes[some]))
    return unusual.fit(*figures).tell()
