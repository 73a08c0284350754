"""A newcomer's mistakes, as typed: each ends in one sentence with a remedy."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds
from workplace import BASE, PLANNER, REPO, Run

pytestmark = pytest.mark.workflow

AREA = """
  oslo:
    bbox_deg: [10.7, 59.9, 10.8, 59.95]
    strips: [strips/oslo.tif]
"""
MINE = f"aois:{AREA}"
OTHER_BOX = "[10.75, 59.92, 10.9, 59.99]"


def two(split, box=OTHER_BOX, strip="strips/lima.tif"):
    """Return a training area, and another one of a split."""
    return f"{MINE}  lima:\n    bbox_deg: {box}\n    split: {split}\n    strips: [{strip}]\n"


def with_keys(lines):
    return MINE + "".join(f"    {line}\n" for line in lines.splitlines())


def renamed(name):
    return MINE.replace("oslo:", f"{name}:", 1)


def write_strip(path, box, bands=8, dtype="uint16"):
    data = np.arange(bands * 16, dtype=dtype).reshape(bands, 4, 4) + 1
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=bands, dtype=dtype, crs="EPSG:4326",
        transform=from_bounds(*box, 4, 4),
    ) as file:  # fmt: skip
        file.write(data)


def command(folder, args, env):
    """Run Snakemake as a user does, but in a process that has imported it."""
    return Run(*PLANNER.run([str(word) for word in args], folder, env))


def assert_told(done, *words):
    """Check for exit code 1 and one sentence of a few lines, without traceback or usage."""
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text and "usage:" not in text, text
    assert len(done.complaints) == 1, text
    told = text[text.index(done.complaints[0]) :].strip()
    assert len(told.splitlines()) <= 6, told
    assert not [word for word in words if word not in told], told
    return told


# Content of mine.yaml, and words of the sentence.
CONFIGS = {
    "bbox for bbox_deg": (
        MINE.replace("bbox_deg", "bbox"),
        ["mine.yaml", "'oslo'", "unknown key `bbox`", "did you mean `bbox_deg`"],
    ),
    "shard for shards": (with_keys("shard: 1"), ["`shard`", "did you mean `shards`"]),
    "a misspelt inner key": (
        with_keys("chips: {jpeg_qualty: 80}"),
        ["`chips.jpeg_qualty`", "did you mean `jpeg_quality`"],
    ),
    "an inner key one level too high": (
        with_keys("size_px: 500"),
        ["`size_px`", "`chips.size_px`"],
    ),
    "aoi for aois": (MINE.replace("aois", "aoi"), ["`aoi`", "`aois`", "mine.yaml"]),
    "aois as a list": (
        "aois:\n- oslo:\n    bbox_deg: [1, 1, 2, 2]\n",
        ["`aois` is a list", "dashes", "`oslo:`"],
    ),
    "band 0": (
        with_keys("bands: [2, 1, 0]"),
        ["'oslo'", "entry 3 of `bands`", "is 0", "counted from 1"],
    ),
    "band 0 of a strip": (
        MINE.replace("[strips/oslo.tif]", "[{path: strips/oslo.tif, bands: [0, 1, 2]}]"),
        ["entry 1 of `bands` of entry 1 of `strips`", "is 0", "counted from 1"],
    ),
    "two bands": (with_keys("bands: [2, 1]"), ["`bands`", "[red, green, blue]"]),
    "west and east swapped": (
        MINE.replace("[10.7, 59.9, 10.8", "[10.8, 59.9, 10.7"),
        ["west 10.8", "east 10.7", "west, south, east, north"],
    ),
    "latitude first, which UTM refuses": (
        MINE.replace("[10.7, 59.9, 10.8, 59.95]", "[37.7, -122.5, 37.8, -122.4]"),
        ["'oslo'", "`bbox_deg`", "latitude and longitude seem swapped"],
    ),
    "shards: many": (with_keys("shards: many"), ["`shards`", "'many'", "integer"]),
    "too many shards": (with_keys("shards: 10000"), ["`shards`", "10000", "4096"]),
    "a box as text": (
        MINE.replace("[10.7, 59.9, 10.8, 59.95]", "'10.7, 59.9, 10.8, 59.95'"),
        ["`bbox_deg`", "'10.7, 59.9, 10.8, 59.95'", "[west, south, east, north]"],
    ),
    "a box of three": (
        MINE.replace(", 59.95]", "]"),
        ["`bbox_deg`", "[west, south, east, north]"],
    ),
    "strips as text": (
        MINE.replace("[strips/oslo.tif]", "strips/oslo.tif"),
        ["`strips`", "'strips/oslo.tif'", "list in square brackets"],
    ),
    "a section that holds text": (
        with_keys("chips: large"), ["`chips`", "'large'", "`key: value`"]
    ),
    "a city that YAML takes for false": (
        with_keys("city: No"), ["`city`", "false", "quotes"]
    ),
    "an unknown split": (with_keys("split: testing"), ["`split`", "'testing'", "'val' or 'test'"]),
    "a tab": (MINE.replace("    strips", "\tstrips"), ["mine.yaml, line 4", "tab", "spaces"]),
    "no YAML": (MINE.replace("59.95]", "59.95"), ["mine.yaml, line ", "not readable YAML"]),
    "a key twice": (
        with_keys("bbox_deg: [1, 1, 2, 2]"),
        ["mine.yaml, line 5", "key `aois.oslo.bbox_deg`", "line 3"],
    ),
    "an area twice": (MINE + AREA, ["mine.yaml, line 6", "Area 'oslo'", "line 2"]),
    "aois twice": (MINE + "aois:" + AREA, ["mine.yaml, line 5", "key `aois`", "line 1"]),
    "an empty file": ("", ["mine.yaml", "empty", "docs/config.md"]),
    "comments alone": ("# aois:\n", ["mine.yaml", "empty"]),
    "a list": ("- aois\n", ["mine.yaml", "list", "`key: value`"]),
    "name 007": (renamed("007"), ["mine.yaml, line 2", "area name 007", "number", "'007'"]),
    "name 2024-01-01": (renamed("2024-01-01"), ["area name 2024-01-01", "a date", "quote it"]),
    "name yes": (renamed("yes"), ["area name yes", "true or false", "quote it: 'yes'"]),
    "name New York": (renamed("New York"), ["'New York'", "lower-case"]),
    "name Paris": (renamed("Paris"), ["'Paris'", "lower-case"]),
    "name münchen": (renamed("münchen"), ["'münchen'", "lower-case"]),
    "name a-b": (renamed("a-b"), ["'a-b'", "lower-case letters, digits and _"]),
    "name dataset": (renamed("dataset"), ["'dataset'", "none of"]),
    "name loo": (renamed("loo"), ["'loo'", "none of"]),
    "an area without keys": ("aois:\n  oslo:\n", ["'oslo'", "`bbox_deg`", "`strips`"]),
    "a box and a shape": (
        with_keys("area: town.geojson"), ["'oslo'", "`bbox_deg` and `area`", "one of the two"]
    ),
    "a shape that is not there": (
        MINE.replace("bbox_deg: [10.7, 59.9, 10.8, 59.95]", "area: town.geojson"),
        ["'oslo'", "`area` town.geojson does not exist"],
    ),
    "a strip without a place": (
        MINE.replace("[strips/oslo.tif]", "[{name: a}]"), ["'oslo'", "`path`", "`any_of`"]
    ),
    "overlapping boxes of different splits": (
        two("test"),
        ["mine.yaml", "'lima' (test)", "'oslo' (train)", "overlap", "same `split`"],
    ),
    "a strip that is not there": (
        MINE.replace("strips/oslo", "strips/olso"),
        ["'oslo'", "strips/olso.tif does not exist", "`aois.oslo.strips`"],
    ),
    "a folder of photos that is not there": (
        with_keys("photos: {folder: pisc}"),
        ["'oslo'", "folder: pisc is not a folder", "correct the path"],
    ),
    "a table of photos that is not there": (
        with_keys("photos: [flickr, {table: mine.csv}]"),
        ["'oslo'", "table: mine.csv is not a file", "correct the path"],
    ),
    "a source that does not exist": (
        with_keys("photos: flikr"), ["entry 1 of `photos`", "'flikr'", "{folder: my/photos}"]
    ),
    "a path for a source": (
        with_keys("photos: my/photos"), ["entry 1 of `photos`", "{folder: my/photos}"]
    ),
    "two sources in one entry": (
        with_keys("photos: {folder: a, table: b.csv}"), ["names `table` and `folder`"]
    ),
    "two sources of one name": (
        with_keys("photos: [{folder: a}, {folder: b}]"), ["named 'folder'", "give each its own"]
    ),
    "a list to leave out that is not there": (
        with_keys("pairs: {exclude: out.txt}"), ["'oslo'", "`pairs.exclude` out.txt does not exist"]
    ),
    "a home folder": (
        MINE.replace("strips/oslo", "~/olso"), ["'oslo'", "{home}/olso.tif does not exist"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_mistake_in_the_config_gives_one_sentence(workplace, name):
    text, words = CONFIGS[name]
    (workplace.folder / "mine.yaml").write_text(text)
    env = workplace.environment(None) | {"HOME": str(workplace.folder)}
    args = ["--snakefile", REPO / "Snakefile", "--cores", 1, "--configfile", "mine.yaml"]
    words = [word.format(home=workplace.folder) if "{home}" in word else word for word in words]
    assert_told(command(workplace.folder, args, env), *words)
    assert not (workplace.folder / "results").exists()


@pytest.mark.parametrize(
    "name",
    ["a tab", "an empty file", "an area twice", "name 007", "bbox for bbox_deg", "aois twice"],
)
def test_config_yaml_and_the_command_plan_say_the_same(workplace, name):
    text, words = CONFIGS[name]
    words = [word.replace("mine.yaml", "config.yaml") for word in words]
    (workplace.folder / "config.yaml").write_text(text)
    env = workplace.environment()
    done = command(workplace.folder, ["--snakefile", REPO / "Snakefile", "-n"], env)
    told = assert_told(done, *words)
    plan = subprocess.run(
        [sys.executable, "-m", "witw", "plan"], cwd=workplace.folder, env=env, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (plan.returncode, plan.stderr.strip()) == (1, told)


# Words after `snakemake --snakefile ...`, and words of the sentence.
COMMANDS = {
    "a target behind --configfile": (
        "--cores 1 --configfile mine.yaml results/oslo/pairs.parquet",
        ["`--configfile` takes every word", "results/oslo/pairs.parquet", "target first"],
    ),
    "a rule behind --configfile": (
        "-n --configfile mine.yaml leave_one_out",
        ["`--configfile` takes every word", "leave_one_out", "--configfile=FILE"],
    ),
    "a result that is JSON behind --configfile": (
        "-n --configfile mine.yaml results/oslo/search.json",
        ["`--configfile` takes every word", "results/oslo/search.json"],
    ),
    "a target behind --quiet": (
        "-n --configfile=mine.yaml --quiet rules results/oslo/pairs.parquet",
        ["`--quiet` takes every word", "results/oslo/pairs.parquet", "--quiet=rules"],
    ),
    "a target behind --config": (
        "-n --configfile=mine.yaml --config pack={} results/oslo/pairs.parquet",
        ["`--config` takes every word", "results/oslo/pairs.parquet", "target first"],
    ),
    "a target behind --set-threads": (
        "--cores 2 --configfile=mine.yaml --set-threads utm=1 results/oslo/pairs.parquet",
        ["`--set-threads` takes every word", "results/oslo/pairs.parquet"],
    ),
    "a file behind --config": ("-n --config mine.yaml", ["`--config`", "named by --configfile"]),
    "a nested key": (
        "-n --configfile mine.yaml --config aois.oslo.shards=3",
        ["`--config aois.oslo.shards=3`", "'aois={{oslo: {{shards: 3}}}}'"],
    ),
    "an area in --config alone": (
        "-n --configfile mine.yaml --config 'aois={{mytown: {{shards: 3}}}}'",
        ["mine.yaml + --config", "'mytown", "`bbox_deg`"],
    ),
    "no such config file": (
        "-n --configfile your.yaml", ["your.yaml does not exist", "{folder}", "--configfile"],
    ),
    "the second of two is missing": (
        "-n --configfile mine.yaml your.yaml", ["your.yaml does not exist"],
    ),
    "a folder as config file": ("-n --configfile strips", ["strips cannot be read", "directory"]),
    "a raster as config file": ("-n --configfile strips/real.tif", ["real.tif", "not text"]),
    "--configfile twice": (
        "-n --configfile mine.yaml --configfile other.yaml",
        ["`--configfile` is there twice", "--configfile mine.yaml other.yaml"],
    ),
    "--sdm apptainer": ("-n --configfile mine.yaml --sdm apptainer", ["`--sdm apptainer`"]),
    "--use-apptainer": ("-n --configfile mine.yaml --use-apptainer", ["`--sdm apptainer`"]),
    "an area mistyped in a target": (
        "results/olso/pairs.parquet -n --configfile mine.yaml",
        ["results/olso/pairs.parquet", "no area 'olso'", "did you mean oslo?"],
    ),
    "an area mistyped in an index": (
        "results/index/rome.safetensors -n --configfile mine.yaml",
        ["no area 'rome'", "its areas are oslo"],
    ),
    "an area for a target": (
        "oslo -n --configfile mine.yaml", ["Target oslo is an area", "results/oslo/pairs.parquet"],
    ),
    "an area's folder for a target": (
        "-n --configfile mine.yaml -- results/oslo/", ["is an area", "results/oslo/pairs.parquet"],
    ),
    "a target by its whole path": (
        "-n --configfile mine.yaml -- {folder}/results/oslo/pairs.parquet",
        ["paths in the run folder", "write results/oslo/pairs.parquet"],
    ),
    "no config.yaml": ("-n", ["{folder} has no config.yaml", "--configfile", "--directory"]),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistake_in_the_command_gives_one_sentence(workplace, name):
    text, words = COMMANDS[name]
    folder = workplace.folder
    (folder / "config.yaml").unlink()
    (folder / "mine.yaml").write_text(MINE)
    (folder / "other.yaml").write_text(MINE)
    (folder / "results/oslo").mkdir(parents=True)
    (folder / "results/oslo/search.json").write_text('{"verdict": "complete"}')
    write_strip(folder / "strips/real.tif", (10.7, 59.9, 10.8, 59.95))
    args = shlex.split(text.replace("{folder}", str(folder)).replace("{{", "{").replace("}}", "}"))
    done = command(folder, ["--snakefile", REPO / "Snakefile", *args], workplace.environment())
    assert_told(done, *[word.format(folder=folder) for word in words])


def test_a_folder_without_a_snakefile_is_told_where_it_is(workplace):
    told = assert_told(
        command(workplace.folder, ["-n"], workplace.environment()), "has no Snakefile"
    )
    assert str(REPO / "Snakefile") in told
    # With it the same folder works.
    args = ["-s", REPO / "Snakefile", "-n", "--no-hooks"]
    done = command(workplace.folder, args, workplace.environment())
    assert done.returncode == 0, done.stderr


def test_correct_input_is_accepted_as_before(workplace):
    """Each of these is close to a mistake above."""
    folder = workplace.folder
    (folder / "mine.yaml").write_text(MINE)
    (folder / "more.conf").write_text("pack: {chip_px: 64}\n")
    (folder / "tabs.json").write_text(
        f'{{\n\t"aois": {{"oslo": {BASE["aois"]["oslo"]}}}\n}}'.replace("'", '"')
    )
    target = "results/oslo/strips/oslo.stats.json"
    for args in (
        [target, "-n", "--quiet=rules", "--configfile=mine.yaml"],
        ["-n", "--quiet=rules", "--configfile=mine.yaml", target],
        [
            "-n",
            "--quiet",
            "rules",
            "progress",
            "--configfile",
            "mine.yaml",
            "more.conf",
            "--",
            target,
        ],
        ["-n", "--configfile", "tabs.json", "--", target],
        [target, "-n", "--configfile", "mine.yaml", "--config", "aois={oslo: {shards: 3}}"],
    ):
        full = ["--snakefile", REPO / "Snakefile", "--no-hooks", *args]
        done = command(folder, full, workplace.environment())
        assert done.returncode == 0, (args, done.stderr)
        assert "stats" in done.stdout + done.stderr, args


# Strips -----------------------------------------------------------------------------------------

IN_OSLO, IN_LIMA = (10.7, 59.9, 10.8, 59.95), (-77.1, -12.1, -77.0, -12.0)
TARGETS = ["results/oslo/mosaic.vrt", "results/lima/mosaic.vrt"]


@pytest.fixture
def real_strips(workplace):
    write_strip(workplace.folder / "strips/oslo.tif", IN_OSLO)
    write_strip(workplace.folder / "strips/lima.tif", IN_LIMA)
    return workplace


@pytest.mark.parametrize("how", [["-n"], ["--cores", "1"]])
def test_every_bad_strip_of_every_area_is_named_without_a_key(real_strips, how):
    folder = real_strips.folder
    write_strip(folder / "strips/pan.tif", IN_OSLO, bands=1)
    (folder / "strips/broken.tif").write_text("no raster")

    def change(config):
        areas = config["aois"]
        areas["oslo"]["strips"] = ["strips/oslo.tif", "strips/pan.tif", "strips/broken.tif"]
        areas["lima"]["bbox_deg"] = [-12.1, -77.1, -12.0, -77.0]

    real_strips.configure(change)
    # All of the run, which would search and so need a key; and the imagery alone.
    args = ["--snakefile", REPO / "Snakefile", *how]
    for targets in (["results/oslo/pairs.parquet", "results/lima/pairs.parquet"], TARGETS):
        done = command(folder, [*targets, *args], real_strips.environment(None))
        told = assert_told(done, "3 strips cannot be used")
        assert "FLICKR_API_KEY" not in told
        assert "strips/pan.tif has 1 band" in told and "`bands: [1]`" in told
        assert "strips/broken.tif cannot be read" in told
        assert "strips/lima.tif lies outside" in told
        assert "latitude and longitude seem swapped" in told
        assert "`bbox_deg: [-77.1, -12.1, -77.0, -12.0]`" in told


BAD_STRIPS = {
    "band 9 of 8": (8, IN_OSLO, {"bands": [9, 3, 2]}, ["has 8 bands", "[9, 3, 2]", "`bands`"]),
    "three bands without `bands`": (3, IN_OSLO, {}, ["has 3 bands", "[5, 3, 2]", "`bands`"]),
    "one band": (1, IN_OSLO, {}, ["has 1 band,", "`bands: [1]`"]),
    "strips of another city": (8, IN_LIMA, {}, ["outside the area", "-77.1", "correct the box"]),
    "no CRS": (8, None, {}, ["not georeferenced", "CRS"]),
}


def test_each_bad_strip_is_reported_with_its_fault(workplace):
    """One plan with an area for each, so that none hides another."""
    areas = {}
    for number, (bands, box, keys, _) in enumerate(BAD_STRIPS.values()):
        path = workplace.folder / f"strips/bad_{number}.tif"
        if box is None:
            with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
                rasterio.open(
                    path, "w", driver="GTiff", width=4, height=4, count=bands, dtype="uint16"
                ).close()
        else:
            write_strip(path, box, bands)
        areas[f"a{number}"] = {"bbox_deg": list(IN_OSLO), "strips": [f"strips/{path.name}"]} | keys

    def change(config):
        config["aois"] = areas

    workplace.configure(change)
    targets = [f"results/{name}/mosaic.vrt" for name in areas]
    args = [*targets, "--snakefile", REPO / "Snakefile", "-n"]
    done = command(workplace.folder, args, workplace.environment(None))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    for number, (name, (_, _, _, words)) in enumerate(BAD_STRIPS.items()):
        told = [line for line in lines if f"strips/bad_{number}.tif" in line and "Area " in line]
        assert told and not [word for word in words if word not in told[-1]], (name, told)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["name photos by their ids", "--owner"]),
        (["abc"], ["abc"]),
        (["--owner"], ["--owner"]),
    ],
)
def test_forget_explains_its_arguments(workplace, args, words):
    done = subprocess.run(
        [sys.executable, "-m", "witw", "forget", *args], cwd=workplace.folder, check=False,
        env=workplace.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    assert not [word for word in words if word not in done.stderr], done.stderr


def test_a_stac_is_planned_with_its_recorded_strips(workplace):
    asked = {"name": "made", "stac": "http://127.0.0.1:9", "collection": "made", "asset": "visual",
             "datetime": "", "max_cloud_pct": None, "max_items": 20, "items": []}  # fmt: skip
    items = [{"name": f"made_{n}", "path": f"strips/bern_{n}.tif"} for n in (1, 2)]
    record = workplace.folder / "results/oslo/strips/made.source.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"stac": asked, "items": items}))

    def change(config):
        config["aois"]["oslo"]["strips"] = [{"stac": asked["stac"], "collection": "made"}]

    workplace.configure(change)
    args = ["results/oslo/mosaic.vrt", "--snakefile", REPO / "Snakefile", "-n", "--no-hooks"]
    done = command(workplace.folder, args, workplace.environment(None))
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    for number in (1, 2):
        assert f"results/oslo/strips/made_{number}.utm.tif" in text
        assert f"strip made_{number} ({number} of 2)" in text
    record.unlink()
    told = assert_told(command(workplace.folder, args, workplace.environment(None)))
    assert "Area 'oslo': the STAC http://127.0.0.1:9 yields no strips" in told


def test_a_run_without_cores_is_reported(workplace):
    args = ["--snakefile", REPO / "Snakefile", "--profile", "none", "--executor", "local"]
    done = command(workplace.folder, args, workplace.environment())
    assert done.returncode and "cores" in done.stdout + done.stderr, done.stderr


def test_good_strips_need_no_key(real_strips):
    args = ["--snakefile", REPO / "Snakefile"]
    done = command(real_strips.folder, [*TARGETS, *args, "-n"], real_strips.environment(None))
    assert done.returncode == 0, done.stderr
    done = command(
        real_strips.folder, [*TARGETS, *args, "--cores", 2], real_strips.environment(None)
    )
    assert done.returncode == 0, done.stderr


def test_all_missing_strips_of_all_areas_are_named_at_once(workplace):
    def change(config):
        config["aois"]["oslo"]["strips"] = ["strips/no_1.tif", "strips/oslo.tif", "strips/no_2.tif"]
        config["aois"]["lima"]["strips"] = ["strips/no_*.tif"]

    workplace.configure(change)
    args = ["--snakefile", REPO / "Snakefile", "-n"]
    told = assert_told(command(workplace.folder, args, workplace.environment(None)))
    for path in ("strips/no_1.tif", "strips/no_2.tif", "strips/no_*.tif"):
        assert f"strip file {path} does not exist" in told
    assert "strips/oslo.tif" not in told


@pytest.mark.parametrize("path", ["~/images/oslo.tif", "$HOME/images/oslo.tif"])
def test_home_is_expanded_as_in_a_shell(workplace, path):
    home = workplace.folder / "home of mine"
    write_strip(home / "oslo.tif", IN_OSLO)
    (home / "images").symlink_to(home)

    def change(config):
        config["aois"]["oslo"]["strips"] = [path]

    workplace.configure(change)
    env = workplace.environment(None) | {"HOME": str(home)}
    args = ["results/oslo/stretch.json", "--snakefile", REPO / "Snakefile", "-n", "-p"]
    done = command(workplace.folder, args, env)
    assert done.returncode == 0, done.stderr
    assert f"{home}/images/oslo.tif" in done.stdout + done.stderr


# Splits -----------------------------------------------------------------------------------------


def only(*splits):
    def change(config):
        config["aois"] = {n: a for n, a in config["aois"].items() if a.get("split") in splits}

    return change


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ((None,), ["`split: val` or `split: test`"]),
        ((None, "val"), ["`split: test`"]),
        (("val", "test"), ["`split: train`"]),
    ],
)
def test_a_run_without_training_explains_why_at_start_and_end(workplace, splits, words):
    workplace.configure(only(*splits))
    args = ["--snakefile", REPO / "Snakefile", "-n", "--no-hooks"]
    done = command(workplace.folder, args, workplace.environment())
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 1 and notes[0].startswith("Note: No model is trained"), done.stderr
    assert not [word for word in words if word not in notes[0]], notes
    # A single area is not the cause.
    area = "bern" if "val" in splits else "oslo"
    done = command(workplace.folder, [f"results/{area}/mosaic.vrt", *args], workplace.environment())
    assert "Note: " not in done.stderr


def test_the_note_stands_at_the_end_of_the_run_too(workplace):
    workplace.configure(only(None))
    # Hooks are wanted and the key is not: the search is done by name first.
    write_strip(workplace.folder / "strips/oslo.tif", IN_OSLO)
    args = ["--snakefile", REPO / "Snakefile", "--cores", 2]
    env = workplace.environment(None)
    searched = command(workplace.folder, ["results/oslo/photos.parquet", *args, "--no-hooks"], env)
    assert searched.returncode == 0, searched.stderr
    done = command(workplace.folder, args, env)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    notes = [n for n, line in enumerate(lines) if line.startswith("Note: No model")]
    jobs = [n for n, line in enumerate(lines) if "jobs to run in " in line]
    assert len(notes) == 2 and notes[0] < jobs[0] < notes[1], done.stderr


def test_a_complete_run_says_nothing(workplace):
    args = ["--snakefile", REPO / "Snakefile", "-n", "--no-hooks"]
    done = command(workplace.folder, args, workplace.environment())
    assert done.returncode == 0 and "Note: " not in done.stderr, done.stderr


def test_a_strip_in_two_splits_is_reported(workplace):
    def change(config):
        config["aois"]["lima"]["strips"] = config["aois"]["oslo"]["strips"]

    workplace.configure(change)
    args = ["--snakefile", REPO / "Snakefile", "-n", "--no-hooks"]
    done = command(workplace.folder, args, workplace.environment())
    notes = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 1, done.stderr
    assert "strips/oslo.tif" in notes[0] and "oslo (train) and lima (test)" in notes[0]


def test_boxes_that_only_touch_or_share_a_split_are_taken(workplace):
    for text in (two("test", "[10.8, 59.9, 10.9, 59.95]"), two("train")):
        (workplace.folder / "mine.yaml").write_text(text)
        args = ["--snakefile", REPO / "Snakefile", "-n", "--no-hooks", "--configfile", "mine.yaml"]
        done = command(workplace.folder, args, workplace.environment())
        assert done.returncode == 0, done.stderr


def test_an_unreachable_service_is_given_up_within_seconds(real_strips):
    """The service's port refuses connections; 16 tries would take many minutes."""
    args = ["results/oslo/photos.parquet", "--snakefile", REPO / "Snakefile", "--cores", 1]
    done = command(real_strips.folder, args, real_strips.environment())
    assert done.returncode in (0, 1), done.stderr
    assert "try 5" not in done.stderr
