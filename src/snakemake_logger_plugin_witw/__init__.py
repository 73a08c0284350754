"""Snakemake imports this before it reads its command line, where witw is installed.

Snakemake answers a config file that does not exist, or a target behind `--configfile`, with a
traceback or its whole usage, long before it opens a Snakefile. Here the same command ends with one
sentence. Nothing is refused that Snakemake would have taken, so other workflows are not touched.
"""

from __future__ import annotations

import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase

from witw.errors import stop_on
from witw.mistakes import command_line


class LogHandler(LogHandlerBase):
    """Never used; Snakemake asks each of its plugins for one."""


stop_on(command_line.check_early, sys.argv)
