"""Snakemake's logger of witw: one screen instead of four lines a job.

Where witw is installed, Snakemake imports this before it reads its command line. It answers a
config file that does not exist, or a target behind `--configfile`, with a traceback or its whole
usage, long before it opens a Snakefile. Here the same command ends with one sentence. Nothing is
refused that Snakemake would have taken, so other workflows are not touched.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from snakemake_interface_logger_plugins.base import LogHandlerBase

from witw.errors import stop_on
from witw.mistakes import command_line

if TYPE_CHECKING:
    from witw.follow.follower import Follower


class LogHandler(LogHandlerBase):
    """Shows a run as one screen, or as few plain lines; keeps the record that `witw status` reads.

    Selected by ``logger: witw`` in profiles/default. Dry runs, ``--printshellcmds``, ``--verbose``
    and ``--debug-dag`` print as Snakemake does; its log file has everything in any case.
    """

    _follower: Follower | None = None

    def __post_init__(self) -> None:
        """Choose what is shown."""
        asked = self.common_settings
        self._is_shown = not (
            asked.dryrun or asked.printshellcmds or asked.verbose or asked.debug_dag
        )
        if not asked.dryrun:
            # Every snakemake command imports this module; a run alone needs rich.
            from witw.follow.follower import Follower

            is_quiet = any(
                str(word).rpartition(".")[2].lower() == "all" for word in asked.quiet or ()
            )
            self._follower = Follower(self._is_shown and not is_quiet)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; a fault of ours must not end the run."""
        try:
            if self._follower:
                self._follower.take(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """End the record of the run."""
        if self._follower:
            self._follower.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Whether Snakemake is to leave the terminal to this."""
        return self._is_shown

    @property
    def writes_to_file(self) -> bool:
        """No file in place of Snakemake's log."""
        return False

    @property
    def has_filter(self) -> bool:
        """All records are wanted."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Records are taken apart, not formatted."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """The plan comes from the Snakefile."""
        return False


stop_on(command_line.check_early, sys.argv)
