import json

import numpy as np
import pytest
import rasterio
import torch
import torch.nn.functional as F
from made_city import BBOX, CENTRE, EPSG, GSD_M, SIDE_M
from matplotlib.path import Path as Outline
from pyproj import Transformer

from witw.cvig import index
from witw.cvig.grid import pictures, plan
from witw.cvig.network.model import Model
from witw.cvig.network.towers import Network
from witw.cvig.search import compact
from witw.cvig.search.index_file import Index
from witw.errors import UserError
from witw.ground import shapes
from witw.ground.shapes import Ground

SPEC = {"stage": "index", "version": 1, "aoi": "made", "bbox_deg": BBOX, "index": {"step_m": 28.0}}
CHIP_M, CHIP_PX = 225.0, 32
PIXEL_M = CHIP_M / CHIP_PX


def window(mosaic, east, north):
    """Return the chip at a place: whole pixels, then the exact mean over each packed pixel."""
    column, row = (round(v) for v in ~mosaic.transform @ (east, north))
    half = round(CHIP_M / GSD_M / 2)
    chip = mosaic.read()[:, row - half : row + half, column - half : column + half]
    # 100 px to 800, 25 per packed pixel
    fine = chip.astype(float).repeat(8, axis=1).repeat(8, axis=2)
    return fine.reshape(3, CHIP_PX, 25, CHIP_PX, 25).mean(axis=(2, 4)).transpose(1, 2, 0)


def test_cells_lie_on_a_grid_over_the_area(city):
    with rasterio.open(city / "mosaic.tif") as mosaic:
        grid = plan(mosaic, Ground(BBOX), 28.0, PIXEL_M, "made")
    assert grid.epsg == EPSG
    assert grid.step_m == 4 * PIXEL_M == 28.125
    centres = grid.centres()
    assert np.allclose((centres - grid.step_m / 2) % grid.step_m, 0)
    inside = np.abs(centres - CENTRE).max(axis=1)
    assert SIDE_M / 2 - 30 < inside.max() < SIDE_M / 2 + 15
    row, column = np.divmod(grid.cells, grid.columns)
    np.testing.assert_allclose(
        np.stack(rasterio.transform.xy(grid.transform, row, column), axis=1), centres
    )


def offsets(grid):
    """Return east and north of the city's centre for every cell, with or without imagery."""
    row, column = np.mgrid[: grid.rows, : grid.columns].reshape(2, -1)
    east = grid.west + (column + 0.5) * grid.step_m
    return np.stack([east, grid.north - (row + 0.5) * grid.step_m], axis=1) - CENTRE


def test_exactly_the_cells_with_imagery_are_indexed(city):
    with rasterio.open(city / "mosaic.tif") as mosaic:
        grid = plan(mosaic, Ground(BBOX), 28.0, PIXEL_M, "made")
    at = offsets(grid)
    # The blank corner is a fifth of each side: it starts 0.3 sides from the centre.
    has = (np.abs(at).max(axis=1) < SIDE_M / 2) & (at.min(axis=1) < 0.3 * SIDE_M)
    assert 0 < (~has).sum() < 0.2 * len(has)
    assert grid.cells.tolist() == np.flatnonzero(has).tolist()


def test_exactly_the_cells_inside_a_shape_are_indexed(city):
    west, south, east, north = BBOX
    corners = [[west, south], [east, south + 0.2 * (north - south)], [west, north]]
    with rasterio.open(city / "mosaic.tif") as mosaic:
        every = plan(mosaic, Ground(BBOX), 28.0, PIXEL_M, "made")
        grid = plan(mosaic, shapes.of(corners, 0), 28.0, PIXEL_M, "made")
        with pytest.raises(UserError, match=r"no imagery inside `aois\.made\.area`"):
            plan(mosaic, shapes.of([[9, 9], [9.1, 9], [9, 9.1]], 0), 28.0, PIXEL_M, "made")
    lon, lat = Transformer.from_crs(EPSG, 4326, always_xy=True).transform(*every.centres().T)
    inside = Outline([*corners, corners[0]]).contains_points(np.stack([lon, lat], axis=1))
    found = {tuple(np.round(one, 3)) for one in grid.centres()}
    assert found == {tuple(np.round(one, 3)) for one in every.centres()[inside]}
    assert 0.2 * len(every.cells) < len(found) < 0.8 * len(every.cells)


