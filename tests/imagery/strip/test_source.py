import json
import os
import re
import subprocess
import sys
from pathlib import Path

import certifi
import numpy as np
import opened
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal
from servers import certificate, ranges, whole

from witw.errors import UserError
from witw.imagery.strip import look, remote, source
from witw.imagery.strip.footprint import grid
from witw.paths import strip_files

BOX = [2.9, 36.0, 3.1, 36.2]
PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
DATA = np.arange(300, dtype="u2").reshape(3, 10, 10)


def strip(path, bands=(1, 2, 3), nodata="auto"):
    return {"name": "a", "path": str(path), "bands": list(bands), "nodata": nodata}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("imagery/a.tif", "imagery/a.tif"),
        ("s3://spacenet-dataset/AOIs/a.tif", "/vsis3/spacenet-dataset/AOIs/a.tif"),
        ("https://host/a.tif", "/vsicurl/https://host/a.tif"),
        ("/vsizip/a.zip/a.tif", "/vsizip/a.zip/a.tif"),
    ],
)
def test_names(path, name):
    assert remote.gdal_name(path) == name


def test_buckets_are_read_without_keys_unless_there_are_keys():
    code = (
        "from osgeo import gdal; from witw.imagery.strip import source; source.configure();"
        "print(gdal.GetConfigOption('AWS_NO_SIGN_REQUEST'), gdal.GetConfigOption('AWS_REGION'))"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    Path("credentials").write_text("[default]\naws_access_key_id = x\n")
    for extra, expected in (
        ({}, "YES us-east-1"),
        ({"AWS_NO_SIGN_REQUEST": "NO"}, "NO us-east-1"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "credentials"}, "None us-east-1"),
        ({"AWS_ACCESS_KEY_ID": "x", "AWS_REGION": "eu-west-1"}, "None eu-west-1"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env=clean | extra, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected, done.stderr


def test_each_fault_gives_one_sentence_with_area_and_path(tif):
    flat = tif("flat.tif", DATA, None)
    one = tif("one.tif", DATA[:1], PLACE)
    rgb = tif("rgb.tif", DATA[:3], PLACE)
    Path("text.tif").write_text("hello")
    for path, bands, text in (
        ("gone.tif", (1, 2, 3), "cannot be read"),
        ("text.tif", (1, 2, 3), "cannot be read"),
        (flat, (1, 2, 3), "is not georeferenced"),
        (one, (5, 3, 2), "has 1 band, but `bands` asks for [5, 3, 2]"),
        (
            rgb,
            (5, 3, 2),
            "asks for [5, 3, 2]; set `bands` of the area or the strip, as in `bands: [",
        ),
        ("*/none.tif", (1, 2, 3), "no file matches"),
    ):
        with pytest.raises(UserError) as caught:
            source.load("oslo", strip(path, bands))
        message = str(caught.value)
        assert "Area 'oslo'" in message and path in message and text in message
        assert "\n" not in message


def test_tiles_that_do_not_fit_are_refused(tif):
    tif("t/a.tif", DATA, PLACE)
    tif("t/b.tif", DATA, PLACE, epsg=32632)
    with pytest.raises(UserError, match=r"Area 'oslo': strip file t/\*\.tif"):
        source.load("oslo", strip("t/*.tif"))


def test_tiles_are_the_ones_the_workflow_watches(tif, area):
    for name in ("b", "a", "c"):
        tif(f"t/{name}.tif", DATA, PLACE)
    town = area(["t/*.tif"], BOX)
    assert source.files("town", "t/*.tif") == strip_files(town.config, "town", town.names[0])


def check(specs):
    return subprocess.run(
        [sys.executable, "-m", "witw.imagery.strip.look"],
        input=json.dumps(specs),
        capture_output=True,
        text=True,
    )


def test_the_check_before_the_run(tif):
    good = {"aoi": "oslo", "strip": strip(tif("one.tif", DATA, PLACE))}
    bad = {"aoi": "rome", "strip": strip(tif("two.tif", DATA[:1], PLACE))}
    assert (check([good]).returncode, check([good]).stderr) == (0, "")
    done = check([good, bad])
    assert done.returncode == 1
    assert re.fullmatch(r"witw: Area 'rome': strip file two\.tif has 1 band, .*\n", done.stderr)


def test_a_strip_behind_an_address_is_read(tif):
    tif("served/a.tif", DATA, PLACE)
    with ranges("served") as server:
        ds = opened.plain(source.load("oslo", strip(f"{server.url}/a.tif")))
        assert np.array_equal(ds.ReadAsArray()[:3], DATA)


def test_an_unreadable_address_gives_one_sentence(tif):
    tif("served/a.tif", DATA, PLACE)
    Path("served/page.tif").write_text("<html>not here</html>")
    with ranges("served") as server:
        server.refuse({"/secret.tif": 403, "/login.tif": 401})
        for path, text in (
            (f"{server.url}/gone.tif", "there is no such file"),
            (f"{server.url}/secret.tif", "access is denied"),
            (f"{server.url}/login.tif", "access is denied"),
            (f"{server.url}/page.tif", "not recognized"),
            ("http://127.0.0.1:9/a.tif", "cannot be reached"),
            ("https://nowhere.invalid/a.tif", "cannot be reached"),
        ):
            with pytest.raises(UserError) as caught:
                source.load("oslo", strip(path))
            message = str(caught.value)
            assert message.startswith(f"Area 'oslo': strip file {path} cannot be read: ")
            assert text in message and message.count(".\n") == 0 and "\n" not in message


def test_a_strip_is_read_over_tls(tif, monkeypatch):
    tif("served/a.tif", DATA, PLACE)
    files = certificate(Path.cwd())
    with ranges("served", files) as server:
        path = f"{server.url}/a.tif"
        assert path.startswith("https://")
        with pytest.raises(UserError, match="cannot be read: the server's certificate"):
            source.load("oslo", strip(path))
        monkeypatch.setenv("GDAL_CURL_CA_BUNDLE", files[0])
        gdal.VSICurlClearCache()
        ds = opened.plain(source.load("oslo", strip(path)))
        assert np.array_equal(ds.ReadAsArray()[:3], DATA)


@pytest.mark.parametrize("first", ["", "import rasterio; "])
def test_certificates_are_the_users_else_those_that_come_with_python(first):
    code = "import os; from witw.imagery.strip import source; source.configure();"
    code = f"{first}{code}print(os.environ['GDAL_CURL_CA_BUNDLE'])"
    names = ("GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    clean = {k: v for k, v in os.environ.items() if k not in names}
    for extra, expected in (
        ({}, certifi.where()),
        ({"SSL_CERT_FILE": "mine.pem"}, "mine.pem"),
        ({"GDAL_CURL_CA_BUNDLE": "other.pem", "SSL_CERT_FILE": "mine.pem"}, "other.pem"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env=clean | extra, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected, done.stderr


def test_a_server_without_byte_ranges_is_recognised(tif, rng):
    tif("served/a.tif", rng.integers(0, 999, (3, 300, 300)).astype("u2"), PLACE)
    with whole("served") as server:
        with pytest.raises(UserError) as caught:
            source.load("oslo", strip(f"{server.url}/a.tif"))
        assert "Area 'oslo'" in str(caught.value) and "byte ranges" in str(caught.value)
        with pytest.raises(UserError, match="there is no such file"):
            source.load("oslo", strip(f"{server.url}/b.tif"))


def test_credentials_in_addresses_are_not_shown(tif):
    with ranges(".") as server:
        host = server.url.removeprefix("http://")
        path = f"http://me:pass1@{host}/a.tif?X-Amz-Signature=abc123"
        with pytest.raises(UserError) as caught:
            source.load("oslo", strip(path))
    assert f"http://{host}/a.tif cannot be read" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("pass1", "abc123", "me:"))


def test_tiles_at_an_address_are_listed_in_any_folder(tif):
    for name in (
        "set/a_1/x.tif",
        "set/a_2/y.tif",
        "set/b/x.tif",
        "set/a_1/x.txt",
    ):
        tif(f"served/{name}", DATA, PLACE)
    with ranges("served") as server:
        found = source.files("oslo", f"{server.url}/set/a_*/*.tif")
        assert [name.split("/set/")[1] for name in found] == ["a_1/x.tif", "a_2/y.tif"]
        with pytest.raises(UserError, match="no file matches"):
            source.files("oslo", f"{server.url}/set/c*/*.tif")


sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))
corners = st.tuples(st.integers(-500, 500), st.integers(-500, 500))


@settings(max_examples=25, deadline=None)
@given(tiles=st.lists(st.tuples(corners, sizes), min_size=2, max_size=5), step=st.floats(0.1, 3))
def test_tiles_are_placed_as_gdal_does(tiles, step):
    files, places = [], []
    for number, ((col, row), (width, height)) in enumerate(tiles):
        name = f"/vsimem/placed/{number}.tif"
        ds = gdal.GetDriverByName("GTiff").Create(name, width, height)
        place = (500_000 + col * step, step, 0, 4_000_000 - row * step, 0, -step)
        ds.SetGeoTransform(place)
        ds.SetProjection("EPSG:32631")
        ds = None
        files.append(name)
        places.append((place, (width, height)))
    oracle = gdal.BuildVRT("", files)
    transform, size, rects = grid(places)
    assert size == (oracle.RasterXSize, oracle.RasterYSize)
    assert transform == pytest.approx(oracle.GetGeoTransform(), abs=1e-6)
    left, top = min(c for (c, _), _ in tiles), min(r for (_, r), _ in tiles)
    for rect, ((col, row), (width, height)) in zip(rects, tiles, strict=True):
        assert rect == (col - left, row - top, width, height)


def test_a_strip_outside_its_area_is_refused_before_any_work(tif):
    # Half a kilometre east of the box, on its border, and inside; in metres and in degrees.
    east = {"bbox_deg": [2.9, 36.0, 2.99, 36.2], "chip_m": 225.0}
    place = (500_000, 0.3, 0, 3_990_000, 0, -0.3)  # 3.0 E, 36.05 N
    far = {"aoi": "oslo", "strip": strip(tif("far.tif", DATA, place))} | east
    near = far | {"bbox_deg": [2.9, 36.0, 2.999, 36.2]}
    inside = far | {"bbox_deg": [2.9, 36.0, 3.1, 36.2]}
    degrees = (3.0, 2.7e-6, 0, 36.05, 0, -2.7e-6)
    there = inside | {"strip": strip(tif("deg.tif", DATA, degrees, epsg=4326))}
    assert check([near, inside, there]).stderr == ""
    done = check([inside, far])
    assert done.returncode == 1
    assert re.fullmatch(
        r"witw: Area 'oslo': strip file far\.tif lies outside the area: it covers 3\.0000, 36\..*"
        r"`bbox_deg` is \[2\.9, 36\.0, 2\.99, 36\.2\]; .*\n",
        done.stderr,
    )
    south = (500_000, 0.3, 0, 7_400_000, 0, -0.3)
    rio = {"aoi": "rio", "strip": strip(tif("south.tif", DATA, south, epsg=32731))} | east
    assert check([rio | {"bbox_deg": [2.99, -23.6, 3.01, -23.5]}]).stderr == ""
    assert check([rio | {"bbox_deg": [2.99, 23.5, 3.01, 23.6]}]).returncode == 1


def test_five_hundred_tiles_are_one_raster(tif):
    one = Path(tif("x.tif", DATA, PLACE)).read_bytes()
    Path("many").mkdir()
    for row in range(20):
        for col in range(25):
            path = Path(f"many/{row:02}_{col:02}.tif")
            path.write_bytes(one)
            ds = gdal.Open(str(path), gdal.GA_Update)
            ds.SetGeoTransform((500_000 + col * 3, 0.3, 0, 4_000_000 - row * 3, 0, -0.3))
            ds = None
    raster = source.load("rio", strip("many/*.tif"))
    assert raster.size == (250, 200) and len(raster.parts) == 500
    seen = opened.plain(raster).ReadAsArray()[:3]
    assert np.array_equal(seen, np.tile(DATA, (1, 20, 25)))


def vrt_of(path, *files):
    """Write a VRT over files, with absolute names."""
    gdal.BuildVRT(path, [str(Path(f).resolve()) for f in files])
    return path


def test_the_files_behind_a_vrt_are_watched(tif, area):
    one, two = tif("t/a.tif", DATA, PLACE), tif("t/b.tif", DATA, (500_003, *PLACE[1:]))
    inner = vrt_of("t/inner.vrt", one, two)
    outer = vrt_of("outer.vrt", inner)
    town = area([outer], BOX)
    here = Path.cwd()
    found = {Path(name).resolve() for name in strip_files(town.config, "town", "outer")}
    assert found == {here / "outer.vrt", here / "t/inner.vrt", here / "t/a.tif", here / "t/b.tif"}
    raster = source.load("town", strip(outer, nodata="none"))
    with (
        pytest.raises(UserError, match=r"'town'.*b\.tif changed while it was read"),
        source.unchanged("town", source.local_files(raster)),
    ):
        os.utime("t/b.tif", ns=(1, 1))
    Path("t/b.tif").unlink()
    with pytest.raises(UserError, match=r"'town'.*outer\.vrt refers to .*b\.tif, which does not"):
        strip_files(town.config, "town", "outer")


def test_a_vrt_names_files_relative_to_itself(tif, area):
    tif("deep/t/a.tif", DATA, PLACE)
    gdal.Translate("deep/a.vrt", "deep/t/a.tif", format="VRT").FlushCache()
    assert 'relativeToVRT="1">t/a.tif' in Path("deep/a.vrt").read_text()
    town = area(["deep/a.vrt"], BOX)
    assert strip_files(town.config, "town", "a") == ["deep/a.vrt", "deep/t/a.tif"]


def test_addresses_and_files_without_xml_are_not_watched(area):
    text = "<VRTDataset><a><SourceFilename>{}</SourceFilename></a></VRTDataset>"
    for number, name in enumerate(("/vsicurl/https://host/a.tif", 'HDF5:"a.h5"://b', "")):
        Path(f"v{number}.vrt").write_text(text.format(name))
        town = area([f"v{number}.vrt"], BOX)
        assert strip_files(town.config, "town", f"v{number}") == [f"v{number}.vrt"]
    Path("v.vrt").write_text("no XML")
    assert strip_files(area(["v.vrt"], BOX).config, "town", "v") == ["v.vrt"]


@pytest.mark.parametrize("off", [(0.5, 0), (0, 0.25), (1.5, 2.5)])
def test_tiles_between_each_others_pixels_are_refused(tif, off):
    tif("t/a.tif", DATA, PLACE)
    tif("t/b.tif", DATA, (500_000 + off[0] * 0.3, 0.3, 0, 4_000_000 - off[1] * 0.3, 0, -0.3))
    with pytest.raises(UserError, match=r"'oslo'.*t/\*\.tif.*one pixel grid.*separate strips"):
        source.load("oslo", strip("t/*.tif"))


def test_a_strip_that_proj_cannot_locate_gives_one_sentence(tif):
    path = tif("a.tif", DATA, PLACE)
    wkt = 'LOCAL_CS["a quarry",UNIT["metre",1]]'
    ds = gdal.Open(path, gdal.GA_Update)
    ds.SetProjection(wkt)
    ds = None
    far = tif("far.tif", DATA, (1e12, 0.3, 0, 1e12, 0, -0.3))
    for name in (path, far):
        spec = {"aoi": "oslo", "strip": strip(name), "bbox_deg": BOX, "chip_m": 225.0}
        done = check([spec])
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if line.startswith("witw: ")]
        assert len(lines) == 1 and "Traceback" not in done.stderr
        assert f"Area 'oslo': strip file {name} cannot be georeferenced" in lines[0]


@pytest.mark.parametrize("west", [179.99, -180.01, 180.0005])
def test_longitudes_are_the_same_a_turn_further(tif, west):
    """A strip from 179.99 to 180.01 in any notation, and areas on both sides of the meridian."""
    data = np.ones((3, 10, 100), "u1")
    path = tif("a.tif", data, (west, 2e-4, 0, -17, 0, -2e-4), epsg=4326)
    spec = {"aoi": "fiji", "strip": strip(path), "chip_m": 225.0}
    boxes = [[179.95, -17.1, 179.999, -16.9], [-179.999, -17.1, -179.99, -16.9]]
    if west == 180.0005:
        boxes = boxes[1:]
    for box in boxes:
        look.check(spec | {"bbox_deg": box})
    with pytest.raises(UserError, match="outside the area"):
        look.check(spec | {"bbox_deg": [170, -17.1, 170.1, -16.9]})


def test_too_large_a_scene_is_refused_unless_extent_is_photos(tif):
    place = (102_000, 300, 0, 2_826_900, 0, -300)
    path = tif("l.tif", np.ones((3, 700, 790), "u1"), place, epsg=32631)
    spec = {"aoi": "oslo", "strip": strip(path), "bbox_deg": [0.18, 24.6, 0.22, 24.64]}
    spec |= {"chip_m": 225.0, "gsd_m": 0.3}
    look.check(spec | {"extent": "photos"})
    look.check(spec | {"extent": "all", "gsd_m": 3.0})
    with pytest.raises(UserError, match=r"'oslo'.*l\.tif is too large: .*extent: photos"):
        look.check(spec | {"extent": "all"})
