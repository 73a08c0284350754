"""Mistakes in Snakemake's command line that Snakemake answers with a traceback, or not at all.

Options of Snakemake that take several words take every word up to the next option: in
``--configfile mine.yaml results/paris/pairs.parquet`` the target is a second config file.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Sequence
from itertools import chain, pairwise
from pathlib import Path

from witw.errors import UserError
from witw.mistakes import yaml_files

CONFIG_FILES = ("--configfile", "--configfiles")
CONFIG = ("--config", "-C")
QUIET = ("--quiet", "-q")
QUIET_WORDS = frozenset({"all", "host", "none", "progress", "reason", "rules"})
# Options that take KEY=VALUE, any number of them.
PAIRS = (
    "--set-threads",
    "--set-resources",
    "--set-resource-scopes",
    "--set-scatter",
    "--resources",
    "--res",
    "--default-resources",
    "--default-res",
)
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
# With one of these no Snakefile is wanted, or it is named elsewhere.
WITHOUT_SNAKEFILE = (
    "-s",
    "--snakefile",
    "-h",
    "--help",
    "-v",
    "--version",
    "--profile",
    "--deploy-sources",
    "--mode",
)
RESULTS = "results/"
# Folders of results/ with a folder or file for each area.
PER_AREA = ("loo", "locate", "index")


def is_snakemake(program: str) -> bool:
    """Tell whether a process's ``argv[0]`` is Snakemake's command line."""
    path = Path(program)
    return path.stem == "snakemake" or (
        path.name == "__main__.py" and path.parent.name == "snakemake"
    )


def _all_words(argv: Sequence[str], names: Collection[str]) -> list[str]:
    return list(chain.from_iterable(words(argv, names)))


def words(argv: Sequence[str], names: Collection[str]) -> list[list[str]]:
    """Return the words that each use of an option takes, in the order of the command line."""
    found: list[list[str]] = []
    taking = False
    for word in argv:
        if word == "--":
            break
        name, sign, value = word.partition("=")
        if word.startswith("-") and len(word) > 1:
            taking = word in names
            if taking or (sign and name in names):
                found.append([value] if sign else [])
        elif taking:
            found[-1].append(word)
    return found


def check_early(argv: Sequence[str]) -> None:
    """Say what is wrong with a command line that Snakemake is bound to refuse; else nothing.

    Args:
        argv: of the process, its program first.

    Raises:
        UserError: one sentence.
    """
    if not argv or not is_snakemake(argv[0]):
        return
    options = argv[1:]
    _check_snakefile(options)
    for word in _all_words(options, QUIET):
        if word not in QUIET_WORDS:
            raise UserError(
                f"`--quiet` takes every word up to the next option, so {word} as well; put the "
                "target first, or write --quiet=rules."
            )
    for entry in _all_words(options, CONFIG):
        _check_entry(entry)
    for name in PAIRS:
        for word in _all_words(options, (name,)):
            if "=" not in word:
                raise UserError(
                    f"`{name}` takes every word up to the next option as NAME=VALUE, so {word} as "
                    "well; put the target first."
                )
    for number, file in enumerate(_all_words(options, CONFIG_FILES)):
        _check_config_file(file, number)


def _check_snakefile(options: Sequence[str]) -> None:
    named = any(word.startswith(WITHOUT_SNAKEFILE) for word in options)
    if named or "SNAKEMAKE_PROFILE" in os.environ or any(Path(p).exists() for p in SNAKEFILES):
        return
    own = Path(__file__).resolve().parents[3] / "Snakefile"
    where = own if own.is_file() else "PATH/Snakefile"
    raise UserError(
        f"{Path.cwd()} has no Snakefile; go to witw's folder and name the run folder with "
        f"--directory, or stay here and name witw's with `-s {where}`."
    )


def _check_entry(entry: str) -> None:
    key, sign, value = entry.partition("=")
    if not sign:
        file = entry.endswith((".yaml", ".yml", ".json"))
        advice = "a file is named by --configfile" if file else "put the target first"
        raise UserError(
            f"`--config` takes every word up to the next option as KEY=VALUE, so {entry} as well; "
            f"{advice}."
        )
    if not re.match(r"[a-zA-Z_][\w-]*\w$", key):
        *outer, last = key.split(".")
        nested = f"{{{last}: {value}}}"
        for name in reversed(outer[1:]):
            nested = f"{{{name}: {nested}}}"
        advice = f"write --config '{outer[0]}={nested}', or" if outer and outer[0] else "please"
        raise UserError(
            f"`--config {entry}`: {key} is not the name of a key at the top of the config; "
            f"{advice} change the config file."
        )


def _check_config_file(file: str, number: int) -> None:
    try:
        yaml_files.read(Path(file), strict=False)
    except UserError as error:
        if number == 0 or file.endswith((".yaml", ".yml", ".json")):
            raise
        raise UserError(
            f"`--configfile` takes every word up to the next option, so {file} as well, which is "
            "no config file; put the target first, or write --configfile=FILE."
        ) from error


def check_files(argv: Sequence[str]) -> None:
    """Say which config files Snakemake takes, or drops, that its user cannot have meant.

    Args:
        argv: of the process, its program first; anything but Snakemake's is not looked at.

    Raises:
        UserError: one sentence.
    """
    if not argv or not is_snakemake(argv[0]):
        return
    given = words(argv[1:], CONFIG_FILES)
    files = list(chain.from_iterable(given))
    if len(given) > 1:
        raise UserError(
            "`--configfile` is there twice, and Snakemake would read only the last; to lay one "
            f"file over the other write --configfile {' '.join(files)}."
        )
    for file in files:
        if file.removeprefix("./").startswith(RESULTS):
            raise UserError(
                f"`--configfile` takes every word up to the next option, so {file} as well; put "
                "the target first, or write --configfile=FILE."
            )


def check_targets(
    argv: Sequence[str], aois: Collection[str], others: Collection[str], rules: Collection[str]
) -> None:
    """Say which target names an area that the config does not have.

    Args:
        argv: of the process, its program first; anything but Snakemake's is not looked at.
        aois: names of the config's areas.
        others: folders of ``results/`` that are no area.
        rules: names that are targets, also where an area has the same name.

    Raises:
        UserError: one sentence.
    """
    if not argv or not is_snakemake(argv[0]):
        return
    for before, word in pairwise(argv):
        _check_area(word, aois, others)
        if before == "--" or not before.startswith("-"):
            _check_result(word, aois, rules)


def _check_result(word: str, aois: Collection[str], rules: Collection[str]) -> None:
    """Check that a word, no option's value, names neither an area nor a result by its root."""
    name = word.removeprefix("./").removeprefix(RESULTS).strip("/")
    if name in aois and name not in rules:
        raise UserError(
            f"Target {word} is an area, and a target is a file: name one of its results, such as "
            f"{RESULTS}{name}/pairs.parquet."
        )
    here = f"{Path.cwd()}/{RESULTS}"
    if word.startswith(here):
        raise UserError(
            f"Target {word}: Snakemake knows results by their paths in the run folder; write "
            f"{RESULTS}{word.removeprefix(here)}."
        )


def _check_area(word: str, aois: Collection[str], others: Collection[str]) -> None:
    """Check that a target below ``results/`` begins with an area or a joint stage."""
    top, *rest = word.removeprefix("./").split("/")
    if top != "results" or len(rest) < 2 or Path(word).exists():
        return
    name = rest[0]
    if name in PER_AREA:
        name = rest[1].split(".")[0]
        if name == "table":  # of all folds
            return
    elif name in others:
        return
    if name in aois:
        return
    near = difflib.get_close_matches(name, aois, n=1)
    hint = f"did you mean {near[0]}?" if near else f"its areas are {', '.join(aois)}."
    raise UserError(f"Target {word}: the config has no area {name!r}; {hint}")
