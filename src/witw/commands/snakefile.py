"""Print the path of the Snakefile, for ``snakemake -s "$(witw snakefile)"``.

An installed wheel has the Snakefile, its rules, profiles and configs in ``witw/workflow/``. A
clone, including an editable install, uses its own files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from witw.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def snakefile(package: Path = PACKAGE) -> Path:
    """Return the path of the workflow's Snakefile.

    Args:
        package: folder of the package ``witw``.

    Raises:
        UserError: the package was installed without the workflow.
    """
    for path in (package / "workflow" / "Snakefile", package.parents[1] / "Snakefile"):
        if path.is_file():
            return path
    raise UserError(
        f"{package} contains no workflow: install witw from its wheel or from a clone "
        "(`pip install .`), or run `snakemake` in a clone."
    )


def arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def command(_args: argparse.Namespace) -> None:
    """Run ``witw snakefile``."""
    print(snakefile())  # noqa: T201