def test_pictures_equal_packed_chips(city):
    with rasterio.open(city / "mosaic.tif") as mosaic:
        grid = plan(mosaic, Ground(BBOX), 28.0, PIXEL_M, "made")
        chips = np.zeros((len(grid.cells), CHIP_PX, CHIP_PX, 3), np.uint8)
        for at, some in pictures(mosaic, grid, CHIP_PX, PIXEL_M):
            chips[at] = some
        left, top = mosaic.bounds.left, mosaic.bounds.top
        on_corner = np.abs((grid.centres() - [left, top]) / GSD_M % 1) < 1e-6
        full = np.abs(grid.centres() - CENTRE).max(axis=1) < (SIDE_M - CHIP_M) / 2
        full &= (grid.centres() - CENTRE + CHIP_M / 2 < 0.3 * SIDE_M).any(axis=1)
        cells = np.flatnonzero(full & on_corner.all(axis=1))
        assert len(cells) > 50
        for cell in cells[::5]:
            error = np.abs(chips[cell] - window(mosaic, *grid.centres()[cell]))
            assert error.max() <= 1
    # Outside the imagery a chip is black, as in the pipeline.
    west = np.argmin(grid.centres()[:, 0])
    assert chips[west][:, 0].max() == 0
    assert chips[west][:, -1].max() > 0


def test_codes_equal_those_of_the_pictures(trained, city):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    index = Index.open(city / "cells.safetensors", model)
    with rasterio.open(city / "mosaic.tif") as mosaic, torch.inference_mode():
        for at, chips in pictures(mosaic, index.grid, CHIP_PX, PIXEL_M):
            expected = model.network.encode_chips(torch.from_numpy(chips))
            found = index.columns(at)[0].transpose(1, 2)
            cosine = F.cosine_similarity(found.flatten(1), expected.columns.flatten(1))
            assert cosine.min() > 0.9999
            own = np.diag(index.cosines(expected.vector)[:, at])
            assert own.min() > 0.999
            assert own.max() < 1 + 1e-5


def test_progress_counts_the_cells(trained, city, tmp_path, capsys):
    """The total is known, so the time left is shown: a real city takes hours."""
    grid = index.run(SPEC, trained / "model.pt", city / "mosaic.tif", tmp_path / "c", threads=1)
    count = len(grid.cells)
    assert f"| {count}/{count} [" in capsys.readouterr().err


def test_the_same_inputs_give_the_same_bytes(trained, city, tmp_path):
    out = tmp_path / "cells.safetensors"
    index.run(SPEC, trained / "model.pt", city / "mosaic.tif", out, threads=1)
    assert out.read_bytes() == (city / "cells.safetensors").read_bytes()


def test_an_area_outside_its_imagery_is_reported(trained, city, tmp_path):
    spec = json.dumps(SPEC | {"bbox_deg": [3.5, 45.0, 3.6, 45.1]})
    argv = ["--spec", spec, "--model", str(trained / "model.pt")]
    argv += ["--mosaic", str(city / "mosaic.tif")]
    argv += ["--cells", str(tmp_path / "c.safetensors")]
    with pytest.raises(UserError, match=r"Area 'made': its mosaic has no imagery"):
        index.main(argv)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "most"), [(1, 4), (4, 4), (5, 4), (963, 512), (10_000, 512)])
def test_the_sample_for_the_packing_is_bounded_and_spread_evenly(count, most):
    some = index._spread(np.arange(count), most)
    assert len(some) == min(count, most)
    ends = np.concatenate([[-1], some, [count]])
    assert np.diff(ends).min() >= 1
    assert np.diff(some, append=some[-1] + 1).max() <= -(-count // len(some))
    assert abs(some[0] - (count - 1 - some[-1])) <= 1


def test_each_cell_of_a_small_area_is_encoded_once(trained, city, tmp_path, monkeypatch):
    """The packing is chosen from codes of some cells, which are not computed a second time."""
    network = Model.load(trained / "model.pt", torch.device("cpu")).network
    shape, fixed = network.shape, 12 + network.vector_dim
    # Enough for half of the values.
    monkeypatch.setattr(compact, "CELL_BYTES", fixed + shape.embed_dim * shape.headings // 4)
    encode, encoded = Network.encode_chips, []
    monkeypatch.setattr(
        Network,
        "encode_chips",
        lambda self, chips: encoded.append(len(chips)) or encode(self, chips),
    )
    model, mosaic = trained / "model.pt", city / "mosaic.tif"
    grid = index.run(SPEC, model, mosaic, tmp_path / "held", threads=1)
    assert sum(encoded) == len(grid.cells)
    encoded.clear()
    monkeypatch.setattr(index, "HELD", 0)
    index.run(SPEC, model, mosaic, tmp_path / "anew", threads=1)
    sample = sum(encoded) - len(grid.cells)
    assert 0 < sample <= min(len(grid.cells), index.SAMPLE_CELLS)
    held, anew = (Index.open(tmp_path / name).packing.basis for name in ("held", "anew"))
    assert len(held) == shape.embed_dim // 2
    np.testing.assert_allclose(held.T @ held, anew.T @ anew, atol=1e-3)
