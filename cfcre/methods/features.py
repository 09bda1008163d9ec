"""Representations of many examples at once, under inference mode."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import torch

from cfcre.data.batching import inference_batches, pad_batch
from cfcre.data.tokenisation import EncodedExamples
from cfcre.modeling.anchor import PARTS
from cfcre.modeling.compute import Compute
from cfcre.modeling.encoder import RelationEncoder
from cfcre.modeling.parallel import current_group

__all__ = ["extract"]


def extract(
    encoder: RelationEncoder,
    encoded: EncodedExamples,
    compute: Compute,
    token_budget: int,
    *,
    mixed: bool = False,
    anchor: int = 0,
) -> npt.NDArray[np.float32]:
    """Representations h (eq. 1), float32 ``[N, d]``, in the order of the examples.

    One copy from device to host a batch. Several processes take every so manieth batch each and
    exchange the results: the batches, and so the numbers, are those of one process.

    Args:
        encoder: Eq. 1; left in the mode it was in.
        encoded: The examples.
        compute: Device and precision.
        token_budget: Word pieces in a batch, padding included.
        mixed: Use the training precision: for what only training reads. By default float32, so that
            what is evaluated, registered and served is the same number on every machine up to
            rounding.
        anchor: A layer whose features follow the representations, ``[N, d + 4 d]``; 0 for none.
    """
    group = current_group()
    batches = inference_batches(encoded.lengths, token_budget)[group.rank :: group.size]
    width = encoder.size * (1 + PARTS if anchor else 1)
    result = np.zeros((len(encoded), width), dtype=np.float32)
    training = encoder.training
    encoder.eval()
    try:
        precision = compute.mixed() if mixed else nullcontext()
        with torch.inference_mode(), precision:
            for index in batches:
                batch = pad_batch(encoded, index)
                inputs = [
                    torch.from_numpy(part).to(compute.device)
                    for part in (batch.ids, batch.mask, batch.head, batch.tail)
                ]
                h = encoder.with_anchor(*inputs, layer=anchor) if anchor else encoder(*inputs)
                result[index] = h.cpu().numpy()
    finally:
        encoder.train(training)
    return group.join(result)
