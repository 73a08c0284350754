"""The command ``witw``: plan, diff, status, locate, push-model, push-dataset, forget, snakefile."""

from __future__ import annotations

import argparse
import importlib
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from witw import __version__, stage
from witw.errors import UserError

# Each command is a module of witw.commands. Only the called one is imported: `plan` takes a second.
COMMANDS = {
    "plan": "before a run: photos, API calls, hours and gigabytes to expect",
    "diff": "before a run: the jobs that would run, and why",
    "status": "during and after a run: finished, running and failed jobs, time left",
    "locate": "locate photos, from satellite imagery alone",
    "push-model": "share a model, with its card, in a Hugging Face repository",
    "push-dataset": "copy the data set or an export to a bucket (s3://, gs://, az://)",
    "forget": "delete photos, or all photos of an owner, and never fetch them again",
    "snakefile": "print the path of the Snakefile, for `snakemake -s`",
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="witw", description="Commands of witw. `snakemake` runs the workflow itself."
    )
    parser.add_argument("--version", action="version", version=f"witw {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    given = sys.argv[1:] if argv is None else argv
    called = next((word for word in given if word in COMMANDS), None)
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, allow_abbrev=False)
        command.add_argument(
            "--directory", type=Path, default=Path(), help="the run folder; default: this folder"
        )
        if name == called:
            module = importlib.import_module(f"witw.commands.{name.replace('-', '_')}")
            command.description = module.__doc__
            module.arguments(command)
            command.set_defaults(command=module.command, paths=getattr(module, "PATHS", ()))
    if called != "diff":
        return parser.parse_args(argv)
    args, options = parser.parse_known_args(argv)
    args.options = options  # snakemake's, in their order
    return args


def run(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run the command.

    Raises:
        UserError: the user made a mistake.
    """
    args = _parse(argv)
    for name in ("configfile", *getattr(args, "paths", ())):
        # As in snakemake, paths are relative to the current folder, not to the run folder.
        given = getattr(args, name, None)
        if isinstance(given, list):
            setattr(args, name, [path.absolute() for path in given])
        elif isinstance(given, Path):
            setattr(args, name, given.absolute())
    try:
        os.chdir(args.directory)
    except OSError as error:
        raise UserError(f"--directory {args.directory}: {error.strerror}.") from None
    args.command(args)


def main() -> None:
    """Entry point of the command `witw`."""
    with _read_or_silent():
        stage.execute(run)


@contextmanager
def _read_or_silent() -> Iterator[None]:
    """End without a word when nobody reads the output any more, as in `witw diff | head`."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
        if not unread:  # a connection broke
            raise
        # The interpreter flushes both at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in unread:
            os.dup2(nowhere, stream.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _is_unread(stream: TextIO | None) -> bool:
    """Return whether a stream is a pipe whose reader has gone."""
    if stream is None:
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


if __name__ == "__main__":
    main()
