"""Score every photo of a shard with a Places365 network; no threshold is applied here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from witw import files, stage, tables
from witw.errors import UserError
from witw.images.photo import open_photo
from witw.places365 import network
from witw.settings.scenes import Scenes
from witw.status import has_file

VERSION = 3
READS = ("scenes.arch", "scenes.sha256")

log = logging.getLogger(__name__)

# Every batch has this size, also the last: a photo's scores must not depend on the other photos.
BATCHES = {"cpu": 16, "cuda": 256}
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def run(
    spec: dict[str, Any], photos: Path, checkpoint: Path, table: Path, threads: int = 1
) -> pd.DataFrame:
    """Write one row of scores for each photo of the shard that has a file.

    Args:
        spec: ``scenes.arch`` and ``scenes.sha256``.
        photos: table ``downloads``.
        checkpoint: Places365 checkpoint.
        table: table ``scenes`` to write; a photo that cannot be decoded has null scores.
        threads: threads for decoding and, without a GPU, for the network.

    Raises:
        UserError: the checkpoint is unusable, or no photo is in the store.
    """
    settings = Scenes.model_validate(spec["scenes"])
    arch, net = settings.arch, _network(checkpoint, settings)
    downloads = tables.read(photos, "downloads")
    wanted = downloads[has_file(downloads)].sort_values("id")
    paths = [Path(path) for path in wanted["path"]]
    if paths and not any(path.exists() for path in paths):
        raise UserError(
            f"Not one photo of {photos} is in the photo store below {Path.cwd()}; run from the "
            f"run folder, or delete {photos} and run again to fetch them."
        )
    rows = score(net, arch, paths, threads, list(wanted["sha256"].fillna("")))
    data = tables.write(table, "scenes", rows.assign(id=wanted["id"].to_numpy()))
    log.info("%d photos scored, %d not readable", len(data), data["io_vote"].isna().sum())
    return data


def score(
    net: nn.Module,
    arch: network.Arch,
    paths: Sequence[Path],
    threads: int,
    digests: Sequence[str] = (),
) -> pd.DataFrame:
    """Score photos.

    Args:
        net: network from :func:`witw.places365.network.load`.
        arch: its architecture, which determines the preprocessing.
        paths: files of the photos.
        threads: for decoding and, without a GPU, for the network.
        digests: expected SHA-256 of each file; a file with another digest counts as broken.

    Returns:
        ``io_vote``, ``p_outdoor``, ``scene_top1``, one row per path; null if a photo is
        undecodable. Values are rounded to 6 decimals, the precision of the arithmetic.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net, size = place(net, device, threads), batch_size(device)
    digests = digests or [""] * len(paths)
    names = np.array(network.categories(), dtype=object)
    out = pd.DataFrame(
        {"io_vote": np.nan, "p_outdoor": np.nan, "scene_top1": None}, index=range(len(paths))
    ).astype({"scene_top1": object})
    for rows, pixels in stage.progress(
        _batches(paths, digests, arch, threads, size), "scenes", -(-len(paths) // size)
    ):
        with torch.inference_mode():
            logits = net(network.normalise(torch.from_numpy(pixels).to(device))).cpu().numpy()
        share, mass, top = network.vote(logits[: len(rows)])
        out.loc[rows, "io_vote"] = share.round(6)
        out.loc[rows, "p_outdoor"] = mass.round(6)
        out.loc[rows, "scene_top1"] = names[top]
    return out.astype({"io_vote": "Float64", "p_outdoor": "Float64"})


def batch_size(device: torch.device) -> int:
    """Return the number of photos per batch."""
    return BATCHES[device.type]


def place(net: nn.Module, device: torch.device, threads: int) -> nn.Module:
    """Move the network to its device, in the fastest memory layout.

    All arithmetic is float32: bfloat16 or TF32 would change probabilities by a thousandth between
    machines, and a GPU waits for the decoding of photos anyway.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    # A fifth faster than the default layout on a CPU, and more on a GPU.
    return net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _batches(
    paths: Sequence[Path], digests: Sequence[str], arch: network.Arch, threads: int, size: int
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Yield row numbers and pixels (size, 224, 224, 3), decoding one batch ahead."""
    starts = range(0, len(paths), size)
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:

        def submit(start: int) -> list[Any]:
            part = slice(start, start + size)
            some = zip(paths[part], digests[part], strict=True)
            return [pool.submit(_decode, path, digest, arch) for path, digest in some]

        ahead = submit(0)
        for start in starts:
            here, ahead = ahead, submit(start + size)
            pixels = np.zeros((size, network.INPUT_PX, network.INPUT_PX, 3), np.uint8)
            rows: list[int] = []
            for offset, future in enumerate(here):
                photo = future.result()
                if photo is not None:
                    pixels[len(rows)] = photo
                    rows.append(start + offset)
            if rows:
                yield rows, pixels


def _decode(path: Path, digest: str, arch: network.Arch) -> NDArray[np.uint8] | None:
    try:
        return network.preprocess(open_photo(path, digest), arch)
    except UNREADABLE as error:
        log.warning("%s cannot be decoded: %s", path, error)
        return None


def _network(checkpoint: Path, settings: Scenes) -> nn.Module:
    """Load the network of a checkpoint, and verify its SHA-256.

    Raises:
        UserError: the checkpoint is unusable, or has another SHA-256.
    """
    found = files.sha256(checkpoint) if checkpoint.is_file() else ""
    if found and checkpoint.with_name(f"{checkpoint.name}.sha256").is_file():
        files.same_as_first(checkpoint, checkpoint)
    if settings.sha256 and found and found != settings.sha256:
        raise UserError(
            f"`scenes.checkpoint` {checkpoint} has SHA-256 {found}, not the one of "
            "`scenes.sha256`; fetch it anew or correct one of the keys."
        )
    net = network.fold(network.load(checkpoint, settings.arch))
    log.info("%s: Places365 %s, sha256 %s", checkpoint.name, settings.arch, found)
    _warn_of_name(checkpoint, settings.arch)
    return net


def _warn_of_name(checkpoint: Path, arch: str) -> None:
    """Warn if the file's name contradicts `arch`: some networks have identical tensors."""
    told = "wideresnet18" if "wideresnet18" in checkpoint.name.lower() else None
    if told is None and "resnet18" in checkpoint.name.lower():
        told = "resnet18"
    if told is not None and told != arch:
        log.warning("%s is named after %s, but `scenes.arch` is %s", checkpoint, told, arch)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments("scenes", __doc__, ["photos", "checkpoint"], ["table"], argv=argv)
    run(args.spec, args.photos, args.checkpoint, args.table, threads=args.threads)


if __name__ == "__main__":
    stage.execute(main)
