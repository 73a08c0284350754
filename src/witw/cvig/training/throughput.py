"""Progress of a training for a person: loss, speed, waiting time, time left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from witw import stage
from witw.cvig.batches import Batch
from witw.cvig.network.towers import Network
from witw.cvig.retrieval import encode_batch
from witw.cvig.training.tensorboard import Events

EVERY_S = 1.0  # reading the loss makes a GPU's queue run dry, so seldom


@torch.no_grad()
def flops(network: Network, batch: Batch) -> float:
    """Return the FLOP to train on one pair, forward and backward; sets the network to eval mode."""
    with FlopCounterMode(display=False) as counter:
        encode_batch(network.eval(), batch[:1])
    return 3.0 * float(counter.get_total_flops())


class ThroughputMeter:
    """Measures and shows the progress of a training.

    Args:
        events: event file for the scalars.
        total: total steps of the training.
        done: steps of earlier runs.
        pair_flops: result of :func:`flops`.
        shown: whether to show a bar (in one process only).
    """

    def __init__(
        self, events: Events, total: int, done: int, pair_flops: float, shown: bool = True
    ) -> None:
        self.events, self.pair_flops, self.shown = events, pair_flops, shown
        self.bar: tqdm[None] | None = None
        if shown:
            self.bar = stage.bar("train", total, "step")
            self.bar.update(done)
        self.figures: dict[str, float] = {}
        self.validation: dict[str, str] = {}
        self._restart()

    def _restart(self) -> None:
        self.since, self.waited, self.pairs = time.monotonic(), 0.0, 0

    def waiting[T](self, items: Iterable[T]) -> Iterator[T]:
        """Yield items, measuring the waiting time for each."""
        source = iter(items)
        while True:
            start = time.monotonic()
            try:
                item = next(source)
            except StopIteration:
                return
            self.waited += time.monotonic() - start
            yield item

    def resume(self) -> None:
        """Restart the measurement after work other than training."""
        self._restart()

    def validated(self, line: Mapping[str, float]) -> None:
        """Show the last epoch's validation figure from now on.

        Args:
            line: figures of the epoch; ``val_median_percentile`` is the median rank in % of the
                gallery.
        """
        rank = line.get("val_median_percentile")
        if rank is not None:
            self.validation = {"val median rank": f"{rank:.1f}% (epoch {line['epoch']:g})"}

    def step(self, number: int, pairs: int, loss: torch.Tensor, rate: float) -> None:
        """Count a step, and update the display at intervals."""
        self.pairs += pairs
        if self.bar is not None:
            self.bar.update()
        passed = time.monotonic() - self.since
        if not self.shown or passed < EVERY_S:
            return
        value = float(loss)  # waits for the device, so that the time is that of the work
        passed = time.monotonic() - self.since
        speed = self.pairs / passed
        self.figures = {
            "pairs/s": speed,
            "data wait %": 100 * self.waited / passed,
            "GFLOP/s": speed * self.pair_flops / 1e9,
        }
        if self.bar is not None:
            shown = {name: f"{number:.3g}" for name, number in self.figures.items()}
            self.bar.set_postfix(
                {"loss": f"{value:.3f}", **shown, **self.validation}, refresh=False
            )
        scalars = {"train/loss": value, "train/rate": rate}
        self.events.add(number, scalars | {f"speed/{k}": v for k, v in self.figures.items()})
        self._restart()

    def close(self) -> None:
        """Close the bar and the event file."""
        self.events.close()
        if self.bar is not None:
            self.bar.close()
