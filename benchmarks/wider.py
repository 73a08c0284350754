"""Measure wider chips beside the usual one of 225 m, by late fusion, on synthetic cities.

    .venv/bin/python -m benchmarks.wider                          # all sizes of the demo
    .venv/bin/python -m benchmarks.wider --tests 3 --epochs 16    # shorter

Builds cities whose imagery reaches far enough for the widest chip, and trains one network for each
width, with the demo's settings. The networks see the same photos; their chips come from the same
mosaics and are packed at the same number of pixels. The scores of a photo at the chips of its city
are then added, with weights fitted on the validation city, and its own chip is ranked on the test
cities. Two networks are better than one, whatever they see: a wider chip pays if it gains more
than a second network for 225 m with another seed.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from witw.cvig import retrieval
from witw.cvig.metrics import chance, of_ranks, rank_own
from witw.cvig.network.model import Model, device
from witw.cvig.scoring import intervals
from witw.cvig.search import two_steps
from witw.dataset.packed import Packed
from witw.demo import build
from witw.demo.__main__ import snakemake
from witw.demo.city.cities import ALL, City

NARROW_M = 225
GSD_M = 1.25  # of the made strips; 225 m are then 180 px, more than the pack keeps
DRAWS = 2000
SHOWN = {
    "recall_at_1": "first",
    "recall_at_5": "first 5",
    "recall_at_10": "first 10",
    "median_percentile": "median rank",
}
TRAINED = "results/model/trained.safetensors"
SHARED, COPIED = ("world", "photos", "models"), ("results", "journal", ".snakemake")
type Floats = NDArray[np.float64]
type Ranks = NDArray[np.int64]
type Scores = list[NDArray[np.floating]]  # of each city, photos by chips


@dataclass(frozen=True)
class WideCity(City):
    """A city whose imagery reaches further: ``wider_m`` on every side [m]."""

    wider_m: float = 0.0

    @property
    def raster_half_m(self) -> float:
        """Half the side of the square of imagery [m]."""
        return super().raster_half_m + self.wider_m


@dataclass(frozen=True, order=True)
class Trained:
    """A network: side of its chips [m], and seed of its training."""

    chip_m: int
    seed: int


def cities(train: int, tests: int, widest_m: int) -> list[WideCity]:
    """Return the demo's cities with more imagery; some training cities become test cities."""
    *others, val, test = ALL
    chosen = [*others[:train], val, test]
    chosen += [replace(city, split="test") for city in others[train : train + tests - 1]]
    # Without blank corners and outskirts, each width gives the same pairs.
    plain = (replace(city, imagery="plain", outskirts_m=0.0) for city in chosen)
    return [WideCity(**vars(city), wider_m=(widest_m - NARROW_M) / 2) for city in plain]


def prepare(folder: Path, args: argparse.Namespace) -> None:
    """Build the world and the first config, once."""
    config = folder / "config.yaml"
    if config.is_file():
        return
    made = tuple(cities(args.cities, args.tests, max(args.widths)))
    counts = [args.photos if city.split == "train" else args.judged for city in made]
    build._build_world(folder, made, counts, 0, args.cores)
    build.write_config(config, made, build._free_port(build.PORT))


def train(folder: Path, like: Path | None, network: Trained, args: argparse.Namespace) -> None:
    """Run the workflow up to the network and the packed test cities, on a copy of a run."""
    if like and not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        for name in COPIED:
            shutil.copytree(like / name, part / name, symlinks=True)
        shutil.copy2(like / "config.yaml", part)
        for name in SHARED:
            (part / name).symlink_to((like / name).resolve())
        part.rename(folder)
    path = folder / "config.yaml"
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    config["defaults"]["utm"]["gsd_m"] = GSD_M
    config["defaults"]["chips"] = {"size_px": round(network.chip_m / GSD_M)}
    config["train"] |= {"epochs": args.epochs, "seed": network.seed}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    targets = [TRAINED, "results/pack/test/pictures.arrow"]
    # Only the first run fetches photos; a copy of it has them.
    with nullcontext() if like else build.served(folder, None):
        if snakemake(folder, args.cores, targets):
            raise SystemExit(f"{folder}: the workflow failed.")


def scored(run: Path, data: Packed) -> Scores:
    """Return the scores of each city's photos at its chips, divided by the temperature."""
    model, out = Model.load(run / TRAINED, device()), list[NDArray[np.floating]]()
    for rows in data.rows_by_area.values():
        codes = retrieval.encode(model.network, data, device(), rows)
        found = two_steps.scored(codes.photo_codes, codes, model.blend, len(codes))
        out.append(np.concatenate([one.values for _, one in found]) / model.temperature)
    return out


def split_scores(
    runs: dict[Trained, Path], split: str
) -> tuple[dict[Trained, Scores], NDArray[np.int64]]:
    """Return each network's scores, and the photos' blocks; all runs must have the same pairs."""
    packs = {network: Packed.open(run / "results/pack" / split) for network, run in runs.items()}
    one, *others = packs.values()
    if any(not one.table[["aoi", "id"]].equals(other.table[["aoi", "id"]]) for other in others):
        raise SystemExit(f"The runs differ in their {split} pairs.")
    places = np.concatenate([one.lon_lat[rows] for rows in one.rows_by_area.values()])
    return {n: scored(run, packs[n]) for n, run in runs.items()}, intervals.blocks(places)


