"""Which tokens are predicted, and how well: cross-entropy in nats a token.

With a document mask the label after an end-of-document token, the first token of an unrelated document, cannot be
predicted. It is left out, here and in the unigram model alike, so that both are evaluated on the same tokens.
"""

from __future__ import annotations

from torch import Tensor, nn

from sampler.stream.batch import IGNORED
from trainer.config import ModelConfig
from trainer.head import Loss


def targets(tokens: Tensor, labels: Tensor, eos_id: int, document_mask: bool) -> Tensor:
    """Labels, with -100 for those to ignore: int64[rows, length]."""
    return labels.masked_fill(tokens == eos_id, IGNORED) if document_mask else labels


def summed_loss(model: nn.Module, config: ModelConfig, batch: dict[str, Tensor], eos_id: int) -> Loss:
    """Loss of a batch, summed over the tokens that count; the model may be wrapped.

    The batch has tokens, labels, positions: int[rows, length]; cu_seqlens: int32[n_pieces + 1].
    """
    tokens, positions = batch["tokens"], batch["positions"]
    wanted = targets(tokens, batch["labels"], eos_id, config.document_mask)
    if not config.document_mask:
        positions = positions.new_ones(positions.shape).cumsum(-1) - 1
    found: Loss = model(tokens, positions, batch["cu_seqlens"], wanted)
    return found
