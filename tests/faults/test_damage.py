"""Truncated or bit-flipped inputs give an error sentence or the right bytes.

A truncation is always detected or harmless. So is a flipped bit in files with a checksum: tables,
JSON, VRTs, checkpoints, and photos and chips once they are in a table. In a strip, or in a photo
that `download` finds, a flipped bit may make another valid picture, which cannot be detected. The
stage then succeeds; it never ends in a traceback.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from made_town import AREA, PAIRS
from witw import tables

HERE = Path(__file__).parent
R = f"results/{AREA}"
PHOTO = "photo of the store"
CHIP = "chip of a photo"
# Stages that follow the pairs, as far as one area suffices.
JOINT = ["results/dataset/pairs.parquet", "results/pack/train/pictures.arrow"]
JOINT += ["results/report/report.html"]


def shard_tables(*names):
    return [f"{R}/{name}/0000.parquet" for name in names]


# Rule -> its wildcard in the folder's names, and which inputs are damaged.
CASES = {
    "shards_2": ("", [f"{R}/photos.parquet"]),
    "download": ("0000", [f"{R}/ids/0000.parquet", PHOTO]),
    "scenes": ("0000", [f"{R}/photos/0000.parquet", "models/checkpoint", PHOTO]),
    "stats": ("alder_west", ["world/strips/alder_west.tif"]),
    "stretch": ("", [f"{R}/strips/alder_west.stats.json"]),
    "rgb8": ("alder_west", [f"{R}/stretch.json", "world/strips/alder_west.tif"]),
    "utm": ("alder_west", [f"{R}/stretch.json", "world/strips/alder_west.tif"]),
    "mosaic": ("", [f"{R}/strips/alder_east.utm.tif"]),
    "chips": (
        "0000",
        [
            f"{R}/mosaic.vrt",
            f"{R}/strips/alder_east.utm.tif",
            *shard_tables("scenes", "ids", "photos"),
        ],
    ),
    "pairs": (
        "",
        [f"{R}/photos.parquet", *shard_tables("photos", "scenes", "chips")],
    ),
    "search": ("", [f"journal/{AREA}.sqlite"]),
    "dataset": ("", [f"{R}/pairs.parquet"]),
    "pack": ("train", ["results/dataset/pairs.parquet", PHOTO, CHIP]),
    "report": ("", [f"{R}/pairs.parquet", f"{R}/cells.parquet", f"{R}/search.json"]),
}
VRT = f"{R}/strips/alder_west.rgb8.vrt"  # for people; no stage wants it
# Files that record the SHA-256 of the pairs; the card's metadata records that of the first.
HASHING = {"provenance.json", "croissant.json"}
HOWS = ["cut"] * 3 + ["flip"] * 5


@pytest.fixture(scope="module")
def shop(calm, standin, tmp_path_factory):
    """Return a finished town whose files may be broken, an intact one, and each job's command."""
    intact = calm.copy(tmp_path_factory.mktemp("intact") / "run")
    intact.finish(targets=[*JOINT, VRT])
    town = intact.copy(tmp_path_factory.mktemp("shop") / "run")
    for path in [*town.folder.rglob("world/strips/*.tif"), *town.folder.glob("models/*")]:
        body = path.read_bytes()
        path.unlink()  # of the calm town, too
        path.write_bytes(body)
    done = town.run("--dry-run", "--forceall", "--printshellcmds", targets=[*JOINT, VRT])
    assert done.returncode == 0, done.text[-3000:]
    return town, intact, commands(done.text)


def commands(text):
    """Map rule and last output name to module and arguments."""
    found = {}
    for block in re.split(r"\n(?= {4}rule: )", text):
        rule = re.match(r" {4}rule: (\w+)", block)
        line = re.search(r"^Shell command: (python -m witw\..*)$", block, re.M)
        if rule and line:
            words = shlex.split(line[1])
            part = re.search(r"(?:shard|strip|split)=(\w+)", block)
            words = words[: words.index("2>")]
            found[rule[1], part[1] if part else ""] = words[2], words[3:]
    return found


