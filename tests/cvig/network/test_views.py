import math

import numpy as np
import pytest
import torch

from witw.cvig.network.views import column_mask, photo_columns, photo_view, polar_view


def wedge_chip(azimuth_deg, side=101):
    """Return a chip that is 1 within 20 degrees of an azimuth and 0 elsewhere."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    turned = (np.degrees(np.arctan2(x, -y)) - azimuth_deg + 180) % 360 - 180
    return torch.from_numpy((np.abs(turned) < 20).astype(np.float32)).expand(1, 3, -1, -1)


def columns_at(views):
    """Return the azimuth of a view's mean lit column, as a direction on the circle [degrees]."""
    lit = views[0, 0].mean(dim=0).numpy()
    angle = (np.arange(len(lit)) + 0.5) / len(lit) * 2 * np.pi
    return math.degrees(math.atan2((lit * np.sin(angle)).sum(), (lit * np.cos(angle)).sum())) % 360


@pytest.mark.parametrize("azimuth", [0, 37, 90, 200, 315])
def test_polar_columns_are_azimuths_clockwise_from_north(azimuth):
    found = columns_at(polar_view(wedge_chip(azimuth), 16, 72))
    assert abs((found - azimuth + 180) % 360 - 180) < 1.0


def test_polar_rows_are_distances_far_above_near():
    side = 201
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(x, y) / (side / 2)
    chip = torch.from_numpy(radius.astype(np.float32)).expand(1, 3, -1, -1)
    rows = polar_view(chip, 12, 36)[0, 0].mean(dim=1).numpy()
    expected = ((np.arange(12)[::-1] + 0.5) / 12) ** 1.5
    np.testing.assert_allclose(rows, expected, atol=0.01)


def test_turning_a_chip_rolls_its_view():
    chip = torch.rand(1, 3, 64, 64)
    view = polar_view(chip, 8, 32)
    # anticlockwise: the east side becomes the north side
    east_is_north = torch.rot90(chip, 1, (2, 3))
    torch.testing.assert_close(
        polar_view(east_is_north, 8, 32), view.roll(-8, -1), atol=1e-4, rtol=0
    )


def test_a_turn_sets_the_first_column():
    chip = torch.rand(2, 3, 64, 64)
    turned = polar_view(chip, 8, 32, turn_deg=torch.tensor([0.0, 45.0]))
    torch.testing.assert_close(turned[0], polar_view(chip, 8, 32)[0])
    torch.testing.assert_close(
        turned[1], polar_view(chip, 8, 32)[1].roll(-4, -1), atol=1e-3, rtol=0
    )


def test_shift_moves_the_centre_east_and_north():
    chip = torch.zeros(1, 3, 64, 64)
    chip[..., 0:16, 48:64] = 1  # a block in the north-east corner: 0.5..1 east and north
    at_block = polar_view(chip, 4, 8, shift=torch.tensor([[0.75, 0.75]]), zoom=torch.tensor([0.2]))
    assert at_block.min() > 0.999
    elsewhere = polar_view(
        chip, 4, 8, shift=torch.tensor([[0.75, -0.75]]), zoom=torch.tensor([0.2])
    )
    assert elsewhere.max() == 0


@pytest.mark.parametrize(("fov", "headings", "columns"), [(65, 32, 6), (90, 32, 8), (65, 64, 12)])
def test_photo_columns_hold_the_field_of_view(fov, headings, columns):
    assert photo_columns(fov, headings) == columns


def test_photo_columns_are_equal_angles():
    side, fov = 400, 90.0
    # A picture whose value is the angle [degrees] that a pinhole camera sees in that column.
    at = (np.arange(side) + 0.5) / side * 2 - 1
    angle = np.degrees(np.arctan(at * math.tan(math.radians(fov) / 2)))
    picture = torch.from_numpy(np.tile(angle, (side, 1)).astype(np.float32)).expand(1, 3, -1, -1)
    view, _, seen = photo_view(
        picture, torch.tensor([[side, side]]), torch.tensor([fov]), (8, 16), span_deg=80.0
    )
    expected = (np.arange(16) + 0.5) / 16 * 80 - 40
    np.testing.assert_allclose(view[0, 0, 4].numpy(), expected, atol=0.3)
    assert seen.min() == 1


def test_padding_is_marked_and_a_portrait_covers_fewer_columns():
    photo = torch.ones(2, 3, 64, 64)
    sizes = torch.tensor([[64, 48], [32, 64]])  # landscape 4:3, portrait 1:2
    _, inside, seen = photo_view(photo, sizes, torch.full((2,), 60.0), (32, 64), span_deg=60.0)
    assert inside[0, :, 0].max() == 0  # above the landscape photo
    assert inside[0, :, 16].min() == 1
    # Across a portrait of half the width: 2 atan(tan(30) / 2) = 32.2 degrees of 60.
    assert seen[1].mean().item() == pytest.approx(32.2 / 60, abs=0.03)
    assert inside[1, :, :, 0].max() == 0
    mask = column_mask(seen, 8)
    assert mask.tolist() == [[1] * 8, [0, 0, 1, 1, 1, 1, 0, 0]]
