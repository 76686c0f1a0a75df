"""How well a model predicts a stream: its loss over some of the stream's samples.

The stream need not be the one that the model was trained on, nor of the same run, as long as the tokenizer is the same.
So models can be compared on the same held-out text, or evaluated one domain at a time. On a GPU the forward pass runs
in bfloat16. The samples are divided among the ranks. Cost: a forward pass, a third of a training step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from sampler.stream.batch import Batch
from sampler.stream.mixture_stream import MixtureStream
from sampler.torch_data import tensors
from trainer.config import ModelConfig
from trainer.head import Loss
from trainer.loss import summed_loss
from trainer.model import Transformer
from trainer.parallel import World


def batch_loss(model: nn.Module, config: ModelConfig, batch: Batch, eos_id: int, device: torch.device) -> Loss:
    """Loss of a batch, summed; see `summed_loss`."""
    moved = {name: value.to(device) for name, value in tensors(batch).items()}
    return item_loss(model, config, moved, eos_id)


def item_loss(model: nn.Module, config: ModelConfig, item: dict[str, torch.Tensor], eos_id: int) -> Loss:
    """Summed loss of a batch's tensors, which are on the model's device."""
    device = item["tokens"].device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        return summed_loss(model, config, item, eos_id)


@torch.no_grad()
def judged_batches(
    model: Transformer, stream: MixtureStream, samples: int, rows: int, eos_id: int, world: World
) -> Iterator[tuple[Batch, Loss]]:
    """This rank's batches of the first samples of a stream, `rows` at a time over all ranks, with their losses.

    All ranks take part in every forward pass; one that has no samples left runs on a dummy and yields nothing. The
    model runs in evaluation mode and is left in training mode.
    """
    each = max(1, rows // world.data_size)
    model.eval()
    for start in range(0, samples, each * world.data_size):
        low = min(start + world.data_rank * each, samples)
        high = min(low + each, samples)
        batch = stream.batch(low, high) if high > low else stream.batch(0, 1)
        loss = batch_loss(model, model.config, batch, eos_id, world.device)
        if high > low:
            yield batch, loss
    model.train()


def mean_loss(
    model: Transformer, stream: MixtureStream, samples: int, rows: int, eos_id: int, world: World | None = None
) -> float:
    """Mean loss over the first samples of a stream, nats a token; arguments as for `judged_batches`."""
    world = world or World(rank=0, size=1, device=model.head.weight.device)
    total = torch.zeros(2, dtype=torch.float64, device=world.device)
    for _, loss in judged_batches(model, stream, samples, rows, eos_id, world):
        total += torch.stack([loss.nats.double(), loss.tokens.double()])
    nats, tokens = world.summed(total).tolist()
    return float(nats) / max(float(tokens), 1.0)


def whole_epoch(stream: MixtureStream, wanted: int) -> int:
    """The number of held-out sequences to use: those wanted, but at most one epoch of any domain; at least one."""
    low, high = 1, wanted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if max(stream.epochs_needed(middle).values()) <= 1 else (low, middle - 1)
    return low
