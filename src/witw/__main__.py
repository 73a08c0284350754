"""The command ``witw``: plan, forget, snakefile."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from witw import __version__, stage
from witw.commands import forget, plan, snakefile
from witw.errors import UserError


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="witw", description="witw beside its workflow; the workflow itself is `snakemake`."
    )
    parser.add_argument("--version", action="version", version=f"witw {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module, help_text in (
        ("plan", plan, "before a run: photos, API calls, hours and gigabytes to expect"),
        ("forget", forget, "remove photos, or an owner's, and never fetch them again"),
        ("snakefile", snakefile, "print where the workflow lies, for `snakemake -s`"),
    ):
        command = commands.add_parser(name, help=help_text, description=module.__doc__)
        command.add_argument(
            "--directory", type=Path, default=Path(), help="the run folder; default: this one"
        )
        module.arguments(command)
        command.set_defaults(command=module.command)
    return parser.parse_args(argv)


def run(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and do as it says.

    Raises:
        UserError: a mistake of the user's.
    """
    args = _parse(argv)
    if getattr(args, "configfile", None):
        # As for snakemake: relative to where one stands, not to the run folder.
        args.configfile = args.configfile.absolute()
    try:
        os.chdir(args.directory)
    except OSError as error:
        raise UserError(f"--directory {args.directory}: {error.strerror}.") from None
    args.command(args)


def main() -> None:
    """Entry point of the command `witw`."""
    stage.execute(run)


if __name__ == "__main__":
    main()
