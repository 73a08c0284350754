"""Gradients of a contrastive loss over a whole batch, from micro-batches and processes.

Every pair of a batch is a negative of every other, so the loss needs all codes at once, but the
towers do not. As in GradCache (Gao et al. 2021), each part is encoded without a graph, the
gradients of the loss with respect to the codes are computed, and each part is encoded again with a
graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from witw.cvig.batches import Batch
from witw.cvig.network.augment import Jitter
from witw.cvig.network.towers import ChipCode, Network, PhotoCode
from witw.cvig.retrieval import encode_batch
from witw.cvig.training.distributed import Processes
from witw.cvig.training.loss import Loss, false_negative_mask


def backward(
    network: Network,
    batch: Batch,
    jitter: Jitter,
    loss: Loss,
    mask_radius_m: float,
    micro_batch: int = 0,
    processes: Processes | None = None,
    vector_weight: float = 0.0,
) -> Tensor:
    """Add the gradients of the loss of the whole batch to the network's, and return the loss.

    Args:
        network: network whose towers process each pair independently.
        batch: this process's part of the batch, on the network's device.
        jitter: augmentation, with all random numbers, so a second encoding gives the same codes.
        loss: loss of the pairs of all processes.
        mask_radius_m: see :func:`witw.cvig.training.loss.false_negative_mask`.
        micro_batch: pairs encoded at a time; 0: all.
        processes: the processes; gradients are summed over them.
        vector_weight: weight of the vectors' loss relative to the columns'. If the network has
            vectors, the loss is the weighted mean of both.

    Returns:
        The loss of the whole batch, the same in every process, without a graph.
    """
    processes = processes or Processes()
    size = micro_batch or len(batch)
    parts = [slice(start, start + size) for start in range(0, len(batch), size)]
    whole = len(parts) == 1
    with torch.set_grad_enabled(whole):
        done = [encode_batch(network, batch[part], jitter[part]) for part in parts]
    photo, chip = _joined([code for code, _ in done]), _joined([code for _, code in done])
    kept = [photo.columns, chip.columns]
    kept += [photo.vector, chip.vector] if network.has_both else []
    leaves = [codes.detach().requires_grad_() for codes in kept]
    photos, chips, *vectors = (torch.cat(processes.gather(leaf)) for leaf in leaves)
    masks, position = (torch.cat(processes.gather(v)) for v in (photo.mask, batch.position))
    hidden = false_negative_mask(position, mask_radius_m)
    value = loss(network.match(photos, masks, chips), network.scale, hidden)
    if vectors:
        other = loss(network.match_vectors(*vectors), network.vector_scale, hidden)
        value = (value + vector_weight * other) / (1 + vector_weight)
    value.backward()  # type: ignore[no-untyped-call]
    grads = [leaf.grad for leaf in leaves]
    for scale in network.scales():  # known to every process, and about to be summed
        if scale.grad is not None:
            scale.grad /= processes.size
    for part in parts:
        if whole:
            codes = kept
        else:
            photo, chip = encode_batch(network, batch[part], jitter[part])
            codes = [photo.columns, chip.columns]
            codes += [photo.vector, chip.vector] if network.has_both else []
        torch.autograd.backward(codes, [g[part] for g in grads if g is not None])
    processes.all_reduce([p.grad for p in network.parameters() if p.grad is not None])
    return value.detach()


def _joined[T: (PhotoCode, ChipCode)](parts: Sequence[T]) -> T:
    """Concatenate the codes of all parts."""
    return type(parts[0])(*(torch.cat(values) for values in zip(*parts, strict=True)))
