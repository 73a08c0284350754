import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from witw.errors import UserError
from witw.imagery import source
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
    assert source.gdal_name(path) == name


def test_buckets_are_read_without_keys_unless_there_are_keys():
    code = (
        "from osgeo import gdal; from witw.imagery import source; source.configure();"
        "print(gdal.GetConfigOption('AWS_NO_SIGN_REQUEST'), gdal.GetConfigOption('AWS_REGION'))"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    for extra, expected in (
        ({}, "YES us-east-1"),
        ({"AWS_ACCESS_KEY_ID": "x", "AWS_REGION": "eu-west-1"}, "None eu-west-1"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env=clean | extra, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected, done.stderr


def test_what_is_wrong_is_one_sentence_with_area_and_path(tif):
    flat = tif("flat.tif", DATA, None)
    one = tif("one.tif", DATA[:1], PLACE)
    Path("text.tif").write_text("hello")
    for path, bands, text in (
        ("gone.tif", (1, 2, 3), "cannot be read"),
        ("text.tif", (1, 2, 3), "cannot be read"),
        (flat, (1, 2, 3), "is not georeferenced"),
        (one, (5, 3, 2), "has 1 band, but `bands` asks for [5, 3, 2]"),
        ("*/none.tif", (1, 2, 3), "no file matches"),
    ):
        with pytest.raises(UserError) as caught:
            source.load("oslo", strip(path, bands))
        message = str(caught.value)
        assert "AOI 'oslo'" in message and path in message and text in message
        assert "\n" not in message


def test_tiles_that_do_not_fit_are_refused(tif):
    tif("t/a.tif", DATA, PLACE)
    tif("t/b.tif", DATA, PLACE, epsg=32632)
    with pytest.raises(UserError, match=r"AOI 'oslo': strip file t/\*\.tif"):
        source.load("oslo", strip("t/*.tif"))


def test_tiles_are_the_ones_the_workflow_watches(tif, area):
    for name in ("b", "a", "c"):
        tif(f"t/{name}.tif", DATA, PLACE)
    town = area(["t/*.tif"], BOX)
    assert source.files("town", "t/*.tif") == strip_files(town.config, "town", town.names[0])


def check(specs):
    return subprocess.run(
        [sys.executable, "-m", "witw.imagery.source"],
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
    assert re.fullmatch(r"witw: AOI 'rome': strip file two\.tif has 1 band, .*\n", done.stderr)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A file server that answers byte ranges, as those of imagery do."""

    def do_GET(self):
        body = Path(self.translate_path(self.path))
        if not body.is_file():
            self.send_error(404)
            return
        whole = body.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = map(int, asked.groups()) if asked else (0, len(whole) - 1)
        part = whole[first : last + 1]
        self.send_response(206 if asked else 200)
        if asked:
            end = first + len(part) - 1
            self.send_header("Content-Range", f"bytes {first}-{end}/{len(whole)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_):
        pass


def test_a_strip_behind_an_address_is_read(tif, tmp_path):
    tif("served/a.tif", DATA, PLACE)
    handler = functools.partial(Ranges, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ds = source.open_plain(source.load("oslo", strip(f"{url}/a.tif")))
        assert np.array_equal(ds.ReadAsArray()[:3], DATA)
        with pytest.raises(UserError, match="AOI 'oslo': strip file http"):
            source.load("oslo", strip(f"{url}/gone.tif"))
        server.shutdown()


def test_tiles_in_a_bucket_are_listed(tif, monkeypatch):
    tif("x.tif", DATA, PLACE)
    content = Path("x.tif").read_bytes()
    monkeypatch.setattr(source, "gdal_name", lambda path: path)
    for name in ("b.tif", "a.tif", "a.txt"):
        gdal.FileFromMemBuffer(f"/vsimem/tiles/{name}", content)
    assert source.files("oslo", "/vsimem/tiles/*.tif") == [
        "/vsimem/tiles/a.tif",
        "/vsimem/tiles/b.tif",
    ]