def outputs(rule, argv):
    """Return the paths of the command's outputs."""
    options = {"shards_2": ["--ids"], "search": ["--photos", "--cells", "--summary"]}
    options["dataset"] = ["--pairs", "--funnel", "--licenses", "--credits", "--card", "--croissant"]
    options["dataset"] += ["--ids", "--provenance", "--example", "--photos", "--chips"]
    options |= {"pack": ["--pictures", "--table"], "report": ["--html"]}
    names = {"download": ["--table"], "scenes": ["--table"], "chips": ["--chips", "--table"]}
    last = {"stats": "--stats", "stretch": "--stretch", "rgb8": "--vrt", "utm": "--tif"}
    wanted = options.get(rule) or names.get(rule) or [last.get(rule, "")]
    if rule == "mosaic":
        wanted = ["--vrt"]
    if rule == "pairs":
        wanted = ["--pairs"]
    found, take = [], False
    for word in argv:
        if word.startswith("--"):
            take = word in wanted
        elif take:
            found.append(word)
    return found


def files(town, rule, names):
    """Return the files to damage; a photo of the store must belong to the shard."""
    out = []
    for name in names:
        if name == PHOTO:
            import pandas as pd

            table = pd.read_parquet(town.folder / R / "photos/0000.parquet")
            out.append(table.loc[table["status"] == "ok", "path"].iloc[0])
        elif name == CHIP:
            out.append(str(next((town.folder / R).rglob("*.jpg")).relative_to(town.folder)))
        elif name == "models/checkpoint":
            out.append(str(next(town.folder.glob("models/*")).relative_to(town.folder)))
        else:
            out.append(name)
    return out


@pytest.mark.parametrize("rule", CASES)
def test_damaged_inputs_are_reported_or_harmless(shop, seed, rule):
    town, intact, known = shop
    part, names = CASES[rule]
    module, argv = known[rule, part]
    made = outputs(rule, argv)
    if rule == "report":
        # The times in it are those of the run it ended, not of its inputs; this run does without
        # it.
        at = argv.index("--logs")
        argv = [*argv[:at], *argv[at + 2 :]]
        again = [sys.executable, "-m", module, *argv]
        subprocess.run(again, cwd=intact.folder, env=town.environment(), check=True)
    right = intact_digest(intact, made)
    task = {"module": module, "argv": argv, "outputs": made, "seed": seed, "hows": HOWS}
    task["inputs"] = files(town, rule, names)
    done = subprocess.run(
        [sys.executable, str(HERE / "damage_worker.py")],
        input=json.dumps(task), cwd=town.folder, env=town.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    runs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    restore(town, intact, made)
    assert len(runs) == len(HOWS) * len(task["inputs"]), done.stderr[-3000:]
    for run in runs:
        where = f"{run['file']}, {run['what']}"
        assert run["end"] != "broke", f"{where}\n{run['said']}"
        if run["end"] == "told":
            assert "\n" not in run["said"], where
            assert named(run["file"], run["said"]), f"{where}: {run['said']}"
            # No partial file is in the place of a result.
            assert not set(run["digest"]) - set(right), where
        elif is_found_out(rule, run) and not spoilt_photo(rule, run["file"]):
            assert without_input_hashes(run["digest"]) == without_input_hashes(right), where


def named(file, said):
    """Return whether a sentence names the file, its folder, or the name users know it by."""
    stem = Path(file).name.split(".")[0]
    return file in said or Path(file).name in said or stem in said or str(Path(file).parent) in said


def is_found_out(rule, run):
    sealed = Path(run["file"]).suffix in (".parquet", ".json", ".vrt", ".sqlite")
    known = rule == "pack" or run["file"].startswith("models/")
    return run["how"] == "cut" or sealed or known


def spoilt_photo(rule, file):
    """Return whether a photo fails to decode, which gives a row without scores, not an error."""
    return rule == "scenes" and file.startswith("photos/")


def without_input_hashes(digest):
    """Digests of the outputs but those that state the SHA-256 of the inputs: a bit of a table that
    no value depends on makes them another file."""
    return {name: value for name, value in digest.items() if Path(name).name not in HASHING}


def intact_digest(intact, made):
    sys.path.insert(0, str(HERE))
    import os

    import damage_worker

    before = Path.cwd()
    os.chdir(intact.folder)
    try:
        return damage_worker.digest([Path(path) for path in made])
    finally:
        os.chdir(before)


def restore(town, intact, made):
    """Restore the outputs, so that the next rule finds its inputs."""
    import shutil

    for name in made:
        source, target = intact.folder / name, town.folder / name
        if target.is_dir():
            shutil.rmtree(target)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


@pytest.mark.parametrize(
    "name",
    [
        f"{R}/photos.parquet",
        f"{R}/scenes/0001.parquet",
        f"{R}/strips/alder_west.stats.json",
        f"{R}/stretch.json",
        f"{R}/strips/alder_east.utm.tif",
        f"{R}/mosaic.vrt",
        f"journal/{AREA}.sqlite",
    ],
)
def test_the_advice_in_the_sentence_works(finished, calm, name, seed):
    """Truncate a file, run, delete the named file, run: the bytes equal those of a calm run.

    Intermediate files that are no longer needed are rebuilt on request, as `snakemake` without a
    target requests the chips.
    """
    path = finished.folder / name
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])
    force = ["-R", "search"] if name.startswith("journal") else []
    done = finished.run(*force)
    if done.returncode:
        done.assert_told(Path(name).name.split(".")[0])
        path.unlink()
        finished.finish()
    have, want = finished.digest(), calm.digest()
    assert PAIRS in have
    assert not [name for name, body in have.items() if want.get(name) != body]
    missing = {str(p.parent if p.suffix == ".jpg" else p) for p in map(Path, want.keys() - have)}
    assert not [name for name in missing if name.startswith("photos/")]
    if missing:
        finished.finish(targets=sorted(missing))
    assert finished.digest() == want


