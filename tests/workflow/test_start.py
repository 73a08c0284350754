"""The start of a run: its config and profile, and the errors that stop it in one sentence."""

import fcntl
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
pytestmark = pytest.mark.workflow


def unknown_key(config):
    config["aois"]["oslo"]["chips"] = {"jpg_quality": 80}


def unknown_default(config):
    config["defaults"]["chips"] = {"size": 750}


def missing_strip(config):
    config["aois"]["bern"]["strips"][1] = "strips/bern_3.tif"


def crossed_box(config):
    config["aois"]["lima"]["bbox_deg"] = [-77.0, -12.1, -77.1, -12.0]


def missing_checkpoint(config):
    config["aois"]["oslo"]["scenes"] = {"checkpoint": "absent.pth.tar"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (unknown_key, ["'oslo'", "`chips.jpg_quality`", "`jpeg_quality`"]),
        (unknown_default, ["config.yaml", "`defaults.chips.size`", "`size_px`"]),
        (missing_strip, ["'bern'", "strips/bern_3.tif", "aois.bern.strips"]),
        (crossed_box, ["'lima'", "`bbox_deg`", "west -77.0", "east -77.1"]),
        (missing_checkpoint, ["'oslo'", "scenes.checkpoint", "absent.pth.tar"]),
    ],
)
def test_a_mistake_stops_the_run_with_one_sentence(workplace, change, words):
    workplace.configure(change)
    assert_stopped(workplace.snakemake("--cores", 1), words)
    assert not (workplace.folder / "results").exists()


def test_a_missing_api_key_stops_before_the_first_job_and_leaves_no_lock(workplace):
    words = ["FLICKR_API_KEY is not set", "https://www.flickr.com/services/", ".env"]
    for _ in range(2):
        done = workplace.snakemake("--cores", 1, "results/oslo/photos.parquet", key=None)
        assert_stopped(done, words)
    assert not (workplace.folder / "results").exists()
    assert not list((workplace.folder / ".snakemake").glob("locks/*.lock"))


def test_a_second_run_in_the_folder_of_another_is_refused(workplace):
    """Tested with the lock only; tests/faults starts two runs."""
    lock = workplace.folder / ".snakemake" / "witw.lock"
    lock.parent.mkdir()
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        words = ["Another run is active", str(workplace.folder)]
        assert_stopped(workplace.snakemake("--cores", 1), words)
    assert not (workplace.folder / "results").exists()


@pytest.mark.parametrize(
    ("path", "word"),
    [("strips/oslo.tif", "not recognized"), ("http://127.0.0.1:9/x.tif", "cannot be reached")],
)
def test_an_unreadable_strip_stops_before_the_first_job(workplace, path, word):
    def strip(config):
        config["aois"]["oslo"]["strips"] = [{"path": path, "name": "oslo"}]

    workplace.configure(strip)
    done = workplace.snakemake("--cores", 1, "results/oslo/strips/oslo.stats.json")
    assert done.returncode == 1
    assert len(done.complaints) == 1, done.stderr
    sentence = done.complaints[0]
    assert f"Area 'oslo': strip file {path} cannot be read: " in sentence and word in sentence
    assert "Traceback" not in done.stderr
    assert not (workplace.folder / "results").exists()


def assert_stopped(done, words):
    assert done.returncode == 1
    assert len(done.complaints) == 1, done.stderr
    assert done.stderr.rstrip().endswith(done.complaints[0]), done.stderr
    assert not [word for word in words if word not in done.complaints[0]], done.complaints
    assert "Traceback" not in done.stderr
    assert done.jobs == set()


def test_the_key_may_be_in_a_dotenv_file(workplace):
    (workplace.folder / ".env").write_text("FLICKR_API_KEY=top-secret\n")
    done = workplace.snakemake("--cores", 1, "results/oslo/photos.parquet", key=None)
    assert done.returncode == 0, done.stderr
    assert "key: present" in (workplace.folder / "logs/oslo/search.log").read_text()
    assert "top-secret" not in done.stdout + done.stderr


def test_a_configfile_replaces_config_yaml(workplace):
    def rename(config):
        config["aois"] = {"riga": config["aois"]["oslo"]}

    other = workplace.configure(rename, "other.yaml")
    done = workplace.snakemake("-n", "--no-hooks", "--configfile", other)
    assert {job.split(":")[1] for job in done.jobs if ":" in job} == {"riga"}


def test_a_run_folder_elsewhere_has_its_own_config_and_finds_the_default_profile(
    workplace, tmp_path_factory
):
    def rename(config):
        config["aois"] = {"riga": config["aois"]["oslo"]}

    other = workplace.configure(rename, "other.yaml")
    # In the repository nothing names the Snakefile, yet it is found, and so is the profile.
    done = workplace.snakemake(
        "-n",
        "--no-hooks",
        "--directory",
        workplace.folder,
        "--configfile",
        other,
        cwd=REPO,
        snakefile=False,
    )
    assert done.returncode == 0, done.stderr
    assert {job.split(":")[1] for job in done.jobs if ":" in job} == {"riga"}
    assert "profiles/default" in done.stderr

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = workplace.snakemake("-n", "--no-hooks", "--directory", workplace.folder, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "search:oslo" in done.jobs
    assert "profiles/default" in done.stderr
    assert not list(elsewhere.iterdir())


def test_jobs_run_in_snakemakes_environment_though_it_is_not_activated(workplace):
    (workplace.bin / "python").unlink()
    system = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    # The stage itself, stopped by its first look at a strip that is an empty file.
    target = "results/oslo/strips/oslo.stats.json"
    done = workplace.snakemake("--cores", 1, "--no-hooks", target, env=system)
    assert done.returncode == 1
    log = (workplace.folder / "logs/oslo/stats/oslo.log").read_text()
    assert "witw: Area 'oslo'" in log
