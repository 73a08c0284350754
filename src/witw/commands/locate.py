"""Locate photos, from satellite imagery alone.

In a run folder, use ``witw locate photo.jpg --area rowan``. With your own imagery and a shared
model, use ``witw locate photo.jpg --imagery city.tif --model witw.safetensors``; the first call
prepares and indexes the imagery in a folder beside it. Positions in EXIF data are never read.
Answers are written as files for a GIS and as a page, see docs/answer.md. ``--serve`` opens a page
to drop photos on.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import batched, chain
from pathlib import Path
from typing import TYPE_CHECKING

from witw.errors import UserError

if TYPE_CHECKING:  # `witw --help` need not wait for torch
    from witw.cvig.locating.located import Located
    from witw.cvig.locating.regions import Region
    from witw.images.query import Photo
    from witw.locating.front import Locator

# Options that are paths; they are relative to the current folder, not to the run folder.
PATHS = ("photos", "imagery", "model", "within", "out", "scenes", "cache")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("photos", nargs="*", type=Path, metavar="PHOTO", help="photos, or folders")
    where = parser.add_argument_group("where to search")
    where.add_argument("--area", help="area of the run folder; default: its only test area")
    where.add_argument("--imagery", type=Path, metavar="FILE", help="your own raster, in any CRS")
    where.add_argument(
        "--model",
        type=file_or_address,
        metavar="FILE",
        help="model file or hf://OWNER/NAME; default for an area: the model of the run folder",
    )
    where.add_argument("--around", metavar="LAT,LON,KM", help="search only this circle")
    where.add_argument("--within", type=Path, metavar="GEOJSON", help="search only these polygons")
    photo = parser.add_argument_group("about the photos")
    photo.add_argument(
        "--together", action="store_true", help="search all photos as one query for one place"
    )
    photo.add_argument(
        "--fov", type=float, default=math.nan, metavar="DEGREES",
        help="field of view along the long side; default: from EXIF data",
    )  # fmt: skip
    photo.add_argument(
        "--scenes", type=Path, metavar="FILE",
        help="Places365 checkpoint, for warnings about indoor photos; default: the run folder's",
    )  # fmt: skip
    parser.add_argument(
        "--finer", action="store_true",
        help="look for the best places' positions between the cells, for more time per photo",
    )  # fmt: skip
    raster = parser.add_argument_group("about the imagery")
    raster.add_argument("--bands", metavar="R,G,B", help="numbers of the red, green and blue bands")
    raster.add_argument("--nodata", default="auto", help="value of pixels without data, or `none`")
    raster.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="folder of the index; default: beside imagery"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("located"),
        metavar="FOLDER",
        help="folder of the answers; default: located/",
    )
    page = parser.add_argument_group("a page instead")
    page.add_argument(
        "--serve", action="store_true",
        help="serve a page to drop photos on, on this machine, until Ctrl-C",
    )  # fmt: skip
    page.add_argument("--port", type=int, default=0, help="port of the page; default: a free port")


def file_or_address(text: str) -> Path | str:
    """Return a path, or an unchanged address."""
    return text if "://" in text else Path(text)


def command(args: argparse.Namespace) -> None:
    """Run ``witw locate``."""
    _check(args)
    if args.serve:
        _serve(args)
        return
    paths = photos_of(args.photos)
    _check_place(args)
    opened = opened_ahead(paths, args.fov)
    first = next(opened, None)
    if first is None:
        raise UserError("None of the files is a readable photo; name other files.")
    # Imported after the checks: the network's libraries take seconds.
    from witw.answer import terminal
    from witw.answer.write import Folder
    from witw.cvig.locating.regions import parse_around, read_polygons

    within: Region | None = parse_around(args.around) if args.around else None
    within = read_polygons(args.within) if args.within else within
    locator = _locator(args)
    folder = Folder(args.out)
    for located in _located(locator, chain([first], opened), args.together, within):
        folder.add(located)
        print("\n".join(terminal.lines(located)), end="\n\n")  # noqa: T201
    print("Open " + ", ".join(shown(path) for path in folder.close()))  # noqa: T201


def _serve(args: argparse.Namespace) -> None:
    """Serve the page for the areas of the run folder, or for the given imagery."""
    from witw.commands.serve import serve  # aiohttp, and the page's pictures

    if args.imagery:
        name = args.imagery.stem
        serve([name], lambda _: _locator(args), args.out, args.port)
        return
    from witw.locating import run_folder  # as above
    from witw.locating.front import Locator  # torch

    areas = run_folder.searchable(args.area)
    serve(areas, lambda area: Locator.of_run(area, model=args.model), args.out, args.port)


def _check(args: argparse.Namespace) -> None:
    """Check options for contradictions.

    Raises:
        UserError: options contradict each other.
    """
    if args.serve and (args.photos or args.around or args.within or args.together):
        raise UserError(
            "--serve takes no photos, --around, --within or --together: drop photos on the page "
            "instead."
        )
    if not args.serve and not args.photos:
        raise UserError("No photos given: name photos, or use --serve for a page to drop them on.")
    if args.port and not args.serve:
        raise UserError("--port needs --serve; add --serve or remove --port.")
    if not 0 <= args.port <= 65_535:
        raise UserError(f"--port {args.port} must be between 0 and 65535.")
    if args.imagery and args.area:
        raise UserError("Give --area (of a run folder) or --imagery (a file), not both.")
    if args.imagery and not args.model:
        raise UserError("--imagery needs a network: give its file with --model.")
    if args.around and args.within:
        raise UserError("Give --around or --within, not both.")
    if not math.isnan(args.fov) and not 1 < args.fov < 150:
        raise UserError(f"--fov {args.fov:g} must be between 1 and 150 degrees.")
    for name in ("bands", "nodata", "cache"):
        if not args.imagery and getattr(args, name) != ("auto" if name == "nodata" else None):
            raise UserError(f"--{name} needs --imagery; for an area, set it in the config.")
    _check_out(args.out)


def _check_place(args: argparse.Namespace) -> None:
    """Check the network's file, and the area of the run folder or the imagery.

    Raises:
        UserError: there is nothing to search, or no network.
    """
    from witw import model_facts  # as below
    from witw.locating import imagery, run_folder  # half a second, for settings

    if isinstance(args.model, Path):
        model_facts.read_facts(args.model)
    if args.imagery:
        imagery.check(args.imagery, args.cache)
        _bands(args.bands)
        _nodata(args.nodata)
    else:
        run_folder.check(args.area, args.model)


def _check_out(out: Path) -> None:
    """Check that answers can be written, before hours of indexing.

    Raises:
        UserError: the folder or a parent is a file, or is not writable.
    """
    there = next(path for path in (out, *out.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"--out {shown(out)}: {shown(there)} is a file; name a folder.")
    try:
        with tempfile.TemporaryDirectory(dir=there):  # root may write nearly anywhere
            pass
    except OSError:
        raise UserError(f"--out {shown(out)} cannot be written; name another folder.") from None


def photos_of(given: Sequence[Path]) -> list[Path]:
    """Return the given files, and the pictures of the given folders, sorted.

    Raises:
        UserError: a file does not exist, or a folder contains no picture.
    """
    from witw.images.query import suffixes  # imports Pillow and its plugins

    known, out = suffixes(), []
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in known and p.is_file())
            if not inside:
                raise UserError(f"Folder {shown(path)} contains no photo; name another folder.")
            out += inside
        elif path.is_file():
            out.append(path)
        else:
            raise UserError(f"Photo {shown(path)} does not exist; correct its path.")
    return out


def shown(path: Path) -> str:
    """Return a path relative to the current folder, if it is inside."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def opened_ahead(paths: Sequence[Path], fov_deg: float, threads: int = 2) -> Iterator[Photo]:
    """Yield photos, opened ahead by threads; one of several that is unreadable gives a warning."""
    from witw.images.query import open_query  # as above

    with ThreadPoolExecutor(threads) as pool:
        for some in batched(paths, 64):
            jobs = [pool.submit(open_query, path, shown(path), fov_deg) for path in some]
            for job in jobs:
                try:
                    yield job.result()
                except UserError as error:
                    if len(paths) == 1:
                        raise
                    print(f"witw: {error}", file=sys.stderr)  # noqa: T201


def _locator(args: argparse.Namespace) -> Locator:
    from witw.locating.front import Locator  # torch

    if not args.imagery:
        found = Locator.of_run(args.area, model=args.model, scenes=args.scenes)
    else:
        found = Locator.of_imagery(
            args.imagery, args.model, _bands(args.bands), _nodata(args.nodata), args.cache,
            args.scenes,
        )  # fmt: skip
    return replace(found, finer=args.finer)


def _bands(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        bands = [int(part) for part in text.split(",")]
    except ValueError:
        bands = []
    if len(bands) != 3 or min(bands) < 1:
        raise UserError(f"--bands {text!r} must be three numbers, counted from 1, such as 5,3,2.")
    return bands


def _nodata(text: str) -> float | str:
    if text in ("auto", "none"):
        return text
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--nodata {text!r} must be a number, `auto` or `none`.") from None


def _located(
    locator: Locator, photos: Iterator[Photo], together: bool, within: Region | None
) -> Iterator[Located]:
    if together:
        yield from locator.locate(list(photos), together=True, within=within)
    else:
        yield from locator.stream(photos, within)
