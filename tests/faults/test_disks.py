"""A full or read-only disk gives one sentence, and a rerun succeeds once the disk is repaired."""

import pytest

# The small city's outputs take a few megabytes; each of these sizes runs out at some point.
SIZES = {"results": (40, 2200), "photos": (20, 400), "journal": (30, 90)}
ROOM = "size=256m"


@pytest.mark.parametrize("place", SIZES)
def test_a_full_disk_gives_one_sentence(town, calm, mounts, rng, place):
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
def test_a_read_only_folder_gives_one_sentence(town, calm, mounts, place):
    remount = mounts(town.folder / place, 8000)
    remount("ro")
    done = town.run()
    done.assert_told(place)
    remount("rw")
    town.finish()
    assert town.digest() == calm.digest()


def test_a_disk_may_fill_up_at_the_last_stage(finished, calm, mounts):
    """Complete files stay complete, and the table that does not fit is not started."""
    folder = finished.folder / "results/alder/chips"
    kept = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.parquet")}
    remount = mounts(folder, 16)
    mark = folder / ".mounted"
    mark.touch()  # Snakemake removes empty folders, which fails on a mount point
    # Snakemake considers an output complete if its inputs are hidden, so its rules are requested by
    # name.
    done = finished.run("--forcerun", "chips")
    done.assert_told("chips")
    assert not list(folder.rglob("*.parquet"))
    remount(ROOM)
    mark.unlink()
    finished.finish("--forcerun", "chips")
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.parquet")} == kept
    assert finished.digest() == calm.digest()