def test_a_photo_damaged_in_the_store_is_fetched_again(finished, calm, rng):
    paths = sorted((finished.folder / "photos").rglob("*.jpg"))
    for path in rng.sample(paths, 2):
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    finished.finish("-R", "download")
    assert finished.digest() == calm.digest()


def test_a_truncated_strip_is_reported_and_its_replacement_works(calm, tmp_path):
    town = calm.copy(tmp_path / "town")
    path = town.folder / f"world/strips/{AREA}_east.tif"
    body = path.read_bytes()
    path.unlink()
    path.write_bytes(body[: len(body) * 2 // 3])
    town.run().assert_told(f"{AREA}_east.tif")
    path.write_bytes(body)
    town.finish()
    assert town.digest() == calm.digest()


@pytest.mark.parametrize("kind", ["photo", "chip"])
def test_the_advice_for_a_changed_picture_works(finished, calm, kind, rng):
    """A flipped bit is detected before training by the digest in the table."""
    pairs = tables.read(finished.folder / PAIRS, "pairs")
    row = pairs[pairs["status"] == "paired"].sample(1, random_state=rng.randrange(99)).iloc[0]
    name = row[f"{kind}_path"]
    path = finished.folder / name
    body = bytearray(path.read_bytes())
    body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    path.write_bytes(body)
    done = finished.run(targets=JOINT[:2])
    done.assert_told(name, "is not the file that its table tells of")
    said = next(line for line in done.complaints if name in line)
    words, again = map(shlex.split, re.search(r"`snakemake (.*?)`, .* `(-R .*)`", said).groups())
    copy = f"results/dataset/{kind}s/{AREA}/"
    named = re.search(rf"({copy}\S+) cannot be read .*; delete it and (\S+), run", said).groups()
    assert named[1] == name
    for each in named:
        (finished.folder / each).unlink()
    finished.finish(*words[:-1], targets=words[-1:])
    finished.finish(*again, targets=JOINT[:2])
    have, want = finished.digest(), calm.digest()
    assert {name: have.get(name) for name in want} == want
