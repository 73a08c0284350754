"""Say where photos were taken, from satellite imagery alone.

In a run folder, ``witw locate photo.jpg --area rowan``. With imagery of one's own and a model that
somebody trained, ``witw locate photo.jpg --imagery city.tif --model witw.safetensors``: the imagery
is prepared and indexed beside it at the first call. Positions in a photo's EXIF data are not looked
at.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

from witw.errors import UserError

if TYPE_CHECKING:  # `witw --help` need not wait for torch
    from witw.cvig.locating.located import Located
    from witw.cvig.locating.regions import Region
    from witw.images.query import Photo
    from witw.locating.front import Locator

# Paths among the options; relative to where one stands, not to the run folder.
PATHS = ("photos", "imagery", "model", "within", "out", "scenes", "cache")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photos, or folders")
    where = parser.add_argument_group("where to search")
    where.add_argument("--area", help="area of the run folder; default: its only test area")
    where.add_argument("--imagery", type=Path, metavar="FILE", help="raster of your own, any CRS")
    where.add_argument(
        "--model",
        type=file_or_address,
        metavar="FILE",
        help="default: the run folder's; a file, or hf://OWNER/NAME",
    )
    where.add_argument("--around", metavar="LAT,LON,KM", help="search this part only")
    where.add_argument("--within", type=Path, metavar="GEOJSON", help="search these polygons only")
    photo = parser.add_argument_group("about the photos")
    photo.add_argument(
        "--together", action="store_true", help="all photos show one place: search them as one"
    )
    photo.add_argument(
        "--fov", type=float, default=math.nan, metavar="DEGREES",
        help="field of view along the long side; default: what EXIF data tell",
    )  # fmt: skip
    photo.add_argument(
        "--scenes", type=Path, metavar="FILE",
        help="Places365 checkpoint, to be warned of indoor photos; default: the run folder's",
    )  # fmt: skip
    raster = parser.add_argument_group("about the imagery")
    raster.add_argument("--bands", metavar="R,G,B", help="numbers of red, green and blue")
    raster.add_argument("--nodata", default="auto", help="number of pixels without data, or `none`")
    raster.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="for what is made; default: the imagery's"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write the answers here; default: located/"
    )


def file_or_address(text: str) -> Path | str:
    """A path, or an address as it is."""
    return text if "://" in text else Path(text)


def command(args: argparse.Namespace) -> None:
    """``witw locate``."""
    _check(args)
    # The network's libraries take seconds to import, and a mistake above is told without.
    from witw.cvig.locating.regions import parse_around, read_polygons

    within: Region | None = parse_around(args.around) if args.around else None
    within = read_polygons(args.within) if args.within else within
    paths = photos_of(args.photos)
    locator = _locator(args)
    opened = opened_ahead(paths, args.fov)
    found = 0
    for located in _located(locator, opened, args.together, within):
        found += len(located.photos)
        print(text(located))  # noqa: T201
    if not found:
        raise UserError("None of the files is a readable photo.")


def _check(args: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    Raises:
        UserError: they do.
    """
    if args.imagery and args.area:
        raise UserError("Give --area (of a run folder) or --imagery (a file), not both.")
    if args.imagery and not args.model:
        raise UserError("--imagery needs a network: give its file with --model.")
    if args.around and args.within:
        raise UserError("Give --around or --within, not both.")
    if not math.isnan(args.fov) and not 1 < args.fov < 150:
        raise UserError(f"--fov {args.fov:g} must lie between 1 and 150 degrees.")
    for name in ("bands", "nodata", "cache"):
        if not args.imagery and getattr(args, name) != ("auto" if name == "nodata" else None):
            raise UserError(f"--{name} belongs to --imagery; an area has its own in the config.")


def photos_of(given: Sequence[Path]) -> list[Path]:
    """Files named, and those of folders named that are called like pictures, sorted.

    Raises:
        UserError: a file is not there, or a folder holds no picture.
    """
    from witw.images.query import suffixes  # Pillow and its plugins, once they are needed

    known, out = suffixes(), []
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in known and p.is_file())
            if not inside:
                raise UserError(f"Folder {path} holds no photo.")
            out += inside
        elif path.is_file():
            out.append(path)
        else:
            raise UserError(f"Photo {path} does not exist.")
    return out


def shown(path: Path) -> str:
    """A path as a person would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def opened_ahead(paths: Sequence[Path], fov_deg: float, threads: int = 2) -> Iterator[Photo]:
    """Open photos some ahead of their use; of several, one that cannot be read is only told."""
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
        return Locator.of_run(args.area, model=args.model)
    return Locator.of_imagery(
        args.imagery, args.model, _bands(args.bands), _nodata(args.nodata), args.cache, args.scenes
    )


def _bands(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        bands = [int(part) for part in text.split(",")]
    except ValueError:
        bands = []
    if len(bands) != 3 or min(bands) < 1:
        raise UserError(f"--bands {text!r} must be three numbers from 1 on, as in 5,3,2.")
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


def text(located: Located) -> str:
    """An answer in a few lines."""
    names = ", ".join(photo.name for photo in located.photos)
    lines = [f"{names}: {len(located.grid.cells):,} cells of {located.area}"]
    for place in located.places(5):
        heading = ", ".join(f"{h:.0f}" for h in place.heading_deg)
        lines.append(
            f"  {place.rank}  {place.lat:10.6f} {place.lon:11.6f}  looking {heading:>3} degrees  "
            f"{100 * place.probability:.2g} %"
        )
    share = 100 * located.area_share(0.8)
    lines.append(f"  The 80 % region covers {share:.2g} % of what was searched.")
    return "\n".join(lines)
