"""Which tokens are predicted, and how well: cross-entropy in nats a token, in float32.

With a document mask the label after an end-of-document token, the first token of an unrelated document,
cannot be known from what is seen; it is left out, here and from the unigram model alike, so that both answer
the same questions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sampler.batch import IGNORED
from trainer.model import Transformer


def targets(tokens: Tensor, labels: Tensor, eos_id: int, document_mask: bool) -> Tensor:
    """Labels with those to ignore as -100: int64[rows, length]."""
    return labels.masked_fill(tokens == eos_id, IGNORED) if document_mask else labels


def summed_loss(model: Transformer, batch: dict[str, Tensor], eos_id: int) -> tuple[Tensor, Tensor]:
    """Loss of a batch.

    Args:
        model: the model.
        batch: tokens, labels, positions, segments: int64[rows, length].
        eos_id: the end-of-document token.

    Returns:
        Summed loss in nats, and how many tokens were predicted.
    """
    wanted = targets(batch["tokens"], batch["labels"], eos_id, model.config.document_mask)
    positions = batch["positions"]
    if not model.config.document_mask:
        positions = torch.arange(positions.shape[1], device=positions.device).expand_as(positions)
    logits = model(batch["tokens"], positions, batch["segments"])
    flat = logits.float().flatten(0, 1)
    total = functional.cross_entropy(flat, wanted.flatten(), ignore_index=IGNORED, reduction="sum")
    return total, (wanted != IGNORED).sum()
