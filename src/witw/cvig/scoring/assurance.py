"""What an evaluation lets one say of a single answer.

Whether the photo was taken in the area at all (:mod:`witw.cvig.scoring.presence`), how often maps
as sharp are right (``reliability``), and whether it looks unlike all photos of the training
(``unusual``). Fitted on the validation areas, counted on the test areas; of each area some photos
suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
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

PHOTOS = 1000  # of an area, and as many strangers to it
FAR_M = 20_000.0  # a photo this far from an area is a stranger to it
_AT_ONCE = 256  # encoded at a time


@dataclass(frozen=True)
class Assurance:
    """What an evaluation counted, to be said of single answers.

    Attributes:
        presence: whether a photo belongs to an area; None: not known.
        usual: what photos of the training look like; None: not known.
        told: the evaluation's ``presence`` and ``reliability``, for people.
    """

    presence: Presence | None = None
    usual: Usual | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, evaluation: Mapping[str, Any]) -> Assurance:
        """What an evaluation's JSON says, or what of it a model file has kept.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        here, usual = evaluation.get("presence"), evaluation.get("usual")
        return cls(
            Presence.read(here) if here else None,
            Usual.read(usual) if usual else None,
            {name: evaluation.get(name) for name in ("presence", "reliability")},
        )


def tell(
    model: Model,
    fitted: Calibration,
    cells: Mapping[str, Index],
    train: Packed | None,
    val: Packed,
    test: Packed,
) -> dict[str, Any]:
    """Fit and count.

    Args:
        model: the network.
        fitted: calibration of its maps.
        cells: of each validation and test area.
        train: photos of other cities; None: the validation cities are each other's.
        val: photos to fit on.
        test: photos to count on.

    Returns:
        ``presence``: what :meth:`Presence.read` reads, with ``fitted_on`` and ``test``, as
        :func:`presence.figures` has it; None where there are no strangers to fit on.
        ``reliability`` as :func:`reliability.tell` has it. ``usual``: what :meth:`Usual.read`
        reads; None without ``train``.
    """
    outcomes: list[Outcome] = []
    own, others = _both(model, fitted, cells, val, [d for d in (val, train) if d is not None])
    mine, theirs = _both(model, fitted, cells, test, [test, val], outcomes)
    told = None
    if len(np.concatenate(others)):
        found = presence.fit(np.concatenate(own), np.concatenate(others))
        names = sorted(set(val.table["aoi"].astype(str)))
        told = asdict(found) | {"weights": list(found.weights), "fitted_on": names}
        told["test"] = presence.figures(found, mine, theirs)
    return {
        "presence": told,
        "reliability": reliability.tell(Outcome.join(outcomes)),
        "usual": None if train is None else _usual(train, val),
    }


def _both(
    model: Model,
    fitted: Calibration,
    cells: Mapping[str, Index],
    data: Packed,
    strangers: list[Packed],
    outcomes: list[Outcome] | None = None,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Signs of the own photos of each area of a split, and of strangers to it."""
    own, others = [], []
    for number in np.unique(data.areas):
        rows = np.flatnonzero(data.areas == number)
        at = cells[str(data.table["aoi"].iloc[rows[0]])]
        some = _some(rows, np.zeros(len(rows), np.int64), PHOTOS)
        own.append(_signs(model, fitted, at, data, some, outcomes))
        middle = data.positions[rows].mean(axis=0)
        for n, pool in enumerate(strangers):
            far = np.flatnonzero(np.linalg.norm(pool.positions - middle, axis=1) > FAR_M)
            count = PHOTOS // len(strangers) if n else PHOTOS - PHOTOS // 2
            chosen = _some(far, pool.areas[far], count)
            others.append(_signs(model, fitted, at, pool, chosen))
    return own, others


def _some(rows: NDArray[np.int64], groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Some rows, as many of each group as there are; the same every time."""
    mixed = np.random.default_rng(0).permutation(len(rows))
    order = mixed[np.argsort(groups[mixed], kind="stable")]
    sorted_groups = groups[order]
    # How manieth of its group: the first of each, then the second of each ...
    turn = np.arange(len(order)) - np.searchsorted(sorted_groups, sorted_groups)
    return np.sort(rows[order[np.argsort(turn, kind="stable")[:count]]])


@torch.inference_mode()
def _signs(
    model: Model,
    fitted: Calibration,
    cells: Index,
    data: Packed,
    rows: NDArray[np.int64],
    outcomes: list[Outcome] | None = None,
) -> NDArray[np.float64]:
    """Signs of photos at an area's cells, ``(P, 3)``; their outcomes, if asked for."""
    found = [np.zeros((0, len(presence.SIGNS)))]
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        batch = batches.read(data, some).to(device())
        with autocast(device()):
            codes = model.network.encode_photos(batch.photos, batch.sizes, fov_deg=batch.fov_deg)
        for part, scored in two_steps.scored(codes, cells, model.blend):
            maps = chances(scored.values, cells.grid, fitted)
            found.append(presence.signs(scored.values, maps))
            if outcomes is not None:
                places = data.places[some[part]]
                outcomes.append(reliability.outcome(maps, places, cells.grid, fitted))
    return np.concatenate(found)


def _usual(train: Packed, val: Packed) -> dict[str, Any]:
    """Statistics of the training photos' looks."""
    figures = []
    for data in (train, val):
        rows = np.arange(len(data))
        some = _some(rows, data.areas, unusual.PHOTOS)
        figures.append(unusual.figures(data.pictures(some)[0], data.sizes[some]))
    return unusual.fit(*figures).tell()
