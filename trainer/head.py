"""The output head and its loss, computed without the full logits: "tensor splitting" of a large vocabulary.

With a vocabulary of 125,696 the logits of a batch are by far the largest tensor of a training step: for 64 k tokens
33 GB in float32, and as much again for their gradient. Here they exist for `chunk_tokens` tokens at a time. For each
chunk the forward pass computes logits, loss and the gradient of the logits, and from that the gradients of hidden
states and weights, which it accumulates. The backward pass only scales them.

**NormHead**: logits are products with the head's rows scaled to length one. **Max-z**: 2e-4 · z² is added to each
token's loss, where z is its largest logit, so that logits stay small. Under tensor parallelism each rank has a part of
the vocabulary; maximum, sum of exponentials and the label's logit are exchanged, three numbers a token.

Cost: three matrix products for forward and backward pass together, the same as without chunks. Memory: chunk_tokens ·
vocabulary · 4 bytes, twice, and the head's gradient in float32.

Source: Baichuan 2 technical report, sections 2.4 (NormHead, max-z) and 3 (tensor splitting). The chunked form after
Wijmans et al. 2024, "Cut Your Losses" (arXiv 2411.09009), and Liger Kernel's fused linear cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from sampler.stream.batch import IGNORED

_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A batch's loss, summed over the tokens that count, of which there are `tokens` (int64).

    `objective`, cross-entropy and max-z, is what is minimised and has a gradient; `nats` is cross-entropy alone,
    detached. `row_nats` and `row_tokens` are the same row by row: [rows].
    """

    objective: Tensor
    nats: Tensor
    tokens: Tensor
    row_nats: Tensor
    row_tokens: Tensor


