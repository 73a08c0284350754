"""Rank every photo's own chip among N: in blocks, against one query at a time.

    .venv/bin/python -m benchmarks.evaluate                100,000 x 100,000 flat codes of 1,024
    .venv/bin/python -m benchmarks.evaluate --count 20000  fewer

Two kinds of codes are compared with the usual loop of their field, on the same codes in the same
run:

- flat codes (one vector per picture); peer: multiply one query with the whole gallery, sort the
  scores and look up the own chip, as retrieval scripts do;
- polar codes (16 channels x 4 rows = 64 per column, 64 headings, 12 columns for a photo of 70
  degrees); peer: the original's test, reimplemented from its description: correlate one query with
  the whole gallery, cut every overhead code at its best shift, normalise the cuts, compute
  distances, count.

The loops run on a sample of queries and are scaled to all of them, as marked in the output. Memory
is the growth of the resident set (on a GPU: of allocated memory) beyond the codes themselves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from witw.cvig import retrieval

SEED = 0
CHANNELS, HEADINGS, COLUMNS = 64, 64, 12


def main() -> None:
    """Print seconds, memory and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="flat codes")
    parser.add_argument("--dim", type=int, default=1024, help="length of a flat code")
    parser.add_argument("--polar", type=int, default=4000, help="polar codes")
    parser.add_argument("--queries", type=int, default=40, help="queries of the peers' loops")
    args = parser.parse_args()
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    flat = codes(args.count, args.dim, 1, 1, where)
    compare(f"flat, {args.count:,} x {args.count:,}, {args.dim}", flat, sorted_loop, args.queries)
    del flat
    polar = codes(args.polar, CHANNELS, HEADINGS, COLUMNS, where)
    compare(f"polar, {args.polar:,} x {args.polar:,}", polar, cropping_loop, args.queries)


def codes(
    count: int, dim: int, headings: int, columns: int, where: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Return random chips, and photos that show a part of their own chip with noise."""
    rng = torch.Generator(where).manual_seed(SEED)
    chips = torch.randn(count, dim, headings, generator=rng, device=where)
    noise = 12.0 if headings == 1 else 7.0
    photos = torch.randn(count, dim, columns, generator=rng, device=where).mul_(noise)
    photos += chips[:, :, :columns]
    return photos, torch.ones(count, columns, device=where), chips


@torch.inference_mode()
def sorted_loop(photos: Tensor, chips: Tensor, queries: int) -> list[int]:
    """Rank one query at a time: a product, a sort, and the place of the own chip."""
    gallery = F.normalize(chips[..., 0], dim=1)
    ranks = []
    for i in range(queries):
        scores = gallery @ F.normalize(photos[i, :, 0], dim=0)
        ranks.append(int((torch.argsort(scores, descending=True) == i).nonzero()[0, 0]) + 1)
    return ranks


@torch.inference_mode()
def cropping_loop(photos: Tensor, chips: Tensor, queries: int) -> list[int]:
    """Rank one query at a time, cutting every overhead code for each."""
    ring = F.pad(chips, (0, COLUMNS - 1), mode="circular")
    ranks = []
    for i in range(queries):
        shift = F.conv1d(ring, photos[i : i + 1])[:, 0].argmax(dim=1)
        columns = (shift[:, None] + torch.arange(COLUMNS, device=shift.device)) % HEADINGS
        cut = chips.gather(2, columns[:, None].expand(-1, chips.shape[1], -1))
        cut = F.normalize(cut.flatten(1), dim=1)
        distance = 2 * (1 - cut @ F.normalize(photos[i].flatten(), dim=0))
        ranks.append(int((distance <= distance[i]).sum()))
    return ranks


def compare(
    name: str,
    made: tuple[Tensor, Tensor, Tensor],
    loop: Callable[[Tensor, Tensor, int], list[int]],
    queries: int,
) -> None:
    """Time both on the same codes and print a table."""
    photos, masks, chips = made
    count = len(photos)
    retrieval.rank_rows(photos[:8], masks[:8], chips[:8])
    seconds, grown, ranks = watched(lambda: retrieval.rank_rows(photos, masks, chips)[0])
    loop(photos[:64], chips[:64], 2)
    peer_s, peer_grown, peer = watched(lambda: loop(photos, chips, queries))
    peer_s *= count / queries
    same = sum(int(a) == b for a, b in zip(ranks, peer, strict=False)) / queries
    print(f"\n{name}; median rank {sorted(ranks)[count // 2]:,}")
    print(f"  in blocks            {seconds:10.1f} s   {grown:8.0f} MB")
    print(f"  one query at a time  {peer_s:10.1f} s   {peer_grown:8.0f} MB   ({queries} scaled)")
    print(f"  {peer_s / seconds:.1f} times as fast; {100 * same:.0f} % of {queries} ranks the same")


def watched[T](run: Callable[[], T]) -> tuple[float, float, T]:
    """Return the seconds and memory growth [MB] of a call, and its result."""
    before = memory_mb(reset=True)
    start = time.perf_counter()
    result = run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, memory_mb() - before, result


def memory_mb(reset: bool = False) -> float:
    """Return the peak memory since the last reset; with ``reset``, the current memory [MB]."""
    if torch.cuda.is_available():
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 1e6
    if reset:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the high-water mark
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


if __name__ == "__main__":
    main()
