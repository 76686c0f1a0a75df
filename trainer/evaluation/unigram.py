"""The baseline: a unigram model, which knows the frequency of tokens and nothing of their order.

It counts exactly the tokens that the model was trained to predict, plus one for every token of the vocabulary
(Laplace), and is evaluated on exactly the same held-out tokens as the model, in nats a token. A model that does not
beat it has learned nothing from context.

Cost: one count of the training tokens, ~5 ns each.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sampler.stream.batch import IGNORED, Batch


def predicted(batch: Batch, eos_id: int, document_mask: bool) -> npt.NDArray[np.int64]:
    """The labels of a batch that count, flat: int64[n]; see `trainer.loss.targets`."""
    counted = batch.labels != IGNORED
    if document_mask:
        counted &= batch.tokens != eos_id
    return batch.labels[counted]


def count_tokens(labels: Iterable[npt.NDArray[np.int64]], vocab_size: int) -> npt.NDArray[np.int64]:
    """How often each token occurs: int64[vocab_size]."""
    counts = np.zeros(vocab_size, np.int64)
    for some in labels:
        counts += np.bincount(some, minlength=vocab_size)
    return counts


def unigram_loss(train_counts: npt.NDArray[np.int64], heldout_counts: npt.NDArray[np.int64]) -> float:
    """Mean loss of the add-one model on held-out tokens, at least one, in nats; counts are int64[vocab_size]."""
    log_probability = np.log(train_counts + 1.0) - np.log(train_counts.sum() + len(train_counts))
    return float(-(heldout_counts * log_probability).sum() / heldout_counts.sum())
