"""`witw diff`: reasons derived from Snakemake's knowledge of a job."""

import json

import pytest

from witw.commands import diff


def job(rule="chips", aoi="rio", **why):
    plain = {"missing": [], "incomplete": [], "updated": [], "after": [], "old": [], "new": []}
    flags = dict.fromkeys(("is_forced", "is_input_changed", "is_code_changed"), False)
    return plain | flags | {"rule": rule, "wildcards": {"aoi": aoi} if aoi else {}} | why


def spec(**keys):
    """Return a text as Snakemake records it: in quotes."""
    return [repr(json.dumps({"stage": "chips", "aoi": "rio"} | keys, sort_keys=True))]


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (
            {"old": spec(version=3, chips={"q": 95}), "new": spec(version=4, chips={"q": 80})},
            ["chips.q: 95 -> 80", "version of the stage: 3 -> 4"],
        ),
        (
            {"old": spec(name="d'Oro \\ x"), "new": spec(name="d'Oro")},
            ['name: "d\'Oro \\\\ x" -> "d\'Oro"'],
        ),
        (
            {"old": spec(version=3), "new": spec(version=3, extra=[1])},
            ["extra: (none) -> [1]"],
        ),
        ({"updated": ["a.tif", "b.tif", "c.tif"]}, ["newer input: a.tif, b.tif and 1 more"]),
        ({"is_input_changed": True}, ["another list of input files"]),
        ({"is_code_changed": True}, ["another command in the rule"]),
        ({"missing": ["x"], "after": ["loo_train", "shards_16"]}, ["after train, shards"]),
        ({"missing": ["x"]}, ["not made yet"]),
        ({"missing": ["x"], "incomplete": ["x"]}, ["was interrupted"]),
        ({"is_forced": True}, ["forced"]),
    ],
)
def test_each_reason_is_reported(why, told):
    assert diff.because(job(**why)) == told


def test_jobs_of_one_stage_and_one_reason_are_a_row_in_the_order_of_the_flow():
    jobs = [job("pairs", "rio", after=["chips"])]
    jobs += [job("chips", aoi, missing=["x"]) for aoi in ("rio", "rio", "oslo", "bern", "lima")]
    jobs += [job("dataset", "", after=["pairs"])]
    assert diff.rows(jobs) == [
        ("chips", 5, "rio, oslo, bern and 1 more", "not made yet"),
        ("pairs", 1, "rio", "after chips"),
        ("dataset", 1, "all", "after pairs"),
    ]
    assert diff.table(jobs).endswith("7 jobs would run.")
    assert diff.table([]) == "Nothing would run: everything is up to date."
