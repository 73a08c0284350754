"""``from witw import Pairs`` returns training's pictures, from the pack or from files."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from made_pairs import write_pack
from PIL import Image
from torch.utils.data import DataLoader

from witw import Pairs, tables
from witw.cvig import batches
from witw.dataset.packed import Packed
from witw.errors import UserError


@pytest.fixture
def pack(tmp_path):
    write_pack(tmp_path / "pack" / "train", 20, 1, aois=("a", "b"))
    return tmp_path / "pack"


def test_an_item_equals_trainings_input(pack):
    data, pairs = Packed.open(pack / "train"), Pairs(pack)
    batch = batches.read(data, np.arange(20))
    assert len(pairs) == 20
    for row in (0, 7, -1):
        item, at = pairs[row], row % 20
        assert torch.equal(item["photo"].permute(1, 2, 0), batch.photos[at])
        assert torch.equal(item["chip"].permute(1, 2, 0), batch.chips[at])
        assert torch.equal(item["photo_size"], batch.sizes[at])
        assert item["geotag"].tolist() == [*data.table.loc[at, ["lat", "lon"]]]
        assert (item["id"], item["aoi"]) == tuple(data.table.loc[at, ["id", "aoi"]])
        assert item["heading"].isnan()
    with pytest.raises(IndexError):
        pairs[20]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_loader_with_workers_gives_every_pair_once(pack, start):
    loader = DataLoader(
        Pairs(pack), batch_size=8, num_workers=2, shuffle=True, multiprocessing_context=start
    )
    got = list(loader)
    assert [tuple(batch["photo"].shape) for batch in got] == [(8, 3, 24, 24)] * 2 + [(4, 3, 24, 24)]
    assert sorted(i for batch in got for i in batch["id"]) == sorted(
        Packed.open(pack / "train").table["id"]
    )


def test_size_and_transforms_are_applied(pack):
    def half(item):
        return item | {"photo": item["photo"].float() / 2}

    plain, changed = Pairs(pack)[3], Pairs(pack, size=12, transforms=half)[3]
    assert changed["photo"].shape == changed["chip"].shape == (3, 12, 12)
    assert changed["photo_size"].tolist() == [12, 12]
    mean = plain["chip"].float().mean()
    assert abs(changed["chip"].float().mean() - mean) < 2
    assert changed["photo"].max() < 128


def test_the_data_sets_own_files_give_headings_too(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8825)[0x11] = 90.0
    rows = []
    for name, split in (("1", "train"), ("2", "train"), ("3", "val")):
        Image.new("RGB", (80, 40), (200, 0, 0)).save(tmp_path / f"{name}.jpg", exif=exif)
        Image.new("RGB", (75, 75), (0, 0, 200)).save(tmp_path / f"{name}c.jpg")
        rows.append(
            dict.fromkeys(tables.PAIRS)
            | {"id": name, "aoi": "a", "split": split, "status": "paired", "lat": 1.0, "lon": 3.0}
            | {"photo_path": f"{name}.jpg", "chip_path": f"{name}c.jpg", "epsg": 32631}
            | {"photo_width": 80, "photo_height": 40}
        )
    rows[1] |= {"status": "indoor"}
    tables.write_geo(tmp_path / "pairs.parquet", "pairs", rows)
    pairs = Pairs(tmp_path, size=32)
    item = pairs[0]
    assert len(pairs) == 1
    assert item["photo_size"].tolist() == [32, 16]
    assert item["photo"][:, :7].max() == 0
    assert abs(int(item["photo"][0, 16, 16]) - 200) < 4
    assert abs(int(item["chip"][2, 5, 5]) - 200) < 4
    assert item["heading"] == pytest.approx(90.0)  # on the zone's meridian both norths are one
    (tmp_path / "1c.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"1c\.jpg cannot be read"):
        pairs[0]
    with pytest.raises(UserError, match="no pair of the split 'test'"):
        Pairs(tmp_path, "test")


def test_a_wrong_folder_is_reported(tmp_path):
    with pytest.raises(UserError, match="name results/pack or results/dataset"):
        Pairs(tmp_path)


def test_importing_the_package_loads_no_torch():
    code = "import sys, witw; print('torch' in sys.modules, hasattr(witw, 'Pear'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