def weights(parts: Sequence[Scores]) -> Floats:
    """Fit the weight of each network's scores by the likelihood of the photos' own chips."""
    stacked = [torch.from_numpy(np.stack(city)).double() for city in zip(*parts, strict=True)]
    weight = torch.full((len(parts),), 1 / len(parts), dtype=torch.double, requires_grad=True)
    search = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        logits = [torch.einsum("k,kpc->pc", weight, city) for city in stacked]
        total = sum((v.logsumexp(1) - v.diagonal()).sum() for v in logits)
        assert isinstance(total, torch.Tensor)
        total.backward()
        return total

    search.step(loss)
    return weight.detach().numpy()


def ranks(weight: Floats, parts: Sequence[Scores]) -> Ranks:
    """Return the rank of each photo's own chip in its city by the weighted scores."""
    fused = [np.einsum("k,kpc->pc", weight, np.stack(city)) for city in zip(*parts, strict=True)]
    return np.concatenate([rank_own(v, np.arange(len(v))) for v in fused])


def figures(every: Sequence[Ranks], gallery: Ranks, at: NDArray[np.int64]) -> Floats:
    """Return the figures of :data:`SHOWN` of some photos, averaged over fusions."""
    told = [of_ranks(rank[at], gallery[at]) for rank in every]
    return np.array([np.mean([one[name]() for one in told]) for name in SHOWN])


def resampled(block: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return photos of blocks drawn with replacement, :data:`DRAWS` times."""
    rng, of = np.random.default_rng(0), [np.flatnonzero(block == n) for n in np.unique(block)]
    draws = (rng.integers(len(of), size=len(of)) for _ in range(DRAWS))
    return [np.concatenate([of[n] for n in draw]) for draw in draws]


def options(networks: Sequence[Trained]) -> dict[str, list[tuple[Trained, ...]]]:
    """Return rows of the table: fusions that differ by seeds only, the control first."""
    by: dict[int, list[Trained]] = {}
    for one in networks:
        by.setdefault(one.chip_m, []).append(one)
    narrow, *wide = by
    fused: list[tuple[int, ...]] = [(width,) for width in by] + [(narrow, width) for width in wide]
    if len(wide) > 1:
        fused.append(tuple(by))
    named = {" + ".join(map(str, some)): [by[width] for width in some] for some in fused}
    rows = {f"{name} m": list(product(*some)) for name, some in named.items()}
    return {f"{narrow} + {narrow} m, two seeds": [tuple(by[narrow])], **rows}


def tell(runs: dict[Trained, Path]) -> None:
    """Print figures of every option, and differences from two networks of the usual chip."""
    val, _ = split_scores(runs, "val")
    test, block = split_scores(runs, "test")
    gallery = np.concatenate([np.full(len(v), len(v)) for v in next(iter(test.values()))])
    everyone, draws = np.arange(len(gallery)), resampled(block)
    print(f"{len(gallery)} photos of unseen cities, {block.max() + 1} blocks of 500 m; percent;")
    print("in brackets the difference from the first row, with its 95 % interval over blocks;")
    print("a median rank is better the smaller it is")
    print(f"{'':26}" + "".join(f"{label:>32}" for label in SHOWN.values()) + "   weights")
    control, drawn = np.zeros(len(SHOWN)), np.zeros((DRAWS, len(SHOWN)))
    for number, (name, fusions) in enumerate(options(list(runs)).items()):
        fitted = [weights([val[one] for one in fusion]) for fusion in fusions]
        every = [
            ranks(weight, [test[one] for one in fusion])
            for weight, fusion in zip(fitted, fusions, strict=True)
        ]
        ours = figures(every, gallery, everyone)
        each = np.stack([figures(every, gallery, at) for at in draws])
        if not number:
            control, drawn = ours, each
        low, high = np.quantile(each - drawn, [0.025, 0.975], axis=0)
        gain = zip(ours, ours - control, low, high, strict=True)
        cells = [f"{v:8.1f} ({d:+5.1f}, {a:+5.1f} to {b:+5.1f})" for v, d, a, b in gain]
        told = "; ".join(" ".join(f"{w:.2f}" for w in weight) for weight in fitted)
        print(f"{name:26}" + "".join(cells) + "   " + told, flush=True)
    luck = chance(gallery)
    print(f"{'chance':26}" + "".join(f"{luck[name]:8.1f}{'':24}" for name in SHOWN))


def main() -> None:
    """Train the networks and print the table; a second run continues an interrupted one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("/tmp/witw-wider"))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--widths", type=int, nargs="+", default=[450, 900], help="beside 225 [m]")
    parser.add_argument("--wide-seeds", type=int, default=1, help="networks of each wider chip")
    parser.add_argument("--cities", type=int, default=8, help="training cities")
    parser.add_argument("--tests", type=int, default=5, help="test cities")
    parser.add_argument("--photos", type=int, default=build.PHOTOS, help="of a training city")
    parser.add_argument("--judged", type=int, default=build.JUDGED, help="of every other city")
    parser.add_argument("--epochs", type=int, default=28)
    args = parser.parse_args()
    if args.cities + args.tests > len(ALL) - 1:
        parser.error(f"there are {len(ALL)} cities, one of them for validation")
    wide = [Trained(width, seed) for seed in range(args.wide_seeds) for width in args.widths]
    networks = [Trained(NARROW_M, 0), Trained(NARROW_M, 1), *wide]
    runs = {one: args.dir / f"{one.chip_m}m-seed{one.seed}" for one in networks}
    first = runs[networks[0]]
    prepare(first, args)
    for one in networks:
        train(runs[one], None if runs[one] == first else first, one, args)
    tell(runs)


if __name__ == "__main__":
    main()
