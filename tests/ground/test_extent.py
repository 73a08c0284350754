"""An area that names no box lies where its imagery does, also that of one band."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds

from witw.config import load


@pytest.mark.parametrize("bands", [[1], [1, 1, 1]])
def test_a_strip_of_one_band_tells_where_its_area_lies(tmp_path, bands):
    path = tmp_path / "pan.tif"
    box = (3.0, 36.0, 3.1, 36.05)
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=4, count=1, dtype="uint16", crs="EPSG:4326",
        transform=from_bounds(*box, 8, 4),
    ) as file:  # fmt: skip
        file.write(np.ones((1, 4, 8), "uint16"))
    config = load({"aois": {"town": {"strips": [{"path": str(path), "bands": bands}]}}})
    assert config.aois["town"].bbox_deg == pytest.approx(box, abs=1e-6)
