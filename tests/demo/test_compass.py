"""Some synthetic photos record their heading, in their EXIF data only."""

import numpy as np
import pandas as pd

from witw.cvig.scoring.heading import error_deg, grid_headings
from witw.demo.build import build_city
from witw.demo.city.cities import choose


def test_the_recorded_heading_is_nearly_the_true_one(tmp_path):
    for name in ("strips", "pictures"):
        (tmp_path / name).mkdir()
    city = choose(1)[0]
    catalog, truth = build_city(tmp_path, city, 0, 60, 0)
    truth = truth.set_index("id")
    ids = [photo.id for photo in catalog]
    paths = [str(tmp_path / "pictures" / f"{i}.jpg") for i in ids]
    lon, lat = (np.array([getattr(p, n) for p in catalog]) for n in ("lon", "lat"))
    found = grid_headings(paths, lon, lat, np.full(len(ids), city.epsg))
    known = np.isfinite(found)
    assert 0.4 < known.mean() < 0.8
    error = error_deg(found[known], truth.loc[ids, "heading_deg"].to_numpy()[known])
    assert np.abs(error).max() < 15
    assert 1 < error.std() < 6
    columns = pd.DataFrame([vars(photo) for photo in catalog]).columns
    assert not [c for c in columns if "heading" in c or "compass" in c]
