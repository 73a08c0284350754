import pytest
import torch
from made_pairs import make_pairs

from witw.cvig.network.augment import draw, erase, mirror, wear
from witw.cvig.network.heads import best, correlate
from witw.cvig.network.towers import as_float
from witw.cvig.network.views import photo_view, polar_view
from witw.settings.train import Train

NONE = Train(shift_m=0, zoom=0, colour=0, erase=0, fov_jitter=0)


def test_without_ranges_only_the_mirror_changes_a_pair():
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
    # The synthetic photos are the polar view itself, so pixels serve as codes.
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


CROPS = Train(fov_crop=1.0, fov_crop_deg=(40, 100), jpeg=0.5, blur=0.3, grey=0.2)


def test_fields_of_view_are_drawn_from_their_range():
    jitter = draw(20_000, CROPS, 225.0, 0)
    assert 40 <= jitter.crop_deg.min() < 40.1
    assert 99.9 < jitter.crop_deg.max() <= 100
    assert jitter.crop_at.abs().max() <= 1
    some = draw(20_000, Train(fov_crop=0.3), 225.0, 0).crop_deg
    assert (some < 360).float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_wear_has_the_requested_frequency():
    quality, sigma, is_grey = draw(20_000, CROPS, 225.0, 0).photo_wear.T
    shares = [(value > 0).float().mean().item() for value in (quality, sigma, is_grey)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
    assert quality[quality > 0].min() == 30
    assert quality.max() == 90


def test_new_draws_leave_the_others_as_they_were():
    """A training with more augmentation has the same turns, shifts and mirrors."""
    plain, more = draw(8, Train(), 225.0, 3), draw(8, CROPS, 225.0, 3)
    for name in ("shift", "zoom", "turn_deg", "mirror", "photo_colour", "chip_colour", "noise"):
        assert torch.equal(getattr(plain, name), getattr(more, name))


def test_a_part_is_worn_as_in_the_whole_batch():
    jitter = draw(6, CROPS, 225.0, 1)
    pictures = torch.rand(6, 3, 24, 24) * 255
    whole = wear(pictures, jitter.photo_wear)
    parts = [wear(pictures[s], jitter[s].photo_wear) for s in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(whole, torch.cat(parts))
    assert not torch.equal(whole, pictures)
    assert wear(pictures, draw(6, Train(), 225.0, 1).photo_wear) is pictures


def ramp(size=256):
    """Return a photo of a 90 degree lens: red is the angle across, green the height."""
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    red = torch.rad2deg(torch.atan(at)).expand(size, size)
    return torch.stack([red, at[:, None].expand(size, size), torch.ones(size, size)])[None]


def view_of(crop_deg, crop_at, span=100.0, columns=100):
    sizes, fov = torch.tensor([[256, 256]]), torch.tensor([90.0])
    crop = torch.tensor([crop_deg]), torch.tensor([crop_at])
    view, inside, seen = photo_view(ramp(), sizes, fov, (64, columns), span, 1.0, *crop)
    return view[0], inside[0, 0], seen[0]


def test_a_crop_shows_its_part_of_the_photo_in_the_middle():
    view, inside, seen = view_of(40.0, 1.0)  # of 90 degrees, the rightmost 40: 5 to 45
    assert seen.sum() == 40
    assert seen[30:70].all()
    middle = view[0, 32, 30:70]
    torch.testing.assert_close(middle, torch.arange(40) + 5.5, atol=0.5, rtol=0)
    assert not inside[:, :30].any()


def test_a_crop_has_the_height_of_a_longer_lens():
    """A 40 degree lens sees tan(20) of the view of a 90 degree lens, up and across."""
    _, inside, _ = view_of(40.0, 0.0)
    share = inside[:, 50].float().mean().item()
    assert share == pytest.approx(torch.tensor(20.0).deg2rad().tan().item(), abs=0.03)
    whole = view_of(360.0, 0.0)[1]
    assert whole[:, 50].float().mean().item() == pytest.approx(1, abs=0.03)


def test_a_photo_within_the_angle_is_not_cut():
    plain = photo_view(
        ramp(), torch.tensor([[256, 192]]), torch.tensor([90.0]), (64, 100), 100.0, 1.0
    )
    crop = torch.tensor([95.0]), torch.tensor([0.7])
    cut = photo_view(
        ramp(), torch.tensor([[256, 192]]), torch.tensor([90.0]), (64, 100), 100.0, 1.0, *crop
    )
    for before, after in zip(plain, cut, strict=True):
        torch.testing.assert_close(before, after)


def test_two_angles_must_be_in_order():
    with pytest.raises(ValueError, match="the narrower one first"):
        Train(fov_crop_deg=(100, 40))
