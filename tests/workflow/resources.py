"""Run ``snakemake`` and also print the resources of every job, which a rule's message hides."""

import sys

import snakemake.cli
from snakemake.logging import logger


def show(record):
    if getattr(record, "resources", None):
        print("RESOURCES", record.rule_name, dict(record.resources.items()), flush=True)
    return True


logger.addFilter(show)
snakemake.cli.main(sys.argv[1:])
