"""`witw locate` as typed by a user: with own imagery, with a run folder, and with mistakes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import requests
import torch
import yaml
from made_city import BBOX, CENTRE, EPSG, shoot
from PIL import Image
from pyproj import Transformer
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import calculate_default_transform, reproject

from witw.__main__ import run
from witw.cvig.network.model import Model
from witw.errors import UserError
from witw.locating import imagery as own

OFFSET = (60, -200)
TO_UTM = Transformer.from_crs(4326, EPSG, always_xy=True)


@pytest.fixture(scope="module")
def home(trained, city, tmp_path_factory):
    """Make a folder with a photo, a model, and imagery in UTM and in degrees with 16 bits."""
    folder = tmp_path_factory.mktemp("home")
    Model.load(trained / "model.pt", torch.device("cpu")).save(folder / "witw.safetensors")
    shoot(folder / "photo.jpg", CENTRE + OFFSET, 200)
    shutil.copy(city / "mosaic.tif", folder / "city.tif")
    with rasterio.open(folder / "city.tif") as source:
        there = calculate_default_transform(
            source.crs, "EPSG:4326", source.width, source.height, *source.bounds
        )
        data = np.zeros((4, there[2], there[1]), np.uint16)
        for number in range(3):
            reproject(
                rasterio.band(source, number + 1), data[number + 1], dst_transform=there[0],
                dst_crs="EPSG:4326", resampling=Resampling.bilinear,
            )  # fmt: skip
        data[1:] *= 40
        profile = {"width": there[1], "height": there[2], "count": 4, "dtype": "uint16"}
        with rasterio.open(
            folder / "degrees.tif", "w", driver="GTiff", crs="EPSG:4326", transform=there[0],
            nodata=0, photometric="minisblack", **profile,
        ) as out:  # fmt: skip
            out.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * 3
            out.write(data)
    return folder


def best_m(text):
    """Return the distance of an answer's first place from the true position [m]."""
    lat, lon = map(float, re.search(r"^\s+1\s+(-?[\d.]+),\s+(-?[\d.]+)", text, re.M).groups())
    return np.hypot(*(np.array(TO_UTM.transform(lon, lat)) - CENTRE - OFFSET))


