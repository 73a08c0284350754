"""Gradients of a contrastive loss over a whole batch, from micro-batches and processes.

Every pair of a batch is a negative of every other, so the loss needs all codes at once; the towers
do not. Gao et al. 2021 (GradCache): encode without a graph, part by part; take the loss's gradients
with respect to the codes; encode each part again, with a graph, and go on from there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from witw.cvig.batches import Batch
from witw.cvig.network.augment import Jitter
from witw.cvig.network.model import Network
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
) -> Tensor:
    """Add the gradients of the loss of the whole batch to the network's, and return the loss.

    Args:
        network: whose towers treat each pair by itself.
        batch: this process's part of the batch, on the network's device.
        jitter: its augmentation; all that is random is in it, so that encoding again is the same.
        loss: of all processes' pairs.
        mask_radius_m: see :func:`witw.cvig.training.loss.false_negative_mask`.
        micro_batch: pairs encoded at a time; 0: all.
        processes: the processes; gradients are summed over them.

    Returns:
        The loss of the whole batch, the same in every process, without a graph.
    """
    processes = processes or Processes()
    size = micro_batch or len(batch)
    parts = [slice(start, start + size) for start in range(0, len(batch), size)]
    whole = len(parts) == 1
    with torch.set_grad_enabled(whole):
        done = [encode_batch(network, batch[part], jitter[part]) for part in parts]
    photos, masks, chips = (torch.cat(values) for values in zip(*done, strict=True))
    leaves = [codes.detach().requires_grad_() for codes in (photos, chips)]
    all_photos, all_masks, all_chips, position = (
        torch.cat(processes.gather(value))
        for value in (leaves[0], masks, leaves[1], batch.position)
    )
    scores = network.match(all_photos, all_masks, all_chips)
    value = loss(scores, network.scale, false_negative_mask(position, mask_radius_m))
    value.backward()  # type: ignore[no-untyped-call]
    grads = [leaf.grad for leaf in leaves]
    if network.log_scale.grad is not None:  # known to every process, and about to be summed
        network.log_scale.grad /= processes.size
    for part in parts:
        if whole:
            codes = [photos, chips]
        else:
            photo, _, chip = encode_batch(network, batch[part], jitter[part])
            codes = [photo, chip]
        torch.autograd.backward(codes, [g[part] for g in grads if g is not None])
    processes.all_reduce([p.grad for p in network.parameters() if p.grad is not None])
    return value.detach()
