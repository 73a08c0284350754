# File names and specs of jobs. The logic is in src/witw.
import re
import sys
from functools import cache
from pathlib import Path

from witw import environment, paths, preflight, spec as spec_module
from witw.commands import diff
from witw.config import RESERVED, load as load_config
from witw.cvig.folds import folds
from witw.cvig.training import nodes
from witw.errors import stop_on
from witw.follow import events as follow
from witw.imagery.choice import Choice, has_stac
from witw.mistakes import command_line

environment.load()
CONFIG = stop_on(load_config, config, preflight.config_name(workflow))
environment.announce(CONFIG)
stop_on(command_line.check_targets, sys.argv, CONFIG.aois, RESERVED, spec_module.STAGES)

for variable in environment.secrets():

    envvars:
        variable,


RESULTS = "results"
TOLD = []
# The network: the one that the config names, or the one that this run trains.
GIVEN = stop_on(paths.model_file, CONFIG)
NETWORK = GIVEN or f"{RESULTS}/model/trained.safetensors"
FOLDS = folds({name: area.city for name, area in CONFIG.aois.items()})


@cache
def choice():
    """The place of each strip. A plan writes nothing; jobs read the choice of their run."""
    return Choice(
        CONFIG, is_kept=workflow.executor_plugin is not None and not workflow.dryrun
    )


def imagery():
    """The config with one place for each strip; looks up places that are not recorded yet."""
    return stop_on(getattr, choice(), "config")


def strip_names(aoi):
    """Names of an area's strips, in config order."""
    config = imagery() if has_stac(CONFIG, aoi) else CONFIG
    return [strip.name for strip in config.aois[aoi].strips]


@cache
def spec(stage, aoi=None, part=None):
    names_strips = stage in ("mosaic", "chips") and has_stac(CONFIG, aoi)
    is_settled = stage in ("stats", "rgb8", "utm", "dataset") or names_strips
    config = imagery() if is_settled else CONFIG
    return stop_on(spec_module.build, config, stage, aoi, part)


class Spec(str):
    """A job's spec that also names area, shard, strip and fold for the rule's message.

    Snakemake records and compares only the string, so these names rerun nothing.
    """

    area = fold = shard = shards = strip = ""

    def __new__(cls, text, wildcards):
        self = super().__new__(cls, text)
        if "fold" in wildcards.keys():
            self.fold = CONFIG.aois[wildcards.fold].city
        if "aoi" in wildcards.keys():
            self.area = CONFIG.aois[wildcards.aoi].city
            self.shards = CONFIG.aois[wildcards.aoi].shards
        if "shard" in wildcards.keys():
            self.shard = f"shard {int(wildcards.shard) + 1} of {self.shards}"
        if "strip" in wildcards.keys():
            names = strip_names(wildcards.aoi)
            number = names.index(wildcards.strip) + 1
            self.strip = f"strip {wildcards.strip} ({number} of {len(names)})"
        return self


def spec_of(stage):
    """The `spec` param of a rule: the config keys that the stage reads, for a job's wildcards."""

    def params(wildcards):
        part = wildcards.get("strip") or wildcards.get("file")
        return Spec(spec(stage, wildcards.get("aoi"), part), wildcards)

    return params


def says(text):
    """A rule's message: a sentence for people, then the job's rule, wildcards and output.

    Snakemake prints a message in place of rule and outputs, and a plan should list both.
    """
    return f"{text}\n    rule: {{rule}} {{wildcards}}\n    output: {{output}}"


def growing(mem_mb):
    """Memory of a job [MB]: `mem_mb` times the attempt.

    Only profiles with `retries` repeat a job. A job that ran out of memory needs more of it.
    """

    def memory(wildcards, attempt):
        return attempt * mem_mb

    return memory


def training(rule):
    """Resources of a training: those of one node, but `gpu` counts the GPUs of all `nodes`.

    A profile or --set-resources asks for more than one node.
    """
    asked = workflow.resource_settings.overwrite_resources.get(rule, {})
    texts = {name: value.raw for name, value in asked.items()}
    over_nodes = stop_on(nodes.resources, rule, texts, CONFIG.train.batch)
    # The profile's limit, for one machine with one GPU, would also cut what this job gets.
    limit, gpus = workflow.global_resources.get("gpu").value, str(texts.get("gpu", 1))
    if limit is not None and gpus.isdecimal() and int(gpus) > limit:
        workflow.register_resource("gpu", int(gpus))
    return {"gpu": 1, "mem_mb": growing(24000), "runtime": 2880} | over_nodes


def shards(pattern):
    """Input function: one file per shard of the AOI."""

    def files(wildcards):
        count = CONFIG.aois[wildcards.aoi].shards
        return [
            pattern.format(aoi=wildcards.aoi, shard=f"{n:04d}") for n in range(count)
        ]

    return files


def strips(pattern):
    """Input function: one file per strip of the AOI, in config order."""

    def files(wildcards):
        names = strip_names(wildcards.aoi)
        return [pattern.format(aoi=wildcards.aoi, strip=name) for name in names]

    return files


def strip_source(wildcards):
    """Input function: the local files of a strip; a changed file reruns the strip."""
    return stop_on(paths.strip_files, imagery(), wildcards.aoi, wildcards.strip)


def photo_source(wildcards):
    """Input function: the local files of the photo sources; a changed file reruns the search."""
    return stop_on(paths.photo_files, CONFIG, wildcards.aoi)


def excluded_photos(wildcards):
    """Input function: the list of photos to leave out; a changed list reruns the pairs."""
    return stop_on(paths.exclusion_file, CONFIG, wildcards.aoi)