class OutputHead(nn.Module):
    """Hidden states to logits, or straight to their loss, with the logits of `chunk_tokens` tokens at a time.

    `normed` is NormHead; `max_z` is the weight of z², 0 for none.
    """

    def __init__(
        self, width: int, vocab_size: int, *, normed: bool = False, max_z: float = 0.0, chunk_tokens: int = 4096
    ) -> None:
        super().__init__()
        self.normed, self.max_z, self.chunk_tokens = normed, max_z, chunk_tokens
        self.weight = nn.Parameter(torch.empty(vocab_size, width))
        self.fused = False  # whether the loss of a chunk's logits is compiled into few passes over them
        self.group: dist.ProcessGroup | None = None  # ranks that the vocabulary is split over
        self.first_row = 0  # of this rank's part of the vocabulary

    def forward(self, hidden: Tensor, labels: Tensor | None = None) -> Tensor | Loss:
        """Logits [..., vocab_size], or with labels (int64[...], -100 for none) the loss."""
        weight = local_of(self.weight)
        if labels is None:
            return functional.linear(hidden, self.rows(weight).to(hidden.dtype))
        objective, each = self._loss(hidden.flatten(0, -2), weight, labels.flatten())
        row_nats, row_tokens = each.view(labels.shape).sum(-1), (labels != IGNORED).sum(-1)
        return Loss(
            objective=objective, nats=row_nats.sum(), tokens=row_tokens.sum(), row_nats=row_nats, row_tokens=row_tokens
        )

    def rows(self, weight: Tensor | None = None) -> Tensor:
        """The rows that hidden states are multiplied with: [vocab_size, width], at length one under NormHead."""
        weight = local_of(self.weight) if weight is None else weight
        return functional.normalize(weight, dim=-1, eps=_TINY) if self.normed else weight

    def _loss(self, hidden: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        stretch = _compiled_stretch() if self.fused and self.group is None else _stretch
        shape = (self.chunk_tokens, stretch, self.max_z, self.group, self.first_row)
        rows = self.rows(weight)
        if torch.is_autocast_enabled(hidden.device.type):
            dtype = torch.get_autocast_dtype(hidden.device.type)
            hidden, rows = hidden.to(dtype), rows.to(dtype)
        apply: Any = _ChunkedLoss.apply
        objective, each = apply(hidden, rows, labels, shape)
        return objective, each


class _ChunkedLoss(torch.autograd.Function):
    """The summed objective and each token's nats; gradients are computed in the forward pass, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, rows: Tensor, labels: Tensor, shape: tuple[Any, ...]
    ) -> tuple[Tensor, Tensor]:
        chunk, stretch, max_z, group, first_row = shape
        exact = torch.promote_types(hidden.dtype, torch.float32)
        needs = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        grad_hidden = torch.empty_like(hidden) if needs else None
        grad_rows = torch.zeros(rows.shape, dtype=exact, device=rows.device) if needs else None
        objective = torch.zeros((), dtype=exact, device=hidden.device)
        nats = torch.empty(len(hidden), dtype=exact, device=hidden.device)
        for start in range(0, len(hidden), chunk):
            part, wanted = hidden[start : start + chunk], labels[start : start + chunk]
            more, cross, grad = stretch(part @ rows.T, wanted, max_z, group, first_row, needs)
            objective += more
            nats[start : start + chunk] = cross
            if grad_hidden is not None and grad_rows is not None:
                grad_hidden[start : start + chunk] = grad @ rows
                grad_rows += grad.T @ part
        if group is not None and grad_hidden is not None:
            dist.all_reduce(grad_hidden, group=group)
        if grad_hidden is not None and grad_rows is not None:
            ctx.save_for_backward(grad_hidden, grad_rows)
            ctx.rows_dtype = rows.dtype
        ctx.mark_non_differentiable(nats)
        return objective, nats

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients that the forward pass has computed."""
        grad_hidden, grad_rows = ctx.saved_tensors
        scale = grads[0]  # in float32: rounded to bfloat16 it would scale the two gradients differently
        return (grad_hidden * scale).to(grad_hidden.dtype), (grad_rows * scale).to(ctx.rows_dtype), None, None


def _stretch(
    logits: Tensor, labels: Tensor, max_z: float, group: dist.ProcessGroup | None, first_row: int, needs: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """From the logits of a chunk: the summed objective, each token's nats, the gradient in the logits' type."""
    given, logits = logits.dtype, logits.to(torch.promote_types(logits.dtype, torch.float32))
    counted = (labels != IGNORED).to(logits.dtype)
    top, index, mine = _top(logits, group)
    lse = top + _summed((logits - top[:, None]).exp_().sum(-1), group).log()
    there, place = _local(labels, first_row, logits.shape[1])
    label = _summed(logits.gather(1, place[:, None])[:, 0] * there, group)
    cross = (lse - label) * counted
    objective = cross + max_z * top.square() * counted
    if not needs:
        return objective.sum(), cross, None
    grad = logits.sub_(lse[:, None]).exp_()  # softmax, in place of the logits
    hit, high = there.to(grad.dtype)[:, None], (2 * max_z * top * mine)[:, None]
    if torch.compiler.is_compiling():  # the comparisons are fused into the pass that writes the gradient
        columns = torch.arange(logits.shape[1], device=logits.device)
        grad = grad - hit * (columns == place[:, None]) + high * (columns == index[:, None])
    else:
        grad.scatter_add_(1, place[:, None], -hit)
        grad.scatter_add_(1, index[:, None], high)
    return objective.sum(), cross, grad.mul_(counted[:, None]).to(given)


@cache
def _compiled_stretch() -> Any:
    return torch.compile(_stretch, dynamic=False)


def _top(logits: Tensor, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor, Tensor]:
    """Each token's largest logit in the whole vocabulary, its local index, and whether it is on this rank."""
    top, index = logits.max(-1)
    if group is None:
        return top, index, torch.ones_like(top)
    local = top.clone()
    dist.all_reduce(top, dist.ReduceOp.MAX, group=group)
    owner = torch.where(local == top, dist.get_rank(group), dist.get_world_size(group))
    first = owner.clone()
    dist.all_reduce(first, dist.ReduceOp.MIN, group=group)
    return top, index, (owner == first).to(top.dtype)


def _summed(values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The sum over the ranks that share the vocabulary."""
    if group is not None:
        dist.all_reduce(values, group=group)
    return values


def _local(labels: Tensor, first_row: int, rows: int) -> tuple[Tensor, Tensor]:
    """Whether a label is in this rank's part, and its index there (0 if it is not): bool[n], int64[n]."""
    place = labels - first_row
    there = (labels != IGNORED) & (place >= 0) & (place < rows)
    return there, place.where(there, 0)


def local_of(weight: Tensor) -> Tensor:
    """This rank's part of a parameter that tensor parallelism has split, or the whole parameter."""
    return weight.to_local() if hasattr(weight, "to_local") else weight
