"""Paths of the files that a config names. Only VRTs are opened."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from witw.errors import UserError
from witw.model_facts import read_facts
from witw.settings.base import LOCAL_KINDS

if TYPE_CHECKING:
    from witw.config import Config


def is_remote(path: str) -> bool:
    """Tell whether the path of a strip or checkpoint is an address, not a local file."""
    return "://" in path or path.startswith("/vsi")


def by_shards(config: Config) -> dict[int, list[str]]:
    """Group AOI names by their number of shards."""
    groups: dict[int, list[str]] = defaultdict(list)
    for name, area in sorted(config.aois.items()):
        groups[area.shards].append(name)
    return dict(sorted(groups.items()))


def strip_files(config: Config, aoi: str, strip: str) -> list[str]:
    """Return the local files of a strip, including files inside VRTs; none for a remote strip.

    Raises:
        UserError: a file is missing; names AOI and path.
    """
    chosen = [s for s in config.aois[aoi].strips if s.name == strip]
    if not chosen:
        names = ", ".join(s.name for s in config.aois[aoi].strips)
        raise UserError(f"Area {aoi!r} has no strip {strip!r}; its strips are {names}.")
    found = [local_files(source.path) for source in chosen[0].sources()]
    files = next((one for one in found if one is not None), None)
    if files is None:
        others = [a for a in config.aois if a != aoi]
        raise UserError(_sentence([m for name in (aoi, *others) for m in _missing(config, name)]))
    if chosen[0].mask:
        masks = local_files(chosen[0].mask.path)
        if masks is None:
            raise UserError(
                f"Area {aoi!r}: `mask` {chosen[0].mask.path} of strip {strip} does not exist "
                f"(relative to {Path.cwd()}); correct the path or put the file there."
            )
        files = [*files, *masks]
    named = [source for name in files for source in vrt_sources(name)]
    if missing := [name for name in named if not Path(name).is_file()]:
        raise UserError(
            f"Area {aoi!r}: strip file {chosen[0].path} refers to {missing[0]}, which does not "
            "exist; put that file there or recreate the VRT."
        )
    return list(dict.fromkeys([*files, *named]))


def local_files(path: str) -> list[str] | None:
    """Return the local files of a strip's path; None if a file is missing."""
    if is_remote(path):
        return []
    files = sorted(glob.glob(path)) if "*" in path else [path]  # noqa: PTH207
    return files if files and all(Path(name).is_file() for name in files) else None


def _missing(config: Config, aoi: str) -> list[tuple[str, str]]:
    return [
        (aoi, " or ".join(source.path for source in strip.sources()))
        for strip in config.aois[aoi].strips
        if all(local_files(source.path) is None for source in strip.sources())
    ]


def _sentence(missing: list[tuple[str, str]]) -> str:
    """Return the error message for all missing strips."""
    told = [f"Area {aoi!r}: strip file {path} {_fault(path)}" for aoi, path in missing]
    keys = " and ".join(dict.fromkeys(f"`aois.{aoi}.strips`" for aoi, _ in missing))
    end = f"(relative to {Path.cwd()}); correct {keys} in the config or put the files there."
    return f"{'; '.join(told)} {end}"


def _fault(path: str) -> str:
    if Path(path).is_dir():
        return f"is a folder; as a set of tiles it would be {path.rstrip('/')}/*.tif"
    return "does not exist"


def photo_files(config: Config, aoi: str) -> list[str]:
    """Return the local files of an area's photo sources; a folder has `folder_state` instead.

    Raises:
        UserError: a file or folder is missing; names AOI and key.
    """
    out: list[str] = []
    for source in config.aois[aoi].photos:
        if source.kind not in LOCAL_KINDS:
            continue
        path = source.path
        found = sorted(glob.glob(path)) if "*" in path else [path]  # noqa: PTH207
        wanted = Path.is_dir if source.kind == "folder" else Path.is_file
        if not found or not all(wanted(Path(name)) for name in found):
            kind = "a folder" if source.kind == "folder" else "a file"
            raise UserError(
                f"Area {aoi!r}: `photos`: {source.kind}: {path} is not {kind} (relative to "
                f"{Path.cwd()}); correct the path, or put the photos there."
            )
        out += [] if source.kind == "folder" else found
    return out


def exclusion_file(config: Config, aoi: str) -> list[str]:
    """Return the file of photos that an area excludes, if any.

    Raises:
        UserError: the file is missing; names the key.
    """
    path = config.aois[aoi].pairs.exclude
    if path and not Path(path).is_file():
        raise UserError(
            f"Area {aoi!r}: `pairs.exclude` {path} does not exist (relative to {Path.cwd()}); "
            "correct the path, or remove the key."
        )
    return [path] if path else []