def edge_of_imagery(wildcards):
    """Input function: the mosaic and its strips, if `min_edge_m` needs their edge."""
    if not CONFIG.aois[wildcards.aoi].pairs.min_edge_m:
        return []
    pattern = f"{RESULTS}/{{aoi}}/strips/{{strip}}.utm.tif"
    return [f"{RESULTS}/{wildcards.aoi}/mosaic.vrt", *strips(pattern)(wildcards)]


def sparse_photos(wildcards):
    """Input function: with `extent: photos`, the table of photos whose chips are needed."""
    if CONFIG.aois[wildcards.aoi].extent == "all":
        return []
    return f"{RESULTS}/{wildcards.aoi}/photos.parquet"


def checkpoint_source(wildcards):
    """Input function: the AOI's Places365 checkpoint."""
    return stop_on(paths.checkpoint_file, CONFIG, wildcards.aoi)


def checkpoints(wildcards):
    """Input function: the Places365 checkpoints of all areas, without duplicates."""
    return sorted(
        {stop_on(paths.checkpoint_file, CONFIG, name) for name in CONFIG.aois}
    )


def backbone_source(wildcards):
    """Input function: the initial weights of the training, if any."""
    return stop_on(paths.backbone_file, CONFIG)


def per_aoi(pattern, *splits):
    """One file per AOI, for all or for the named splits."""
    return [
        pattern.format(aoi=name)
        for name, area in CONFIG.aois.items()
        if not splits or area.split in splits
    ]


def fold_cells(wildcards):
    """Input function: the index of each validation and test area of a fold."""
    fold = FOLDS[wildcards.fold]
    return [
        f"{RESULTS}/loo/{wildcards.fold}/index/{aoi}.safetensors"
        for aoi in (*fold.val, *fold.test)
    ]


def fold_pairs(wildcards):
    """Input function: the pairs of a fold's test areas."""
    return [f"{RESULTS}/{aoi}/pairs.parquet" for aoi in FOLDS[wildcards.fold].test]


def can_train():
    """Whether there are areas to train on, to choose the epoch on, and to test on."""
    return not GIVEN and {area.split for area in CONFIG.aois.values()} == {
        "train",
        "val",
        "test",
    }


def targets(wildcards):
    """Input function of `all`: the targets of a run without targets."""
    tell_notes()
    if GIVEN:
        return given_targets()
    files = [
        f"{RESULTS}/dataset/pairs.parquet",
        f"{RESULTS}/report/report.html",
        # Explicit: if the pairs exist, Snakemake does not notice chips that a failed run removed.
        *(
            f"{RESULTS}/{name}/chips/{n:04d}"
            for name, area in CONFIG.aois.items()
            for n in range(area.shards)
        ),
        # For users of a GIS: no stage reads these files.
        *(
            f"{RESULTS}/{name}/strips/{strip}.rgb8.vrt"
            for name in CONFIG.aois
            for strip in strip_names(name)
        ),
    ]
    if can_train():
        files.append(f"{RESULTS}/model/witw.safetensors")
        files += per_aoi(f"{RESULTS}/locate/{{aoi}}/heatmap.png", "test")
    return files


def given_targets():
    """The targets of a run with a network that the config names."""
    return [
        *per_aoi(f"{RESULTS}/index/{{aoi}}.safetensors"),
        *(
            f"{RESULTS}/{name}/strips/{strip.name}.rgb8.vrt"
            for name, area in CONFIG.aois.items()
            for strip in area.strips
        ),
    ]


def tell_notes(again=False):
    """Print the notes for a run of everything: once when planned, and again at its end."""
    if again or not TOLD:
        TOLD[:] = preflight.notes(CONFIG)
        for note in TOLD:
            print(f"Note: {note}", file=sys.stderr)


def tell_training(jobs):
    """Print the expected cost of a planned training, and advice."""
    if not {"train", "loo_train"} & {name for name, _ in jobs}:
        return
    # Imported here because it imports pandas, and every job of a cluster reads this file.
    from witw.commands import forecast

    for text in stop_on(forecast.sentences, CONFIG, workflow.local_exec):
        print(text, file=sys.stderr)


def report_inputs():
    trained = can_train()
    return {
        "pairs": per_aoi(f"{RESULTS}/{{aoi}}/pairs.parquet"),
        "cells": per_aoi(f"{RESULTS}/{{aoi}}/cells.parquet"),
        "searches": per_aoi(f"{RESULTS}/{{aoi}}/search.json"),
        "mosaics": per_aoi(f"{RESULTS}/{{aoi}}/mosaic.vrt"),
        "training": f"{RESULTS}/model/metrics.jsonl" if trained else [],
        "evaluation": f"{RESULTS}/evaluation/metrics.json" if trained else [],
        "heatmaps": [
            file
            for name in ("best", "heatmap", "worst")
            for file in per_aoi(f"{RESULTS}/locate/{{aoi}}/{name}.png", "test")
            if trained
        ],
    }


def jobs_to_run():
    """Rule and wildcards of every job of this run, after planning."""
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    return [(job.rule.name, dict(job.wildcards_dict)) for job in jobs]


def planned_jobs():
    """Rule, wildcards and need to run of every job, for the record of the run."""
    needed = set(workflow.dag.needrun_jobs(exclude_finished=False))
    return [
        (job.rule.name, dict(job.wildcards_dict), job in needed)
        for job in workflow.dag.jobs
    ]


def check_dry_run():
    """Check the strips also after a dry run, in which Snakemake calls no hooks."""
    told = workflow.log_provenance_info

    def tell():
        told()
        if not workflow.execution_settings.no_hooks:
            for note in stop_on(preflight.check_dry, choice(), jobs_to_run()):
                print(f"Note: {note}", file=sys.stderr)
            tell_training(jobs_to_run())
        diff.hand_over(workflow)

    # Called at the end of a dry run, and only there.
    workflow.log_provenance_info = tell
