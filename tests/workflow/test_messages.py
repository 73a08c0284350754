"""A job's message while it runs: a sentence for users, and its output."""

import re

import pytest

from witw import spec

pytestmark = pytest.mark.workflow

EXPORTS = ("export_folder", "export_webdataset", "export_hf")


@pytest.fixture(scope="module")
def plan(module_workplace):
    """Plan every job of the flow and of leave-one-out, without running it."""

    def name(config):
        config["aois"]["lima"] |= {"city": "Lima, Perú", "shards": 3}

    module_workplace.configure(name)
    done = module_workplace.snakemake("-n", "--no-hooks", "all", "leave_one_out", *EXPORTS)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("results/lima/photos.parquet", "Lima, Perú: listing the photos"),
        ("results/lima/ids/0000.parquet", "Lima, Perú: dividing the photos into 3 shards"),
        ("results/lima/photos/0000.parquet", "Lima, Perú: downloading shard 1 of 3"),
        ("results/lima/photos/0002.parquet", "Lima, Perú: downloading shard 3 of 3"),
        ("results/oslo/photos/0001.parquet", "Oslo: downloading shard 2 of 2"),
        (
            "results/bern/strips/bern_2.utm.tif",
            "Bern: reprojecting strip bern_2 (2 of 2) to UTM",
        ),
        ("results/pack/val/pictures.arrow", "Packing the val pairs"),
        ("results/model/trained.safetensors", "Training the network"),
        ("results/loo/lima/model.safetensors", "Without Lima, Perú: training the network"),
        ("results/loo/lima/index/oslo.safetensors", "Without Lima, Perú: indexing Oslo"),
    ],
)
def test_messages_name_city_shard_and_total(plan, output, sentence):
    block = rf"^Job \d+: {re.escape(sentence)}\n    rule: .*\n    output: (\S+)"
    assert output in re.findall(block, plan.stdout, re.M)


def test_every_rule_has_a_message(plan):
    told = {job.split(":")[0] for job in plan.jobs}
    stages = {re.sub(r"^loo_|_\d+$", "", rule) for rule in told}
    # Only a checkpoint given by address, weights from timm and a foreign model are fetched.
    assert stages == set(spec.STAGES) - {"weights", "backbone", "fetch_model"}
    # Without a message, Snakemake would print its own block, as it does for `all`.
    assert re.findall(r"^(?:local)?rule (\w+):$", plan.stdout, re.M) == ["all"]


def test_every_rule_is_listed_with_one_sentence(workplace):
    done = workplace.snakemake("--list-rules")
    assert done.returncode == 0, done.stderr
    told = dict(re.findall(r"^(\w+)(?: \((.*)\))?$", done.stdout, re.M))
    assert set(spec.STAGES) - {"shards"} | {"all", "shards_2"} <= set(told)
    strange = {r: t for r, t in told.items() if not re.fullmatch(r"[A-Z].*[^.]\.", t)}
    assert not strange
    assert not [rule for rule, sentence in told.items() if ". " in sentence]


def test_a_renamed_city_reruns_only_tables_that_show_its_name(finished):
    def name(config):
        config["aois"]["oslo"]["city"] = "Oslo"

    planned = finished.plan(name)
    assert not {job for job in planned if job.split(":")[0] in ("download", "scenes", "chips")}
