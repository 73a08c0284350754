import torch
from made_pairs import make_pairs

from witw.cvig.network.augment import draw, erase, mirror
from witw.cvig.network.heads import best, correlate
from witw.cvig.network.model import as_float
from witw.cvig.network.views import photo_view, polar_view
from witw.settings.train import Train

NONE = Train(shift_m=0, zoom=0, colour=0, erase=0, fov_jitter=0)


def test_no_ranges_change_nothing_but_the_mirror():
    jitter = draw(16, NONE, 225.0, 0)
    assert jitter.shift.abs().max() == 0
    assert (jitter.zoom == 1).all()
    assert (jitter.fov == 1).all()
    assert (jitter.photo_colour[:, 0] == 1).all()
    assert (jitter.chip_colour[:, 1] == 0).all()
    views = torch.rand(16, 3, 4, 8)
    assert torch.equal(erase(views, jitter.erase), views)


def test_the_same_seed_draws_the_same():
    first, again, other = (draw(4, Train(), 225.0, seed) for seed in (5, 5, 6))
    assert all(torch.equal(getattr(first, k), getattr(again, k)) for k in vars(first))
    assert not torch.equal(first.shift, other.shift)


def test_shift_is_in_metres_on_the_ground():
    shift = draw(20_000, Train(shift_m=9.0), 225.0, 0).shift * 225 / 2
    assert abs(shift.std().item() - 9.0) < 0.15


def test_erase_blanks_only_its_columns():
    views = torch.ones(2, 3, 4, 10)
    out = erase(views, torch.tensor([[0.2, 0.5], [0.7, 0.7]]))
    assert out[0, 0, 0].tolist() == [1, 1, 0, 0, 0, 1, 1, 1, 1, 1]
    assert out[1].min() == 1


def test_mirroring_view_is_mirroring_chip():
    chip = torch.rand(2, 3, 40, 40)
    flipped = mirror(polar_view(chip, 8, 32), torch.tensor([True, False]))
    torch.testing.assert_close(flipped[0], polar_view(chip.flip(-1), 8, 32)[0], atol=1e-4, rtol=0)
    assert torch.equal(flipped[1], polar_view(chip, 8, 32)[1])


def test_a_mirrored_pair_still_matches_at_the_mirrored_heading():
    # The made photos are the polar view itself, so pixels serve as codes.
    photos, chips, heading = make_pairs(6, 0, chip_px=64, photo_px=64)
    sizes, fov = torch.full((6, 2), 64), torch.full((6,), 65.0)
    view = photo_view(as_float(torch.from_numpy(photos)) - 127, sizes, fov, (16, 12), 60.0)[0]
    polar = polar_view(as_float(torch.from_numpy(chips)) - 127, 16, 72)
    for which, sign in ((False, 1), (True, -1)):
        flip = torch.full((6,), which)
        codes = [mirror(v, flip).flatten(1, 2) for v in (view, polar)]
        scores = correlate(codes[0], torch.ones(6, 12), codes[1])
        own = scores[torch.arange(6), torch.arange(6)]
        error = (best(own, 12)[1] - sign * torch.from_numpy(heading) + 180) % 360 - 180
        assert error.abs().max() < 6
