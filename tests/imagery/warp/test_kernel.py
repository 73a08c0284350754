import numpy as np
import pytest

from witw.imagery.warp import kernel, resample

STEP, SIZE = 64, 128


def resampled(patch, x_nodes, y_nodes, name, scale):
    """Return RGB and 0 or 255 of a tile of SIZE x SIZE, (SIZE, SIZE, 4)."""
    taps = kernel.taps(name, scale)
    out, stage = np.zeros((SIZE, SIZE), np.uint32), np.empty(4 * 700 * 700, np.float32)
    resample.resample(
        patch, x_nodes, y_nodes, STEP, taps.x, taps.y, taps.before, taps.span, out, (SIZE, SIZE),
        stage,
    )  # fmt: skip
    return out.view(np.uint8).reshape(SIZE, SIZE, 4)


def expected(patch, x, y, name, scale):
    """Compute one target pixel plainly: weighted mean of pixels with data; None if blank."""
    function, radius = kernel.KERNELS[name]
    if not patch[int(y), int(x), 3]:
        return None
    rows, columns = np.arange(patch.shape[0]), np.arange(patch.shape[1])
    near_y = np.abs(rows + 0.5 - y) * scale[1] < radius
    near_x = np.abs(columns + 0.5 - x) * scale[0] < radius
    down = function((rows[near_y] + 0.5 - y) * scale[1])
    across = function((columns[near_x] + 0.5 - x) * scale[0])
    cut = patch[np.ix_(near_y, near_x)].astype(float)
    weight = np.outer(down, across) * cut[..., 3]
    full = np.outer(down, across).sum()
    if weight.sum() < resample.THIN * full:
        weight = np.outer(down.clip(0), across.clip(0)) * cut[..., 3]
    return (weight[..., None] * cut[..., :3]).sum((0, 1)) / weight.sum()


@pytest.mark.parametrize("seed", range(12))
def test_any_tile_is_the_weighted_mean_of_pixels_with_data(seed):
    rng = np.random.default_rng(seed)
    name = ["lanczos", "cubic", "bilinear"][seed % 3]
    scale = tuple(rng.choice([1.0, 0.81, 0.56, 0.3], 2))
    turn = rng.uniform(-0.4, 0.4)
    patch = rng.integers(0, 256, (640, 640, 4)).astype(np.uint8)
    patch[..., 3] = 1
    for _ in range(rng.integers(0, 5)):
        (a, b), (h, w) = rng.integers(0, 600, 2), rng.integers(1, 200, 2)
        patch[a : a + h, b : b + w] = 0
    if seed % 4 == 0:
        patch[rng.random((640, 640)) < 0.3] = 0
    v, u = np.mgrid[0 : SIZE + 1 : STEP, 0 : SIZE + 1 : STEP].astype(float)
    x = 100.3 + u / scale[0] + (turn * v if turn > 0 else 0.0) * 0.5
    y = 90.7 + v / scale[1] + abs(turn) * u * 0.5
    found = resampled(patch, x, y, name, scale)
    for r, c in rng.integers(0, SIZE, (300, 2)):
        fr, fc = (r + 0.5) / STEP, (c + 0.5) / STEP
        i, j = int(fr), int(fc)
        at = [
            (p[i, j] * (1 - fc + j) + p[i, j + 1] * (fc - j)) * (1 - fr + i)
            + (p[i + 1, j] * (1 - fc + j) + p[i + 1, j + 1] * (fc - j)) * (fr - i)
            for p in (x, y)
        ]
        want = expected(patch, *at, name, scale)
        if want is None:
            assert not found[r, c].any()
        else:
            assert found[r, c, 3] == 255
            assert np.abs(found[r, c, :3] - want.clip(0, 255)).max() <= 0.5 + 0.01


@pytest.mark.parametrize("name", kernel.KERNELS)
@pytest.mark.parametrize("scale", [1.0, 0.81, 0.5, 0.11])
def test_weights_sum_to_one_and_mirror(name, scale):
    table = kernel.weights(name, scale)
    assert np.allclose(table.sum(axis=1), 1)
    assert np.allclose(table, table[::-1, ::-1])
    centre = table.shape[1] // 2 - 1
    assert table[0].argmax() == centre


def test_a_flat_scene_stays_flat_around_blank_pixels():
    rng = np.random.default_rng(1)
    patch = np.zeros((300, 300, 4), np.uint8)
    patch[rng.random((300, 300)) < 0.4] = (7, 90, 250, 1)
    v, u = np.mgrid[0 : SIZE + 1 : STEP, 0 : SIZE + 1 : STEP].astype(float)
    found = resampled(patch, 20.2 + u * 1.2, 21.9 + v, "lanczos", (0.83, 1.0))
    there = found[..., 3] > 0
    assert 0 < there.mean() < 1
    assert (found[there] == (7, 90, 250, 255)).all() and not found[~there].any()
