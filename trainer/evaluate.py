"""How well a model predicts a stream: its loss over some of the stream's samples.

The stream need not be the one that it was trained on, nor of the same run, as long as the tokenizer is the same: one
domain at a time gives a loss a domain, the same held-out text for many models gives losses that compare. On a GPU the
forward pass runs in bfloat16. Cost: a forward pass, a third of a training step.
"""

from __future__ import annotations

import torch

from sampler.stream import MixtureStream
from sampler.torch_data import tensors
from trainer.head import Loss
from trainer.loss import summed_loss
from trainer.model import Transformer

MODEL_FIELDS = ("tokens", "labels", "positions", "segments")


def stream_loss(model: Transformer, stream: MixtureStream, start: int, stop: int, eos_id: int) -> Loss:
    """Loss of the samples start…stop-1; see `summed_loss`."""
    device = model.head.weight.device
    batch = {name: value.to(device) for name, value in tensors(stream.batch(start, stop), MODEL_FIELDS).items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return summed_loss(model, model.config, batch, eos_id)


@torch.no_grad()
def mean_loss(model: Transformer, stream: MixtureStream, samples: int, rows: int, eos_id: int) -> float:
    """Mean loss over the first samples of a stream, nats a token; the model is left in training mode.

    Args:
        model: the model.
        stream: what it is judged on.
        samples: how many sequences, from the first.
        rows: sequences at a time.
        eos_id: the end-of-document token.
    """
    total, count = 0.0, 0
    model.eval()
    for start in range(0, samples, rows):
        loss = stream_loss(model, stream, start, min(start + rows, samples), eos_id)
        total, count = total + float(loss.nats), count + int(loss.tokens)
    model.train()
    return total / max(count, 1)


def whole_epoch(stream: MixtureStream, wanted: int) -> int:
    """As many held-out sequences as wanted, but no document twice; at least one."""
    low, high = 1, wanted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if max(stream.epochs_needed(middle).values()) <= 1 else (low, middle - 1)
    return low
