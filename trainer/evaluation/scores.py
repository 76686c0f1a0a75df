"""A model's scores for given tokens: the loss of each in nats, and the token that the model finds likeliest there.

Both perplexities and the evaluation harness are computed with it. Each row is a text by itself, so that models with and
without a document mask are treated alike. Rows are sorted by length and padded on the right to the longest of their
batch; causal attention never sees the padding.

The head computes logits only for the tokens that are asked about, `loss_chunk_tokens` at a time. On a GPU the forward
pass runs in bfloat16, the softmax in float32. Cost: a forward pass; padding adds little, as the rows of a batch have
similar lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sampler.stream.batch import IGNORED
from trainer.config import ModelConfig
from trainer.head import OutputHead
from trainer.model import Transformer

BATCH_TOKENS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Question:
    """Tokens that the model sees, int64[n], n ≥ 1, and the token after each, int64[n]; -100 if not asked about."""

    tokens: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of the tokens asked about, in order: -log p, float64[m], and the token with the largest logit, int64[m]."""

    nats: npt.NDArray[np.float64]
    likeliest: npt.NDArray[np.int64]


class ScoringHead(nn.Module):
    """A trained head, not split over ranks, that returns each token's nats and the likeliest token, not the loss."""

    def __init__(self, head: OutputHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """For the m labels that are not -100: nats, float[m] in float32 or wider, and likeliest tokens, int64[m]."""
        counted = labels != IGNORED
        hidden, wanted, rows = hidden[counted], labels[counted], self.head.rows()
        nats, likeliest = [], []
        for part, label in zip(hidden.split(self.head.chunk_tokens), wanted.split(self.head.chunk_tokens), strict=True):
            logits = functional.linear(part, rows.to(part.dtype))
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            nats.append(logits.logsumexp(-1) - logits.gather(-1, label[:, None])[:, 0])
            likeliest.append(logits.argmax(-1))
        return torch.cat(nats), torch.cat(likeliest)


def scoring_model(state: Mapping[str, Any], config: ModelConfig, device: torch.device) -> Transformer:
    """A trained model that answers questions, from its state dict, not sharded."""
    with torch.device("meta"):
        model = Transformer(config, len(state["head.weight"]), 0)
    model.load_state_dict(dict(state), assign=True)
    model.add_module("head", ScoringHead(model.head))
    return model.to(device).eval()


@torch.no_grad()
def answer(model: Transformer, questions: Sequence[Question], batch_tokens: int = BATCH_TOKENS) -> list[Answer]:
    """An answer for each question, in any order, of a model as `scoring_model` gives it; empty for one without labels.

    A batch has at most `batch_tokens` tokens, padding included; only a single row may have more.
    """
    device = next(model.parameters()).device
    found: list[Answer | None] = [None] * len(questions)
    for batch in _batches([len(question.tokens) for question in questions], batch_tokens):
        longest = max(len(questions[number].tokens) for number in batch)
        tokens = np.zeros((len(batch), longest), np.int64)
        labels = np.full((len(batch), longest), IGNORED, np.int64)
        for row, number in enumerate(batch):
            question = questions[number]
            tokens[row, : len(question.tokens)], labels[row, : len(question.labels)] = question.tokens, question.labels
        positions = torch.arange(longest, device=device).expand(len(batch), -1)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            said: Any = model(torch.tensor(tokens, device=device), positions, None, torch.tensor(labels, device=device))
        ends = np.cumsum((labels != IGNORED).sum(1))[:-1]
        nats, likeliest = (np.split(part.cpu().numpy(), ends) for part in said)
        for number, costs, best in zip(batch, nats, likeliest, strict=True):
            found[number] = Answer(nats=costs.astype(np.float64), likeliest=best)
    return [each for each in found if each is not None]


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of rows, longest first, in batches of at most so many tokens, padding included."""
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    while order:
        rows = max(1, batch_tokens // max(lengths[order[0]], 1))
        yield order[:rows]
        order = order[rows:]
