"""Strips in buckets, read from a server that speaks S3 and checks signatures, on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import opened
import pytest
from osgeo import gdal
from s3 import s3

from witw.errors import UserError
from witw.imagery.strip import remote, source

PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
BOX = [2.9, 36.0, 3.1, 36.2]
DATA = np.arange(300, dtype="u2").reshape(3, 10, 10)
WRONG = "wJalrXUtnFEMI-not-the-secret"


@pytest.fixture(scope="module")
def keys():
    """Return a running server with a user, and the user's access key and secret."""
    with s3() as server:
        yield server, server.user()


@pytest.fixture
def bucket(keys, tif, monkeypatch):
    """Make buckets `open` (public) and `closed`; the environment points at them, without keys."""
    server, _ = keys
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(Path.cwd()))
    names = ("set/a.tif", "set/b.tif", "set/deep/c.tif")
    places = [(PLACE[0] + 3 * column, *PLACE[1:]) for column in range(3)]
    files = {
        name: Path(tif("x.tif", DATA + number, places[number])).read_bytes()
        for number, name in enumerate(names)
    }
    server.strict(False)
    server.fill("open", files | {"set/d.txt": b"text"}, "public-read")
    server.fill("closed", files, "private")
    options = {"AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    for name, value in (options | {"AWS_S3_ENDPOINT": server.endpoint}).items():
        monkeypatch.setenv(name, value)
    before = {n: gdal.GetGlobalConfigOption(n) for n in ("AWS_NO_SIGN_REQUEST", *remote.OPTIONS)}
    gdal.VSICurlClearCache()
    source.configure()
    yield server
    gdal.VSICurlClearCache()
    for name, value in before.items():
        gdal.SetConfigOption(name, value)


@pytest.fixture
def sign(keys, bucket, monkeypatch):
    """Set the user's keys, or a wrong secret, in the environment; rights apply from then on."""

    def signed(secret=None):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[1][0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret or keys[1][1])
        gdal.SetConfigOption("AWS_NO_SIGN_REQUEST", None)
        gdal.VSICurlClearCache()
        source.configure()
        bucket.strict(True)

    yield signed
    bucket.strict(False)


def strip(path):
    return {"name": "a", "path": path, "bands": [1, 2, 3], "nodata": "auto"}


def read(path):
    return opened.plain(source.load("oslo", strip(path))).ReadAsArray()[:3]


def test_public_buckets_are_read_without_keys(bucket):
    assert np.array_equal(read("s3://open/set/a.tif"), DATA)


def test_tiles_of_a_bucket_are_one_raster(bucket):
    assert source.files("oslo", "s3://open/set/*.tif") == [
        "/vsis3/open/set/a.tif",
        "/vsis3/open/set/b.tif",
    ]
    assert source.files("oslo", "s3://open/*/de*/*.tif") == ["/vsis3/open/set/deep/c.tif"]
    assert np.array_equal(read("s3://open/set/*.tif"), np.concatenate([DATA, DATA + 1], axis=2))


def test_the_users_keys_open_their_own_buckets(bucket, sign):
    with pytest.raises(UserError, match="access is denied to anyone without credentials"):
        read("s3://closed/set/a.tif")
    sign()
    assert np.array_equal(read("s3://closed/set/a.tif"), DATA)
    assert np.array_equal(read("s3://closed/set/*.tif")[..., 10:], DATA + 1)


@pytest.mark.parametrize("how", ["open", "closed"])
def test_the_whole_chain_reads_a_bucket(bucket, sign, area, tif, rng, how):
    data = rng.integers(0, 2000, (8, 300, 300)).astype("u2")
    data[:, :40] = 0
    place = (2.95, 2.7e-6, 0, 36.1, 0, -2.7e-6)
    options = {"TILED": "YES", "COMPRESS": "DEFLATE", "BLOCKXSIZE": 128, "BLOCKYSIZE": 128}
    path = tif("here.tif", data, place, epsg=4326, nodata=0, **options)
    bucket.ask("PUT", f"{how}/here.tif", Path(path).read_bytes(), **{"x-amz-acl": "public-read"})
    if how == "closed":
        sign()
    shown = []
    for name in (path, f"s3://{how}/here.tif"):
        town = area([name], BOX, bands=[5, 3, 2])
        town.stretch()
        shown.append(Path(town.utm()).read_bytes())
    assert shown[0] == shown[1]


def one_sentence(caught, path, *secrets):
    message = str(caught.value)
    assert message.startswith("Area 'oslo': ") and path in message and message.endswith(".")
    assert "\n" not in message and message.count(". ") == 0
    assert not any(secret in message for secret in secrets)


@pytest.mark.parametrize("signed", [False, True])
def test_each_fault_gives_one_sentence(bucket, sign, keys, monkeypatch, signed, capfd):
    if signed:
        sign()
    for path, text in (
        ("s3://open/set/none.tif", "cannot be read: there is no such file"),
        ("s3://nobody/a.tif", "cannot be read: there is no such bucket"),
        ("s3://nobody/*.tif", "cannot be listed: there is no such bucket"),
        ("s3://open/none/*.tif", "no file matches"),
    ):
        with pytest.raises(UserError, match=text) as caught:
            read(path)
        one_sentence(caught, path, *keys[1])
    monkeypatch.setenv("AWS_S3_ENDPOINT", "127.0.0.1:9")
    gdal.VSICurlClearCache()
    for path in ("s3://open/set/a.tif", "s3://open/set/*.tif"):
        with pytest.raises(UserError, match="the server cannot be reached") as caught:
            read(path)
        one_sentence(caught, path, *keys[1])
    shown = "".join(capfd.readouterr())
    assert not any(secret in shown for secret in keys[1])


def test_a_wrong_secret_is_reported_and_not_shown(bucket, sign, keys, capfd):
    sign(WRONG)
    for path in ("s3://closed/set/a.tif", "s3://closed/set/*.tif"):
        with pytest.raises(UserError, match="access is denied with the AWS credentials") as caught:
            read(path)
        one_sentence(caught, path, keys[1][0], WRONG)
    assert WRONG not in "".join(capfd.readouterr())


def test_the_check_before_the_run_reads_buckets(bucket, keys, monkeypatch):
    def check(path):
        return subprocess.run(
            [sys.executable, "-m", "witw.imagery.strip.look"],
            input=json.dumps([{"aoi": "oslo", "strip": strip(path)}]),
            capture_output=True,
            text=True,
        )

    assert check("s3://open/set/*.tif").returncode == 0
    done = check("s3://closed/set/a.tif")
    assert done.returncode == 1
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("witw: ")]
    assert "Area 'oslo': strip file s3://closed/set/a.tif cannot be read" in line
    bucket.strict(True)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[1][0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRONG)
    done = check("s3://closed/set/a.tif")
    bucket.strict(False)
    assert done.returncode == 1 and "access is denied" in done.stderr
    assert WRONG not in done.stdout + done.stderr and keys[1][0] not in done.stdout + done.stderr


def test_keys_are_found_where_gdal_finds_them(bucket, keys):
    assert not remote.has_credentials()
    folder = Path.cwd() / ".aws"
    folder.mkdir()
    key, secret = keys[1]
    (folder / "credentials").write_text(
        f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    )
    assert remote.has_credentials()
    gdal.SetConfigOption("AWS_NO_SIGN_REQUEST", None)
    source.configure()
    bucket.strict(True)
    try:
        assert np.array_equal(read("s3://closed/set/a.tif"), DATA)
    finally:
        bucket.strict(False)