def test_imagery_and_a_model_suffice(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    command = ["locate", "photo.jpg", "--imagery", "city.tif", "--model", "witw.safetensors"]
    run(command)
    assert best_m(capsys.readouterr().out) < 60
    made = {p: p.stat().st_mtime_ns for p in (home / "city.witw").rglob("*") if p.is_file()}
    assert {p.name for p in made} >= {"mosaic.vrt", "imagery.utm.tif", "cells.safetensors"}
    run(command)
    assert best_m(capsys.readouterr().out) < 60
    again = {p: p.stat().st_mtime_ns for p in (home / "city.witw").rglob("*") if p.is_file()}
    assert again == made


def test_finer_moves_the_places_from_the_centres_of_their_cells(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    command = ["locate", "photo.jpg", "--imagery", "city.tif", "--model", "witw.safetensors"]
    told = []
    for more in ([], ["--finer"]):
        run([*command, *more])
        told.append(capsys.readouterr().out)
    plain, fine = (re.findall(r"^\s+\d\s+(-?[\d.]+, -?[\d.]+).*?(\S+ %)$", t, re.M) for t in told)
    assert len(plain) == len(fine) == 5
    assert [percent for _, percent in plain] == [percent for _, percent in fine]
    assert [at for at, _ in plain] != [at for at, _ in fine]
    assert best_m(told[1]) < best_m(told[0]) + 10


def test_imagery_in_degrees_with_16_bits_and_other_bands_is_searched(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    command = ["locate", "photo.jpg", "--imagery", "degrees.tif", "--model", "witw.safetensors"]
    with pytest.raises(UserError, match=r"degrees\.tif has 4 bands and does not tell .* --bands"):
        run(command)
    run([*command, "--bands", "2,3,4"])
    assert best_m(capsys.readouterr().out) < 90


def test_changed_imagery_is_prepared_again(home, tmp_path, monkeypatch):
    shutil.copy(home / "city.tif", tmp_path / "city.tif")
    first = own.prepare(tmp_path / "city.tif")
    model = home / "witw.safetensors"
    index = own.indexed(first, model, own.folder_of(tmp_path / "city.tif"))
    assert index == own.indexed(first, model, own.folder_of(tmp_path / "city.tif"))
    os.utime(tmp_path / "city.tif", ns=(1, 1))
    own.prepare(tmp_path / "city.tif")
    assert not index.exists()
    # No partial file is left, and damaged files are rebuilt.
    assert not list(tmp_path.glob("*.part"))
    (tmp_path / "city.witw/imagery.json").write_text("{")
    own.prepare(tmp_path / "city.tif")
    assert json.loads((tmp_path / "city.witw/imagery.json").read_text())["mtime_ns"] == 1


def test_the_folder_can_be_moved(home, tmp_path):
    shutil.copy(home / "city.tif", tmp_path / "city.tif")
    (tmp_path / "cache").mkdir()
    found = own.prepare(tmp_path / "city.tif", cache=tmp_path / "cache")
    assert found.mosaic.parent == tmp_path / "cache/city.witw"
    shutil.move(tmp_path / "cache", tmp_path / "moved")
    with rasterio.open(tmp_path / "moved/city.witw/mosaic.vrt") as mosaic:
        assert mosaic.read(1).max() > 0


def test_an_index_is_checked_against_its_network(home, tmp_path):
    model = Model.load(home / "witw.safetensors", torch.device("cpu"))
    model.facts["calibration"] = {"temperature": 0.1, "sigma_m": 9.0}
    model.save(tmp_path / "told.safetensors")
    key = own.index_key(home / "witw.safetensors", 28.0)
    assert own.index_key(tmp_path / "told.safetensors", 28.0) == key
    assert own.index_key(home / "witw.safetensors", 14.0) != key
    with torch.no_grad():
        next(model.network.parameters()).add_(1e-3)
    model.save(tmp_path / "other.safetensors")
    assert own.index_key(tmp_path / "other.safetensors", 28.0) != key


def run_folder(home, trained, city, folder):
    """Make a finished run of one area, as far as locating needs it."""
    for name in ("results/made", "results/model", "results/index"):
        (folder / name).mkdir(parents=True)
    shutil.copy(city / "mosaic.tif", folder / "results/made/mosaic.vrt")
    for name in ("trained", "witw"):
        shutil.copy(home / "witw.safetensors", folder / f"results/model/{name}.safetensors")
    shutil.copy(city / "cells.safetensors", folder / "results/index/made.safetensors")
    config = {
        "defaults": {"scenes": {"checkpoint": "places.pth"}},
        "aois": {"made": {"bbox_deg": BBOX, "strips": ["made.tif"], "split": "test"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "places.pth").touch()
    return folder


def test_a_run_folder_is_searched(home, trained, city, tmp_path, monkeypatch, capsys):
    folder = run_folder(home, trained, city, tmp_path / "run")
    (folder / "config.yaml").write_text(
        (folder / "config.yaml").read_text().replace("places.pth", "http://127.0.0.1:9/places.pth")
    )
    monkeypatch.chdir(home)
    run(["locate", "photo.jpg", "--area", "made", "--directory", str(folder)])
    first = capsys.readouterr().out
    assert best_m(first) < 60
    assert first.startswith("photo.jpg") or str(home) in first
    # Without an index, one is built outside the workflow's results.
    (folder / "results/index/made.safetensors").unlink()
    monkeypatch.chdir(folder)
    run(["locate", str(home / "photo.jpg")])
    assert best_m(capsys.readouterr().out) < 60
    assert not (folder / "results/index/made.safetensors").exists()
    assert list((folder / "results/locate/made").glob("index-*/cells.safetensors"))
    with pytest.raises(UserError, match=r"no area 'mad'; did you mean 'made'\?"):
        run(["locate", str(home / "photo.jpg"), "--area", "mad"])
    (folder / "results/model/witw.safetensors").unlink()
    with pytest.raises(UserError, match=r"snakemake --cores 4 results/model/witw\.safetensors"):
        run(["locate", str(home / "photo.jpg")])
    (folder / "results/made/mosaic.vrt").unlink()
    with pytest.raises(UserError, match=r"no imagery yet; .*snakemake --cores 4 results/made/mos"):
        run(["locate", str(home / "photo.jpg")])


def test_a_folder_may_contain_a_file_that_is_not_a_photo(home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(home)
    (tmp_path / "many").mkdir()
    for n in range(3):
        shutil.copy(home / "photo.jpg", tmp_path / f"many/{n}.JPG")
    (tmp_path / "many/bad.png").write_bytes(b"no")
    (tmp_path / "many/notes.txt").write_text("no photo")
    command = ["--imagery", "city.tif", "--model", "witw.safetensors"]
    run(["locate", str(tmp_path / "many"), *command])
    told = capsys.readouterr()
    assert len(re.findall(r"^\d\.JPG, in City: [\d,]+ cells of 28 m$", told.out, re.M)) == 3
    for n in range(3):
        assert (home / f"located/{n}/regions.geojson").is_file()
    assert told.out.rstrip().endswith("Open located/answer.html")
    assert (home / "located/answer.html").read_text().count("<section") == 3
    assert "notes.txt" not in told.out + told.err
    assert re.search(r"^witw: .*bad\.png is not a readable photo", told.err, re.M)
    run(["locate", str(tmp_path / "many"), "--together", *command])
    assert len(re.findall(r", in City: ", capsys.readouterr().out)) == 1
    assert (home / "located/0.JPG and 2 more/probability.tif").is_file()


def test_each_mistake_gives_one_sentence(home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)
    (tmp_path / "bad.tif").write_text("no raster")
    Image.new("RGB", (50, 50)).save(tmp_path / "plain.tif")
    (tmp_path / "bad.safetensors").write_bytes(b"no model, but long enough")
    (tmp_path / "empty").mkdir()
    with rasterio.open(home / "city.tif") as source:
        profile = source.profile | {"nodata": 0}
        with rasterio.open(tmp_path / "blank.tif", "w", **profile) as out:
            out.write(np.zeros((3, source.height, source.width), np.uint8))
        two = source.profile | {"count": 2, "photometric": "minisblack"}
        with rasterio.open(tmp_path / "two.tif", "w", **two) as out:
            out.colorinterp = [ColorInterp.gray, ColorInterp.undefined]
            out.write(source.read([1, 2]))
    right = {"--imagery": "city.tif", "--model": "witw.safetensors"}
    on_linux = sys.platform == "linux"  # where not even root writes to /proc
    for photo, changes, said in (
        (tmp_path / "bad.tif", {}, "bad.tif is not a readable photo: it is not in a known format"),
        (tmp_path / "none.jpg", {}, "none.jpg does not exist; correct its path"),
        (tmp_path / "empty", {}, "empty contains no photo; name another folder"),
        ("photo.jpg", {"--imagery": tmp_path / "bad.tif"}, "bad.tif cannot be read: "),
        ("photo.jpg", {"--imagery": tmp_path / "none.tif"}, "none.tif does not exist"),
        ("photo.jpg", {"--imagery": tmp_path / "empty"}, "empty is a folder; name a raster file"),
        ("photo.jpg", {"--imagery": tmp_path / "two.tif"}, "as in --bands 1,1,1 for grey"),
        ("photo.jpg", {"--imagery": tmp_path / "plain.tif"}, "plain.tif is not georeferenced"),
        ("photo.jpg", {"--imagery": tmp_path / "blank.tif"}, "does not have a valid pixel"),
        ("photo.jpg", {"--model": tmp_path / "bad.safetensors"}, "is not a model of witw"),
        ("photo.jpg", {"--around": "10,10,1"}, "No cell of city lies in the part to search"),
        ("photo.jpg", {"--fov": "200"}, "--fov 200 must be between 1 and 150 degrees"),
        ("photo.jpg", {"--bands": "1,2"}, "must be three numbers"),
        ("photo.jpg", {"--bands": "9,1,2"}, "but --bands asks for [9, 1, 2]; correct it, as in"),
        (
            "photo.jpg",
            {"--imagery": tmp_path / "two.tif", "--bands": "3,2,1"},
            "to use it as grey leave --bands out, else give a file with red",
        ),
        ("photo.jpg", {"--out": "photo.jpg"}, "--out photo.jpg: photo.jpg is a file; name a fold"),
        ("photo.jpg", {"--out": "photo.jpg/a/b"}, "photo.jpg is a file; name a folder"),
        *([("photo.jpg", {"--out": "/proc/a"}, "/proc/a cannot be written")] * on_linux),
        ("photo.jpg", {"--scenes": "no.pth"}, "Places365 checkpoint {home}/no.pth does not exist"),
        ("photo.jpg", {"--area": "made"}, "not both"),
    ):
        options = [str(word) for pair in (right | changes).items() for word in pair]
        with pytest.raises(UserError) as caught:
            run(["locate", str(photo), *options])
        text = str(caught.value)
        assert said.format(home=home) in text
        assert "\n" not in text
        assert "`bands" not in text and "`scenes" not in text and "the key" not in text
        assert "aois." not in text
    assert not list(home.glob(".*.lock")) + list(tmp_path.glob(".*.lock"))
    with pytest.raises(UserError, match="is not a run folder"):
        run(["locate", "photo.jpg"])
    with pytest.raises(UserError, match="--imagery needs a network"):
        run(["locate", "photo.jpg", "--imagery", "city.tif"])


OWN = ["--imagery", "../city.tif", "--model", "../witw.safetensors"]
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing it fails
from witw.__main__ import run
from witw.errors import UserError
try:
    run(sys.argv[1:])
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["photo.jpg", "--area", "rowen"], "The config has no area 'rowen'; did you mean 'rowan'?"),
        (["photo.jpg", "--area", "rowan"], "Area 'rowan' has no imagery yet; make it with"),
        (["none.jpg", "--area", "rowan"], "Photo none.jpg does not exist; correct its path."),
        (["photo.jpg", "--imagery", "none.tif", "--model", "../witw.safetensors"], "none.tif does"),
        (["photo.jpg", "--imagery", "city.tif", "--model", "none.st"], "none.st does not exist"),
        (["bad.jpg", *OWN], "bad.jpg is not a readable photo"),
        (["bad.jpg", "bad.jpg", *OWN], "None of the files is a readable photo"),
        (["photo.jpg", *OWN, "--bands", "1,2"], "--bands '1,2' must be three numbers"),
        (["photo.jpg", *OWN, "--nodata", "white"], "--nodata 'white' must be a number"),
    ],
)
def test_a_mistake_is_reported_without_waiting_for_torch(home, options, said):
    folder = home / "run"
    folder.mkdir(exist_ok=True)
    area = {"bbox_deg": list(BBOX), "strips": ["made.tif"], "split": "test"}
    (folder / "config.yaml").write_text(yaml.safe_dump({"aois": {"rowan": area}}))
    shutil.copy(home / "photo.jpg", folder)
    (folder / "bad.jpg").write_text("no photo")
    command = [sys.executable, "-c", WITHOUT_TORCH, "locate", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert said in done.stdout


def test_a_lock_counts_only_while_its_file_exists(tmp_path):
    """Three processes take a lock that each removes at its end; never do two hold it."""
    code = """
import sys, time
from pathlib import Path
from witw.locating.imagery import _held
held = Path(sys.argv[1])
for _ in range(20):
    with _held(held):
        (held.parent / "inside").mkdir()
        time.sleep(0.002)
        (held.parent / "inside").rmdir()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "city.witw")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        assert process.wait(60) == 0, process.stderr.read()
    assert not list(tmp_path.iterdir())


def test_photos_dropped_on_the_page_are_answered(home, trained, city, tmp_path):
    """The whole way: an area of a run folder, its page's server, a photo, Ctrl-C."""
    folder = run_folder(home, trained, city, tmp_path / "run")
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("places.pth", "http://127.0.0.1:9/p.pth"))
    command = [sys.executable, "-m", "witw", "locate", "--serve", "--area", "made"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "text": True, "env": environment, "cwd": tmp_path}
    with subprocess.Popen([*command, "--directory", folder], **pipes) as server:
        address = server.stdout.readline().removeprefix("Open ").strip()
        origin = address[: address.index("/", 8)]
        page = requests.get(address, timeout=20)
        assert '<option value="made">' in page.text
        body = {"photo": ("photo.jpg", (home / "photo.jpg").read_bytes())}
        asked = {"url": f"{address}ask?area=made", "files": body, "timeout": 120}
        told = requests.post(**asked, headers={"Origin": origin}).json()
        lat, lon = map(float, told["places"][0]["coordinates"].split(","))
        off = np.array(TO_UTM.transform(lon, lat)) - CENTRE - OFFSET
        assert np.hypot(*off) < 60
        assert requests.get(address + told["page"], timeout=20).text.startswith("<!doctype html>")
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=60)[0]
    assert server.returncode == 0
    # In the user's working folder, not in the run folder.
    kept = tmp_path / "located/photo"
    assert f"1 answered; their files are in {kept.parent}" in rest
    assert {p.name for p in kept.iterdir()} >= {"answer.html", "probability.tif"}


def test_options_of_the_page_are_checked(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options, said in (
        (["--serve", "photo.jpg"], "--serve takes no photos"),
        ([], "name photos, or use --serve"),
        (["photo.jpg", "--port", "8000"], "--port needs --serve"),
        (["--serve", "--port", "99999"], "must be between 0 and 65535"),
        (["--serve"], "is not a run folder"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            run(["locate", *options])


THREE_LINES = """
from witw import Locator
city = Locator.of_imagery("city.tif", "witw.safetensors")
print(city.locate(["photo.jpg"])[0].places()[0].probability)
"""


def test_three_lines_of_python_locate_a_photo(home):
    done = subprocess.run(
        [sys.executable, "-c", THREE_LINES], cwd=home, capture_output=True, text=True, check=True
    )
    assert 0 < float(done.stdout) < 1


def test_importing_witw_stays_light():
    code = (
        "import sys, witw; print([m for m in ('torch', 'rasterio', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_given_checkpoint_adds_scenes(home, tmp_path, capsys):
    from witw.demo.places365 import make_checkpoint
    from witw.locating.front import Locator

    make_checkpoint(Path(tmp_path / "resnet18_made.pth.tar"), 0)
    city = Locator.of_imagery(
        home / "city.tif", home / "witw.safetensors", scenes=tmp_path / "resnet18_made.pth.tar"
    )
    (found,) = city.locate([home / "photo.jpg"])
    (scene,) = found.scenes
    assert 0 <= scene.outdoor_vote <= 1
    assert scene.name
