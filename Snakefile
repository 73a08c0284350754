# From a list of cities to a trained photo-to-satellite geolocalizer.
#   snakemake --cores 16                               everything in config.yaml
#   snakemake --cores 16 results/paris/pairs.parquet   one area
from snakemake.utils import min_version

from witw import preflight
from witw.errors import stop_on

min_version("9.27")
stop_on(preflight.read_command, workflow)


# With --configfile, do not read config.yaml: merging would add its eleven areas.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


# `snakemake --lint` requires a container; it is never used, because --sdm apptainer is refused.
container: "docker://condaforge/miniforge3:latest"


include: "rules/common.smk"
include: "rules/search.smk"
include: "rules/download.smk"
include: "rules/imagery.smk"
include: "rules/weights.smk"
include: "rules/scenes.smk"
include: "rules/chips.smk"
include: "rules/dataset.smk"
include: "rules/export.smk"
include: "rules/train.smk"
include: "rules/locate.smk"
include: "rules/loo.smk"
include: "rules/report.smk"


report: "rules/captions/workflow.rst"


wildcard_constraints:
    aoi="|".join(CONFIG.aois),
    shard=r"\d{4}",
    strip=r"[a-z0-9_]+",
    split="train|val|test",


localrules:
    all,
    weights,


onstart:
    stop_on(preflight.claim, Path.cwd())
    follow.set_plan(planned_jobs())
    if not workflow.touch:
        stop_on(preflight.check, choice(), CONFIG, jobs_to_run())
        tell_training(jobs_to_run())


onsuccess:
    preflight.tidy(Path(RESULTS))
    if TOLD:
        tell_notes(again=True)


check_dry_run()


rule all:
    """Make everything: pairs of every area, the model, its scores, heat maps, the report."""
    default_target: True
    input:
        targets,
