"""Copy the data set or an export to a bucket: s3://, gs://, az:// or file://.

Uploads the files that differ and deletes those that no longer exist, but only objects that an
earlier push put there. Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, ...).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from witw.dataset.push import address, record
from witw.dataset.push.folder import kind, scan
from witw.dataset.push.local import local_folder
from witw.dataset.push.push import Copy, Plan, Push, remove
from witw.errors import UserError

PATHS = ("folder",)
DATASET = Path("results/dataset")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("url", metavar="URL", help="such as s3://BUCKET/PREFIX")
    parser.add_argument(
        "--from", type=Path, dest="folder", metavar="FOLDER",
        help=f"the data set or an export, such as results/export/hf; default: {DATASET}",
    )  # fmt: skip
    parser.add_argument("--dry-run", "-n", action="store_true", help="only print what would change")
    parser.add_argument("--delete", action="store_true", help="delete the copy at URL")


def command(args: argparse.Namespace) -> None:
    """Run ``witw push-dataset``."""
    url = address.parse(args.url)
    print(_delete(url, args.dry_run) if args.delete else _push(url, args))  # noqa: T201


def _push(url: str, args: argparse.Namespace) -> str:
    folder = _relative(args.folder or DATASET)
    source = kind(folder)
    target = local_folder(url)
    if target and target.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{url} lies inside {folder}; choose another folder.")
    copy = Copy.read(url)
    local = scan(folder)
    plan = copy.plan(source, local)
    if args.dry_run:
        return f"Would push to {url}: {_told(plan)}."
    # Even an interrupted push may leave photos there.
    is_noted = _note(url, str(folder))
    if not plan.is_current:
        Push(folder, copy, source, local).run(plan)
    lines = [f"Pushed to {url}: {_told(plan)}, {len(local):,} files in all."]
    if source == "dataset" and not (folder / "README.md").is_file():
        lines.append(
            f"{folder} has no data card, because `witw forget` deleted it: run `snakemake` and "
            "push again."
        )
    if not is_noted:
        lines.append(
            "`witw forget` will not name this copy, because this is not the run folder; to change "
            "that, push from there."
        )
    return "\n".join(lines)


def _delete(url: str, dry_run: bool) -> str:
    copy = Copy.read(url)
    if dry_run:
        return f"Would delete {len(copy.entries):,} files at {url}."
    count = remove(copy)
    _note(url, None)
    return f"Deleted {count:,} files at {url}."


def _note(url: str, folder: str | None) -> bool:
    """Record the copy, unless this is not a run folder; return whether this is one."""
    # Not by its photos/, which a data set has too.
    is_run = DATASET.parent.is_dir() or record.PATH.is_file()
    if is_run:
        record.note(url, folder)
    return is_run


def _relative(folder: Path) -> Path:
    """Return a folder relative to the run folder, if it lies there."""
    is_own = folder.is_absolute() and folder.is_relative_to(Path.cwd())
    return folder.relative_to(Path.cwd()) if is_own else folder


def _told(plan: Plan) -> str:
    megabytes = f"{plan.bytes / 1e6:,.1f} MB"
    return f"{len(plan.upload):,} files uploaded ({megabytes}), {len(plan.delete):,} deleted"
