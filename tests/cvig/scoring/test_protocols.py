import hashlib

import numpy as np
import pytest
import torch

from witw.cvig import retrieval
from witw.cvig.metrics import Metric
from witw.cvig.network.model import Blend
from witw.cvig.retrieval import Codes
from witw.cvig.scoring import protocols

BLEND = Blend(0.5, 0.05)


def codes(count, seed=0, columns=3, headings=8, dim=6):
    """Return random chips, and photos that show part of their own chip with noise."""
    rng = torch.Generator().manual_seed(seed)
    chips = torch.randn(count, dim, headings, generator=rng)
    photos = chips[:, :, 2 : 2 + columns] + torch.randn(count, dim, columns, generator=rng)
    masks = torch.ones(count, columns)
    masks[::3, 0] = 0
    none = torch.zeros(count, 0)
    return Codes(photos if headings > 1 else chips + photos, masks, chips, none, none)


def flat_codes(count, seed=0, dim=24):
    rng = torch.Generator().manual_seed(seed)
    chips = torch.randn(count, dim, 1, generator=rng)
    photos = chips + 2 * torch.randn(count, dim, 1, generator=rng)
    return Codes(photos, torch.ones(count, 1), chips, photos[..., 0], chips[..., 0])


def naive_ranks(some):
    """Rank one photo and one chip at a time, following the definition."""
    photo = some.photos.double() * some.masks.double()[:, None]
    chips, shifts = some.chips.double(), range(some.chips.shape[-1])
    width, ranks = photo.shape[-1], []
    for i in range(len(photo)):
        best = torch.full((len(chips),), -2.0).double()
        for s in shifts:
            columns = [(s + c) % chips.shape[-1] for c in range(width)]
            under = chips[:, :, columns] * some.masks[i].double()
            dots = (under * photo[i]).sum(dim=(1, 2))
            best = torch.maximum(best, dots / photo[i].norm() / under.flatten(1).norm(dim=1))
        ranks.append(int((best >= best[i] - 1e-6).sum()))
    return ranks


@pytest.mark.parametrize("make", [codes, flat_codes])
def test_ranks_in_blocks_equal_ranks_of_single_pairs(make, monkeypatch):
    some = make(70)
    expected = naive_ranks(some)
    assert 1 < np.mean(expected) < 30
    for blocks in ((64, 1024), (7, 11), (1, 1000)):
        for few, many in (("PHOTOS", "CELLS"), ("FLAT_PHOTOS", "FLAT_CELLS")):
            monkeypatch.setattr(retrieval, few, blocks[0])
            monkeypatch.setattr(retrieval, many, blocks[1])
        assert retrieval.ranks(some, BLEND).tolist() == expected


@pytest.mark.parametrize("make", [codes, flat_codes])
def test_ranks_of_constant_and_of_broken_codes_are_the_worst(make):
    some = make(30)
    ones = {name: torch.ones_like(value) for name, value in vars(some).items()}
    assert set(retrieval.ranks(Codes(**ones), BLEND)) == {30}
    some.photos[4] = np.nan
    some.chips[9] = np.nan
    ranks = retrieval.ranks(some, BLEND)
    assert ranks[4] == ranks[9] == 30
    assert (ranks >= 2).all()


def test_thinning_leaves_one_photo_a_square():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 400, (500, 2))
    ids = [str(10_000 + n) for n in range(500)]
    kept = protocols.thin(ids, places)
    squares = {tuple(s) for s in np.floor(places / 25).astype(int).tolist()}
    assert len(kept) == len(squares)
    assert {tuple(s) for s in np.floor(places[kept] / 25).astype(int).tolist()} == squares
    # The choice does not depend on the order of the rows.
    turned = rng.permutation(500)
    again = protocols.thin([ids[n] for n in turned], places[turned])
    assert {ids[turned[n]] for n in again} == {ids[n] for n in kept}


def test_searched_photos_are_thinned_and_have_the_least_hashes():
    places = np.random.default_rng(1).uniform(0, 500, (300, 2))
    ids = [str(n) for n in range(300)]
    few = protocols.thin(ids, places)
    assert len(few) > 150
    assert protocols.chosen(ids, places, 1000).tolist() == few.tolist()
    asked = protocols.chosen(ids, places, 100)
    assert len(asked) == 100
    key = {n: hashlib.sha1(ids[n].encode()).hexdigest() for n in few}
    assert set(asked) == set(sorted(few, key=key.get)[:100])


def test_photos_on_one_spot_are_one_photo():
    assert len(protocols.thin(["1", "2", "3"], np.full((3, 2), 7.0))) == 1


def test_every_figure_has_chance_and_interval():
    block = np.arange(20) % 10
    told = protocols.tell({"x": Metric(np.arange(20.0))}, {"x": 1.0}, block)
    assert told["n"] == 20
    assert told["blocks"] == 10
    assert told["chance"] == {"x": 1.0}
    low, high = told["interval"]["x"]
    assert low < told["x"] == 9.5 < high
