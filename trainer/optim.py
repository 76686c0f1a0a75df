"""AdamW and its schedule, as Baichuan 2 trains: linear warm-up, cosine to a minimum, decay on matrices only.

The gains of norms are not decayed, as a gain near zero would scale down the layer's whole output. Embedding and head
are matrices and are decayed, as the report mentions no exception.

Source: Baichuan 2 technical report, section 2.6; Loshchilov and Hutter 2019.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from trainer.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW with two groups: matrices with weight decay, everything else without."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.max_learning_rate, betas=(config.beta1, config.beta2), fused=True)


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """The rate of a step, counted from zero, in a schedule of so many `steps`."""
    if step < config.warmup_steps:
        return config.max_learning_rate * (step + 1) / config.warmup_steps
    minimum = config.max_learning_rate * config.min_learning_rate_ratio
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    wave = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return minimum + (config.max_learning_rate - minimum) * wave


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Put a rate into every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
