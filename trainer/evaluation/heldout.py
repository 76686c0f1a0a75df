"""Held-out loss, over all domains and for each one, from the same forward passes.

A row of a batch belongs to one domain, and the head gives the loss of each row, so a domain's loss costs only one more
sum. The mean of the domains' losses, weighted by their tokens, is the loss over all domains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import one_hot

from sampler.stream.mixture_stream import MixtureStream
from trainer.evaluation.loss import judged_batches
from trainer.model import Transformer
from trainer.parallel import World


@dataclass(frozen=True, kw_only=True)
class HeldoutLoss:
    """How well a model predicts a stream, nats a token; domains are those with predicted tokens, in name order."""

    loss: float
    by_domain: dict[str, float]
    tokens: dict[str, int]


def domain_losses(
    model: Transformer, stream: MixtureStream, samples: int, rows: int, eos_id: int, world: World
) -> HeldoutLoss:
    """Loss over the first samples of a stream, whole and by domain; every rank gets the same numbers.

    Arguments as for `trainer.evaluation.loss.judged_batches`.
    """
    sums = torch.zeros(len(stream.domains), 2, dtype=torch.float64, device=world.device)
    for batch, loss in judged_batches(model, stream, samples, rows, eos_id, world):
        domains = torch.from_numpy(batch.domains).to(world.device, torch.int64)
        belongs = one_hot(domains, len(stream.domains)).double()  # deterministic, unlike index_add on a GPU
        sums += belongs.T @ torch.stack([loss.row_nats.double(), loss.row_tokens.double()], 1)
    sums = world.summed(sums)
    nats, tokens = sums.sum(0).tolist()
    found = [(name, n, t) for name, (n, t) in zip(stream.domains, sums.tolist(), strict=True) if t]
    return HeldoutLoss(
        loss=nats / max(tokens, 1.0),
        by_domain={name: n / t for name, n, t in found},
        tokens={name: int(t) for name, _, t in found},
    )