def folder_state(path: str) -> str:
    """Return a digest of the names, sizes and times of all files in a folder of photos."""
    digest = hashlib.sha256()
    for root, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            state = file_state(os.path.join(root, name))  # noqa: PTH118 (twice as fast)
            digest.update(f"{os.path.relpath(root, path)}/{name} {state and state[:2]}\n".encode())
    return digest.hexdigest()[:16]


def vrt_sources(name: str) -> list[str]:
    """Return the local files that a VRT refers to, including those of nested VRTs.

    The list is empty for other files and for invalid XML, which GDAL reports.
    """
    out: dict[str, None] = {}
    todo = [name]
    while todo:
        vrt = Path(todo.pop())
        if vrt.suffix.lower() != ".vrt" or is_remote(str(vrt)) or not vrt.is_file():
            continue
        try:
            root = ElementTree.fromstring(vrt.read_bytes())  # noqa: S314
        except ElementTree.ParseError:
            continue
        for tag in ("SourceFilename", "SourceDataset"):
            for node in root.iter(tag):
                # Names of sub-datasets (`HDF5:"a.h5"://b`) and addresses are not paths.
                text = (node.text or "").strip()
                if not text or is_remote(text) or ":" in text or text.startswith("<"):
                    continue
                relative = node.get("relativeToVRT", node.get("relativetoVRT")) == "1"
                found = str(vrt.parent / text) if relative else text
                if found not in out:
                    out[found] = None
                    todo.append(found)
    return list(out)


def weights_name(url: str) -> str:
    """Return the file name under ``models/`` of a checkpoint given by address."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    return f"{digest}_{PurePosixPath(url.split('?')[0]).name}"


def checkpoint_file(config: Config, aoi: str) -> str:
    """Return the local file of the AOI's Places365 checkpoint; ``places365`` fetches addresses.

    Raises:
        UserError: the file is missing; names the key.
    """
    path = config.aois[aoi].scenes.checkpoint
    if is_remote(path):
        return f"models/{weights_name(path)}"
    if not Path(path).is_file():
        raise UserError(
            f"Area {aoi!r}: `scenes.checkpoint` {path} does not exist (relative to {Path.cwd()}); "
            "give the path or address of a published Places365 checkpoint."
        )
    return path


def model_file(config: Config) -> str:
    """Return the local file of the config's model; empty if the run trains its own.

    Rule ``fetch_model`` fetches the file if the config gives an address.

    Raises:
        UserError: the file is missing, not a model, or an output of the workflow.
    """
    if not config.model:
        return ""
    if is_remote(config.model):
        name = weights_name(config.model).removesuffix(".safetensors")
        return f"models/{name}.safetensors"
    path = Path(config.model)
    if path.resolve().is_relative_to(Path("results").resolve()):
        raise UserError(
            f"`model` {path} is in results/, which the workflow writes: copy the file to another "
            "folder, such as models/, and give the new path."
        )
    if not path.is_file():
        raise UserError(
            f"`model` {path} does not exist (relative to {Path.cwd()}); give a model file or "
            "hf://OWNER/NAME."
        )
    read_facts(path)
    return str(path)


def weights(config: Config) -> dict[str, str]:
    """Return file name under ``models/`` -> address, for every checkpoint given by address."""
    paths = {area.scenes.checkpoint for area in config.aois.values()}
    return {weights_name(path): path for path in sorted(paths) if is_remote(path)}


def fetched_backbone(config: Config) -> list[str]:
    """Return the local file of weights from timm, if any; rule ``backbone`` fetches it.

    Each backbone has its own file, so a changed backbone is a changed input.
    """
    from_timm = config.train.weights == "timm"
    return [f"models/{config.train.backbone}.safetensors"] if from_timm else []


def backbone_file(config: Config) -> list[str]:
    """Return the local file of the initial weights of training, if any.

    Raises:
        UserError: the file is missing; names the key.
    """
    path = config.train.weights
    if path in ("none", "timm"):
        return fetched_backbone(config)
    if not Path(path).is_file():
        raise UserError(
            f"`train.weights` {path} does not exist (relative to {Path.cwd()}); give the path of "
            f"weights of {config.train.backbone!r}, `timm` to fetch them, or `none`."
        )
    return [path]


def file_state(name: str) -> tuple[int, int, int] | None:
    """Return modification time, size and inode of a local file; None for other paths."""
    try:
        found = Path(name).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
