"""What a run folder holds for locating photos in one of its areas."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from witw import paths
from witw.config import Config, load
from witw.errors import UserError
from witw.locating.imagery import Prepared, index_key, indexed
from witw.mistakes import yaml_files
from witw.settings.scenes import PlacesArch

CONFIG_FILE = Path("config.yaml")
RESULTS = Path("results")
TRAINED = RESULTS / "model" / "trained.safetensors"


@dataclass(frozen=True)
class Area:
    """Files of an area that can be searched.

    Attributes:
        name: as in the config.
        model: the network's file.
        cells: the area's index.
        mosaic: the raster.
        checkpoint: Places365 network; None: it is not at hand.
        arch: of that.
    """

    name: str
    model: Path
    cells: Path
    mosaic: Path
    checkpoint: Path | None
    arch: PlacesArch


def find(
    name: str | None, model: Path | None = None, config_file: Path = CONFIG_FILE, threads: int = 1
) -> Area:
    """Find the files of an area in the working folder; index the area where it is not.

    Args:
        name: of the area; None: the only test area, or the only one.
        model: another network than the run's.
        config_file: the run's.
        threads: CPU threads for indexing.

    Raises:
        UserError: the folder, the area or a file is not there; says which command makes it.
    """
    config, name, mosaic, model = check(name, model, config_file)
    area = config.aois[name]
    own = Path(paths.model_file(config) or TRAINED)
    cells = RESULTS / "index" / f"{name}.safetensors"
    if not _is_of(cells, own, model):
        prepared = Prepared(name, mosaic, area.bbox_deg, area.utm.gsd_m)
        folder = RESULTS / "locate" / name
        folder.mkdir(parents=True, exist_ok=True)
        cells = indexed(prepared, model, folder, config.index.step_m, threads)
    return Area(name, model, cells, mosaic, _checkpoint(config, name), area.scenes.arch)


def check(
    name: str | None, model: Path | None = None, config_file: Path = CONFIG_FILE
) -> tuple[Config, str, Path, Path]:
    """Check that an area can be searched, within a second.

    Args:
        name: of the area; None: the only test area, or the only one.
        model: another network than the run's.
        config_file: the run's.

    Returns:
        The config, the area's name, its mosaic and the network's file.

    Raises:
        UserError: the folder, the area or a file is not there; says which command makes it.
    """
    config = _config(config_file)
    name = _chosen(config, name)
    mosaic = RESULTS / name / "mosaic.vrt"
    if not mosaic.is_file():
        raise UserError(f"Area {name!r} has no imagery yet; {_make(mosaic)}.")
    return config, name, mosaic, model or _model(config)


def _checkpoint(config: Config, name: str) -> Path | None:
    """Return the area's Places365 checkpoint, if its file exists."""
    try:
        path = Path(paths.checkpoint_file(config, name))
    except UserError:
        return None
    return path if path.is_file() else None


def searchable(first: str | None, config_file: Path = CONFIG_FILE) -> list[str]:
    """List the areas of the working folder that have imagery.

    Args:
        first: goes first; None: the only test area, or whichever is first by name.
        config_file: the run's.

    Raises:
        UserError: the folder is not a run folder, or no area has imagery.
    """
    config = _config(config_file)
    chosen = _chosen(config, first) if first else None
    test = [name for name, area in config.aois.items() if area.split == "test"]
    front = [chosen] if chosen else test
    names = sorted(config.aois, key=lambda name: (name not in front, name))
    found = [name for name in names if (RESULTS / name / "mosaic.vrt").is_file()]
    if not found or (chosen and found[0] != chosen):
        wanted = chosen or names[0]
        mosaic = RESULTS / wanted / "mosaic.vrt"
        raise UserError(f"Area {wanted!r} has no imagery yet; {_make(mosaic)}.")
    return found


def _config(path: Path) -> Config:
    if not path.is_file():
        raise UserError(
            f"{Path.cwd()} has no {path}, so it is not a run folder: go to one, name it with "
            "--directory, or give --imagery and --model."
        )
    return load(yaml_files.read(path), path.name)


def _chosen(config: Config, name: str | None) -> str:
    if name is None:
        test = [n for n, area in config.aois.items() if area.split == "test"] or list(config.aois)
        if len(test) == 1:
            return test[0]
        raise UserError(f"Name the area to search with --area: {', '.join(config.aois)}.")
    if name not in config.aois:
        near = difflib.get_close_matches(name, config.aois, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its areas are {', '.join(config.aois)}."
        raise UserError(f"The config has no area {name!r}; {hint}")
    return name


def _model(config: Config) -> Path:
    path = Path(paths.model_file(config) or RESULTS / "model" / "witw.safetensors")
    if not path.is_file():
        raise UserError(f"There is no model yet; {_make(path)}, or give one with --model.")
    return path


def _make(path: Path) -> str:
    return f"make it with `snakemake --cores 4 {path}`"


def _is_of(cells: Path, own: Path, model: Path) -> bool:
    """Tell whether the run's index is up to date, and of the wanted network."""
    if not (cells.is_file() and own.is_file()):
        return False
    is_wanted = index_key(own, 0) == index_key(model, 0)
    return is_wanted and cells.stat().st_mtime_ns >= own.stat().st_mtime_ns
