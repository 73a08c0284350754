"""Synthetic splits, a city, and a network trained on the splits."""

import numpy as np
import pytest


@pytest.fixture
def packs(tmp_path, monkeypatch):
    """Make folders ``train`` and ``val`` in a run folder, which becomes the working folder."""
    from made_pairs import write_pack  # torch is two seconds, and a third of the modules need none

    monkeypatch.chdir(tmp_path)
    write_pack(tmp_path / "train", 64, 1, aois=("a", "b"))
    write_pack(tmp_path / "val", 24, 2, aois=("c",))
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a model trained on the synthetic pairs; its ``test`` split of two areas is unseen."""
    from made_pairs import SPEC, write_pack  # imports torch

    from witw.cvig import train  # imports torch

    folder = tmp_path_factory.mktemp("trained")
    write_pack(folder / "train", 480, 1, aois=tuple("abcdef"))
    write_pack(folder / "val", 60, 2, aois=("c",))
    headings = write_pack(folder / "test", 90, 3, aois=("y", "z", "z"))
    np.save(folder / "headings.npy", headings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train.run(SPEC, *(folder / n for n in ("train", "val", "model.pt", "metrics.jsonl")))
    return folder


@pytest.fixture(scope="session")
def city(trained, tmp_path_factory):
    """Return an unseen city: ``mosaic.tif``, indexed as ``cells.safetensors``."""
    from made_city import BBOX, write_mosaic  # imports torch

    from witw.cvig import index  # imports torch

    folder = tmp_path_factory.mktemp("city")
    write_mosaic(folder / "mosaic.tif")
    spec = {"aoi": "made", "bbox_deg": BBOX, "index": {"step_m": 28.0}}
    out = folder / "cells.safetensors"
    index.run(spec, trained / "model.pt", folder / "mosaic.tif", out, threads=1)
    return folder
