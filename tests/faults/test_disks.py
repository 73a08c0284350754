"""A disk that is full or read-only: one sentence, and a rerun ends right once that is mended."""

import pytest

# What the small city's outputs take is a few megabytes; where each of these ends lies in between.
SIZES = {"results": (40, 2200), "photos": (20, 400), "journal": (30, 90)}
ROOM = "size=256m"


@pytest.mark.parametrize("place", SIZES)
def test_a_full_disk(town, calm, mounts, rng, place):
    kilobytes = rng.randint(*SIZES[place])
    remount = mounts(town.folder / place, kilobytes)
    done = town.run()
    if done.returncode:
        done.assert_told(place)
    else:
        assert kilobytes > SIZES[place][1] / 2, "the disk is no longer a small one"
    remount(ROOM)
    town.finish()
    assert town.digest() == calm.digest()


@pytest.mark.parametrize("place", SIZES)
def test_a_read_only_folder(town, calm, mounts, place):
    remount = mounts(town.folder / place, 8000)
    remount("ro")
    done = town.run()
    done.assert_told(place)
    remount("rw")
    town.finish()
    assert town.digest() == calm.digest()


def test_a_disk_that_fills_up_at_the_last_stage(finished, calm, mounts):
    """What was whole stays whole: the table that does not fit is not begun."""
    folder = finished.folder / "results/alder/chips"
    kept = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.parquet")}
    remount = mounts(folder, 16)
    mark = folder / ".mounted"
    mark.touch()  # Snakemake removes an empty folder, and may not where a disk is mounted
    # Snakemake takes an output whose inputs are hidden for whole; its makers are asked for by name.
    done = finished.run("--forcerun", "chips")
    done.assert_told("chips")
    assert not list(folder.rglob("*.parquet"))
    remount(ROOM)
    mark.unlink()
    finished.finish("--forcerun", "chips")
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.parquet")} == kept
    assert finished.digest() == calm.digest()
