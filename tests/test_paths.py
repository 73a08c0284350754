import pytest

from witw import paths
from witw.config import load
from witw.errors import UserError

URL = "https://example.org/a/net.pth.tar?download=1"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one.tif", "tiles/b.tif", "tiles/a.tif", "net.pth.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    box = {"bbox_deg": [10.7, 59.9, 10.8, 59.95]}
    strips = ["one.tif", "tiles/*.tif", "s3://bucket/x.tif", "absent.tif", "none/*.tif"]
    here = {"scenes": {"checkpoint": "net.pth.tar"}}
    return load(
        {
            "aois": {
                "oslo": {**box, **here, "strips": strips, "shards": 4},
                "bern": {**box, "strips": ["one.tif"], "scenes": {"checkpoint": URL}},
                "lima": {**box, "strips": ["one.tif"], "scenes": {"checkpoint": "absent.tar"}},
            }
        }
    )


@pytest.mark.parametrize(
    ("strip", "files"),
    [("one", ["one.tif"]), ("tiles", ["tiles/a.tif", "tiles/b.tif"]), ("x", [])],
)
def test_local_files_of_a_strip_are_found(config, strip, files):
    assert paths.strip_files(config, "oslo", strip) == files


@pytest.mark.parametrize("strip", ["absent", "none"])
def test_a_missing_strip_names_area_path_and_key(config, strip):
    with pytest.raises(UserError) as caught:
        paths.strip_files(config, "oslo", strip)
    text = str(caught.value)
    assert all(word in text for word in ("'oslo'", strip, "aois.oslo.strips"))


def test_an_unknown_strip_is_reported_with_the_known_ones(config):
    with pytest.raises(UserError, match="its strips are one, tiles, x, absent, none"):
        paths.strip_files(config, "oslo", "two")


def test_checkpoints_are_given_by_path_or_address(config):
    assert paths.checkpoint_file(config, "oslo") == "net.pth.tar"
    fetched = paths.checkpoint_file(config, "bern")
    assert fetched.startswith("models/")
    assert fetched.endswith("_net.pth.tar")
    assert paths.weights(config) == {fetched.removeprefix("models/"): URL}
    with pytest.raises(UserError, match=r"'lima'.*absent\.tar"):
        paths.checkpoint_file(config, "lima")


def test_two_addresses_with_one_file_name_do_not_collide():
    assert paths.weights_name("http://a/net.tar") != paths.weights_name("http://b/net.tar")


def test_areas_are_grouped_by_their_number_of_shards(config):
    assert paths.by_shards(config) == {4: ["oslo"], 8: ["bern", "lima"]}


def test_a_folder_for_a_strip_is_reported_as_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiles").mkdir()
    area = {"bbox_deg": [10.7, 59.9, 10.8, 59.95], "strips": ["tiles/"]}
    with pytest.raises(UserError, match=r"'oslo': strip file tiles/ is a folder; .* tiles/\*\.tif"):
        paths.strip_files(load({"aois": {"oslo": area}}), "oslo", "tiles")
